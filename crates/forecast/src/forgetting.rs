//! Which series stay where there are too many: those that have been silent for longest go.
//! It must not know what is kept of a series.

/// One in so many goes at once: looking for those that have been silent for longest goes over all.
const ONE_IN: usize = 16;

/// Which of `len` series stay, where at least `over` have to go of the `most` that there may be.
/// `seen`: when a series was seen last; none: it cannot go. Of equals those that came first go.
pub fn who_stays<T: Ord>(
    len: usize,
    over: usize,
    most: usize,
    seen: impl Fn(usize) -> Option<T>,
) -> Vec<bool> {
    let mut silent: Vec<usize> = (0..len).filter(|&at| seen(at).is_some()).collect();
    let count = over.max(most.div_ceil(ONE_IN)).min(silent.len());
    if count < silent.len() {
        silent.select_nth_unstable_by_key(count, |&at| (seen(at), at));
    }

    let mut stays = vec![true; len];
    silent[..count].iter().for_each(|&at| stays[at] = false);
    stays
}

/// The new place of each series once only those that stay are left; none: it is gone.
pub fn new_places(stays: &[bool]) -> Vec<Option<u32>> {
    let mut next = 0;
    let place_of = |&stays: &bool| {
        let place = stays.then_some(next);
        next += u32::from(stays);
        place
    };
    stays.iter().map(place_of).collect()
}
