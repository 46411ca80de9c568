//! The order of files by their names: as a person counts, `part-9` before `part-10`.
//! It must not look at a file.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::Chars;

/// Compares names: runs of digits as whole numbers, all else character by character. Names that are
/// equal so, as `a1` and `a01`, stand in the order of their bytes.
pub(super) fn by_name(left: &str, right: &str) -> Ordering {
    let (mut a, mut b) = (left.chars().peekable(), right.chars().peekable());
    loop {
        let order = match (a.peek().copied(), b.peek().copied()) {
            (None, None) => return left.cmp(right),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, y) = (digits(&mut a), digits(&mut b));
                // Without zeros before it the longer number is the larger one.
                x.len().cmp(&y.len()).then_with(|| x.cmp(&y))
            }
            (Some(x), Some(y)) => {
                a.next();
                b.next();
                x.cmp(&y)
            }
        };

        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The run of digits that comes next, without zeros before it.
fn digits(text: &mut Peekable<Chars<'_>>) -> String {
    let mut run = String::new();
    while let Some(digit) = text.next_if(char::is_ascii_digit) {
        if digit != '0' || !run.is_empty() {
            run.push(digit);
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_count_and_all_else_is_by_character() {
        let sorted = [
            "2023-12.csv",
            "2024-1.csv",
            "2024-01.csv.gz",
            "2024-2.csv",
            "2024-10.csv",
            "A.csv",
            "a-1.csv",
            "a.csv",
            "part-9",
            "part-010",
            "part-99999999999999999999999",
            "part-100000000000000000000000",
            "ä.csv",
        ];
        for (at, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                assert_eq!(by_name(left, right), at.cmp(&other), "{left} {right}");
            }
        }
        assert_eq!(by_name("a01", "a1"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[a01/9-]{0,6}", b in "[a01/9-]{0,6}", c in "[a01/9-]{0,6}") {
            prop_assert_eq!(by_name(&a, &b), by_name(&b, &a).reverse());
            prop_assert_eq!(by_name(&a, &b) == Ordering::Equal, a == b);
            if by_name(&a, &b).is_le() && by_name(&b, &c).is_le() {
                prop_assert!(by_name(&a, &c).is_le());
            }
        }
    }
}
