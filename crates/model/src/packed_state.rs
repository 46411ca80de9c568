//! A carried state in 8 bits a number: steps of 1/127 of its largest number.
//! It must not know what carries it. It is good enough to begin a window of learning with; what a
//! forecast goes on from is kept whole.
//!
//! The scale is in the first two places, then two numbers a place.

/// Adding it leaves a number below 2^22 rounded to an integer, in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// A state below is zero: its steps would be no numbers any more.
const LEAST: f32 = 1e-30;

/// Places for a state of `len` numbers.
pub fn places(len: usize) -> usize {
    2 + len.div_ceil(2)
}

/// Writes a state of finite numbers.
pub fn pack(state: &[f32], places: &mut [u16]) {
    let largest = state.iter().fold(0.0, |largest: f32, number| largest.max(number.abs()));
    let scale = if largest > LEAST { largest / 127.0 } else { 0.0 };
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let step = |number: f32| (number * inverse + ROUND).to_bits() as u8;

    let bits = scale.to_bits();
    (places[0], places[1]) = (bits as u16, (bits >> 16) as u16);
    for (place, pair) in places[2..].iter_mut().zip(state.chunks(2)) {
        let second = pair.get(1).copied().unwrap_or_default();
        *place = u16::from_le_bytes([step(pair[0]), step(second)]);
    }
}

/// The state that was written, with one zero more where its numbers are odd.
pub fn unpack(places: &[u16]) -> impl Iterator<Item = f32> + '_ {
    let scale = f32::from_bits(u32::from(places[0]) | u32::from(places[1]) << 16);
    // 127 steps may round to more than the largest number.
    let number = move |step: u8| (f32::from(step as i8) * scale).clamp(f32::MIN, f32::MAX);
    places[2..].iter().flat_map(move |place| place.to_le_bytes().map(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn again(state: &[f32]) -> Vec<f32> {
        let mut packed = vec![0; places(state.len())];
        pack(state, &mut packed);
        unpack(&packed).take(state.len()).collect()
    }

    #[test]
    fn zeros_and_extremes_come_back() {
        assert_eq!(again(&[0.0; 3]), [0.0; 3]);
        assert_eq!(again(&[127.0, -127.0, 1.0, 0.4]), [127.0, -127.0, 1.0, 0.0]);
        assert_eq!(again(&[1e-40, -1e-38]), [0.0, 0.0], "too small to matter");
        assert!(again(&[f32::MAX, f32::MIN]).iter().all(|number| number.is_finite()));
    }

    proptest! {
        #[test]
        fn no_number_is_off_by_more_than_half_a_step(state in prop::collection::vec(-3f32..3.0, 1..40)) {
            let largest = state.iter().fold(0.0, |largest: f32, number| largest.max(number.abs()));
            for (number, again) in state.iter().zip(again(&state)) {
                prop_assert!((number - again).abs() <= largest / 127.0 * 0.501);
            }
        }
    }
}
