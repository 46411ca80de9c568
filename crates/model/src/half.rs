//! Half precision as a store: IEEE 754's binary16 in 16 bits, rounded to the nearest.
//! It must not know what the numbers are, or compute with them.
//!
//! Only integer operations and one exact product take part. So a number has the same bits on every
//! CPU, with instructions for halves or without.

/// 2^112: from the exponent's bias of a half to that of a single.
const REBIAS: f32 = f32::from_bits(239 << 23);
const INFINITY: u16 = 0x7c00;
const NAN: u16 = 0x7e00;

/// The largest finite half.
pub const MAX: f32 = 65504.0;

/// The nearest half; of two that are as near the even one. NaN stays NaN, and what is too large
/// is infinite.
pub fn of(value: f32) -> u16 {
    let bits = value.to_bits();
    let (sign, size) = ((bits >> 16) as u16 & 0x8000, bits & 0x7fff_ffff);
    if size > 0x7f80_0000 {
        return NAN;
    }

    // Below 2^-14 halves lie 2^-24 apart, as singles do beside 0.5.
    let half = if size < 0x3880_0000 {
        (f32::from_bits(size) + 0.5).to_bits() - 0.5f32.to_bits()
    } else {
        let odd = (size >> 13) & 1;
        size.saturating_sub(112 << 23).saturating_add(0xfff + odd) >> 13
    };
    sign | half.min(INFINITY.into()) as u16
}

/// The number that a half stands for.
pub fn value(half: u16) -> f32 {
    let half = u32::from(half);
    let size = f32::from_bits((half & 0x7fff) << 13) * REBIAS;
    let special = if half & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(size.to_bits() | special | (half & 0x8000) << 16)
}

/// Writes the numbers of halves.
pub fn unpack(halves: &[u16], values: &mut [f32]) {
    values.iter_mut().zip(halves).for_each(|(to, &half)| *to = value(half));
}

/// A place among the halves' numbers in their order: it is less where the number is less.
pub fn key(half: u16) -> u16 {
    if half & 0x8000 == 0 { half | 0x8000 } else { !half }
}

/// The half at a place.
pub fn at_key(key: u16) -> u16 {
    if key & 0x8000 == 0 { !key } else { key & 0x7fff }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All finite ones.
    fn halves() -> impl Iterator<Item = u16> {
        (0..=u16::MAX).filter(|half| half & 0x7c00 != 0x7c00)
    }

    /// By IEEE 754's definition.
    fn defined(half: u16) -> f64 {
        let (exponent, fraction) = (i32::from(half >> 10 & 31), f64::from(half & 0x3ff));
        let size = if exponent == 0 {
            fraction * 2f64.powi(-24)
        } else {
            (1024.0 + fraction) * 2f64.powi(exponent - 25)
        };
        if half & 0x8000 == 0 { size } else { -size }
    }

    #[test]
    fn every_half_is_what_the_standard_says_and_comes_back() {
        for half in halves() {
            assert_eq!(f64::from(value(half)), defined(half), "{half:#x}");
            assert_eq!(of(value(half)), half);
            assert_eq!(at_key(key(half)), half);
        }
        assert!(value(of(f32::NAN)).is_nan() && value(of(-f32::NAN)).is_nan());
    }

    #[test]
    fn what_is_too_large_is_infinite() {
        let infinity = f32::INFINITY;
        for (number, half) in [(65519.9, MAX), (65520.0, infinity), (1e30, infinity), (infinity, infinity)] {
            assert_eq!((value(of(number)), value(of(-number))), (half, -half), "{number}");
        }
    }

    proptest! {
        #[test]
        fn no_other_half_is_nearer(number in -65_000f32..65_000.0, small in -1e-4f32..1e-4) {
            for number in [number, small] {
                let half = of(number);
                let error = |half: u16| (f64::from(value(half)) - f64::from(number)).abs();
                for other in [half.wrapping_sub(1), half.wrapping_add(1)] {
                    let is_finite = other & 0x7c00 != 0x7c00;
                    prop_assert!(!is_finite || error(half) <= error(other));
                    prop_assert!(!is_finite || error(half) < error(other) || half & 1 == 0);
                }
            }
        }

        #[test]
        fn keys_are_in_the_order_of_numbers(a in -10f32..10.0, b in -10f32..10.0) {
            let (a, b) = (of(a), of(b));
            prop_assert!(value(a) >= value(b) || key(a) < key(b));
        }
    }
}
