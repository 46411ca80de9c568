//! Which files were read: told by their names and contents in a few bits, which also say what is
//! other than it was.
//! It must not open a file.
//!
//! Of `n` files that are read to their ends, with digests `d_0 … d_(n-1)` below `p = 2^31 - 1`, the
//! id has `s = Σ d_i` and `t = Σ (i + 1) d_i`, both modulo `p`. One digest that has become another
//! is found by the two differences: `(t' - t) / (s' - s) = i + 1`. For a file that came in and for
//! one that is gone every place is tried: the files behind it have moved by one. What more has
//! changed is found to be so, without a name.

use tickcast_stream::LogId;

const P: u64 = (1 << 31) - 1;
/// Bits of the parts of an id, from the lowest: the file that is being read (its digest, and of how
/// many of its first bytes that is), `t`, `s`, `n`.
const READING: u32 = 37;
const BYTES: u32 = 13;
const SUM: u32 = 31;

/// A digest of a file that is read to its end: of these bytes, whatever says which it is.
pub(super) fn digest(of: &[u8]) -> u64 {
    u64::from(crc32fast::hash(of)) % P
}

/// The file that is being read: what its first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning {
    /// How many of them count.
    pub(super) bytes: u32,
    pub(super) digest: u64,
}

impl Beginning {
    /// Of a name and of first bytes.
    pub(super) fn of(name: &str, first: &[u8]) -> Self {
        let all = [name.as_bytes(), &[0], first].concat();
        let (low, high) = (crc32fast::hash(&all), crc32fast::hash(&[&[1], &all[..]].concat()));
        let digest = (u64::from(high) << 32 | u64::from(low)) & ((1 << READING) - 1);
        Beginning { bytes: first.len() as u32, digest }
    }
}

/// What is known of the files that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FilesRead {
    /// How many are read to their ends.
    pub(super) finished: usize,
    s: u64,
    t: u64,
    /// The one after them.
    pub(super) reading: Beginning,
}

impl FilesRead {
    /// `digests`: of the files that are read to their ends.
    pub(super) fn new(digests: &[u64], reading: Beginning) -> Self {
        let sums = Sums::of(digests);
        let (s, t) = (sums.s[digests.len()], sums.t[digests.len()]);
        FilesRead { finished: digests.len(), s, t, reading }
    }

    pub(super) fn id(&self) -> LogId {
        let parts = [
            (self.s, SUM),
            (self.t, SUM),
            (u64::from(self.reading.bytes), BYTES),
            (self.reading.digest, READING),
        ];
        LogId(parts.into_iter().fold(self.finished as u128, |id, (part, bits)| id << bits | u128::from(part)))
    }

    pub(super) fn of_id(id: LogId) -> Self {
        let mut rest = id.0;
        let mut next = |bits: u32| {
            let part = rest & ((1 << bits) - 1);
            rest >>= bits;
            part as u64
        };
        let (digest, bytes, t, s) = (next(READING), next(BYTES) as u32, next(SUM), next(SUM));
        FilesRead { finished: rest as usize, s, t, reading: Beginning { bytes, digest } }
    }

    /// What is other than it was; none: nothing. `digests`: of the files that are there, as many as
    /// there are up to one more than are finished; `beginning`: of the file at a place, as it is
    /// now.
    pub(super) fn change(
        &self,
        digests: &[u64],
        beginning: impl Fn(usize) -> Option<Beginning>,
    ) -> Option<Change> {
        let (n, sums) = (self.finished, Sums::of(digests));
        let there = digests.len();
        let is_read = |at: usize| beginning(at) == Some(self.reading);
        if there >= n && (sums.s[n], sums.t[n]) == (self.s, self.t) {
            return match (is_read(n), is_read(n + 1)) {
                (true, _) => None,
                (false, true) => Some(Change::CameIn(n)),
                (false, false) => Some(Change::Other(n)),
            };
        }

        let is_same = |sums: (u64, u64)| sums == (self.s, self.t);
        let came_in = (0..there.min(n + 1)).find(|at| there > n && is_same(sums.without(*at, n)));
        let changed = if there >= n { self.changed(&sums) } else { None };
        let gone = (0..n).find(|at| there + 1 >= n && is_same(sums.with(*at, n, self.s)));
        // Each with where the file that was being read stands then.
        let possible = [
            came_in.map(|at| (Change::CameIn(at), n + 1)),
            changed.map(|at| (Change::Changed(at), n)),
            gone.map(|at| (Change::Gone(at), n - 1)),
        ];

        let mut possible = possible.into_iter().flatten();
        let first = possible.clone().next();
        let found = possible.find(|(_, reading)| is_read(*reading)).or(first);
        Some(found.map_or(Change::Several, |(change, _)| change))
    }

    /// The place of the one digest that has become another.
    fn changed(&self, sums: &Sums) -> Option<usize> {
        let n = self.finished;
        let (by, weighted) = (minus(sums.s[n], self.s), minus(sums.t[n], self.t));
        (0..n).find(|at| by != 0 && (*at as u64 + 1) * by % P == weighted)
    }
}

/// What is other than it was, by the place of a file among those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was not there.
    CameIn(usize),
    /// It had another content.
    Changed(usize),
    /// One stood before it that is gone.
    Gone(usize),
    /// The one that was being read was another, or had another beginning.
    Other(usize),
    /// More than one file.
    Several,
}

fn minus(a: u64, b: u64) -> u64 {
    (a + P - b) % P
}

/// `Σ d_i` and `Σ (i + 1) d_i` of the first files, for each number of them.
struct Sums {
    s: Vec<u64>,
    t: Vec<u64>,
}

impl Sums {
    fn of(digests: &[u64]) -> Self {
        let (mut s, mut t) = (vec![0], vec![0]);
        for (at, digest) in digests.iter().enumerate() {
            s.push((s[at] + digest) % P);
            t.push((t[at] + (at as u64 + 1) * digest) % P);
        }
        Sums { s, t }
    }

    /// Of `n` files, from those there are, but for the one at a place.
    fn without(&self, at: usize, n: usize) -> (u64, u64) {
        let behind = minus(self.s[n + 1], self.s[at + 1]);
        let moved = minus(minus(self.t[n + 1], self.t[at + 1]), behind);
        ((self.s[at] + behind) % P, (self.t[at] + moved) % P)
    }

    /// Of `n` files that have the sum `s`, those that are there and one more at a place.
    fn with(&self, at: usize, n: usize, s: u64) -> (u64, u64) {
        let behind = minus(self.s[n - 1], self.s[at]);
        let moved = (minus(self.t[n - 1], self.t[at]) + behind) % P;
        let it = minus(s, self.s[n - 1]);
        (s, (self.t[at] + (at as u64 + 1) * it + moved) % P)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digests(names: &[u8]) -> Vec<u64> {
        names.iter().map(|name| digest(&[*name, 7])).collect()
    }

    fn beginning(name: u8) -> Beginning {
        Beginning::of(&name.to_string(), &[name; 100])
    }

    /// Of the files of these names, the last of which is being read.
    fn read(names: &[u8]) -> FilesRead {
        let (last, finished) = names.split_last().unwrap();
        FilesRead::new(&digests(finished), beginning(*last))
    }

    fn change(was: &FilesRead, now: &[u8]) -> Option<Change> {
        let known = digests(&now[..now.len().min(was.finished + 1)]);
        was.change(&known, |at| now.get(at).map(|name| beginning(*name)))
    }

    proptest! {
        #[test]
        fn one_change_is_found_with_its_place(
            names in proptest::sample::subsequence((0..200_u8).collect::<Vec<_>>(), 1..60),
            more in proptest::collection::vec(210..240_u8, 0..3),
            at in any::<proptest::sample::Index>(),
        ) {
            let was = read(&names);
            prop_assert_eq!(FilesRead::of_id(was.id()), was);
            let now = [&names[..], &more[..]].concat();
            prop_assert_eq!(change(&was, &now), None);

            let at = at.index(names.len());
            let mut other = now.clone();
            other.insert(at, 250);
            prop_assert_eq!(change(&was, &other), Some(Change::CameIn(at)));

            let mut other = now.clone();
            other[at] = 250;
            let expected = if at == was.finished { Change::Other(at) } else { Change::Changed(at) };
            prop_assert_eq!(change(&was, &other), Some(expected));

            let mut other = now.clone();
            other.remove(at);
            let expected = if at == was.finished { Change::Other(at) } else { Change::Gone(at) };
            prop_assert_eq!(change(&was, &other), Some(expected));

            if was.finished > 2 {
                let mut other = now;
                (other[0], other[2]) = (251, 252);
                prop_assert_eq!(change(&was, &other), Some(Change::Several));
            }
        }
    }

    #[test]
    fn an_id_holds_as_many_files_as_may_be_read() {
        let many: Vec<u64> = (0..60_000_u32).map(|n| digest(&n.to_le_bytes())).collect();
        let read = FilesRead::new(&many, Beginning::of("x", &[9; 4096]));
        assert_eq!(FilesRead::of_id(read.id()), read);
        assert_eq!(FilesRead::new(&[], Beginning::of("x", &[])).finished, 0);
    }
}
