//! Holds each loss to PyTorch's values at points, and to what it does with numbers that are none.
//! It must not know networks.

use super::*;
use crate::golden::{Golden, assert_close};

fn golden() -> Golden {
    Golden::load(include_str!("../../tests/golden/losses.json"))
}

/// By the name in the golden file, with the parameters in its script.
fn named() -> [(&'static str, Loss); 5] {
    [
        ("mse", Loss::Mse),
        ("huber", Loss::Huber { delta: 1.5 }),
        ("pinball", Loss::Pinball { levels: vec![0.1, 0.5, 0.9] }),
        ("gaussian_nll", Loss::GaussianNll),
        ("cross_entropy", Loss::CrossEntropy { classes: 3 }),
    ]
}

/// The loss of `outputs` against `label`, and its slopes.
fn of<F: Real>(loss: &Loss, outputs: &[F], label: F) -> (F, Vec<F>) {
    let mut slopes = vec![F::zero(); loss.width()];
    (loss.add(outputs, label, F::one(), &mut slopes), slopes)
}

fn held_to_pytorch<F: Real>(name: &str, loss: &Loss, points: &[F]) {
    let (mut values, mut slopes) = (Vec::new(), Vec::new());
    for row in points.chunks(loss.width() + 1) {
        let (value, slope) = of(loss, &row[..loss.width()], row[loss.width()]);
        values.push(value);
        slopes.extend(slope);
    }
    assert_close(&values, golden().doubles(&format!("{name}.losses")), name);
    assert_close(&slopes, golden().doubles(&format!("{name}.slopes")), name);
}

#[test]
fn values_and_slopes_are_pytorchs() {
    for (name, loss) in named() {
        let points = format!("{name}.points");
        held_to_pytorch(name, &loss, golden().doubles(&points));
        held_to_pytorch(name, &loss, &golden().singles(&points));
    }
}

#[test]
fn a_weight_scales_both_and_slopes_add_up() {
    for (name, loss) in named() {
        let outputs = [0.3f64, -0.2, 0.5];
        let outputs = &outputs[..loss.width()];
        let (value, slopes) = of(&loss, outputs, 1.0);
        let mut sum = vec![1.0; loss.width()];
        assert_eq!(loss.add(outputs, 1.0, 0.5, &mut sum), 0.5 * value, "{name}");
        for (sum, slope) in sum.iter().zip(slopes) {
            assert!((sum - (1.0 + 0.5 * slope)).abs() < 1e-15, "{name}");
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    for (name, loss) in named() {
        let (value, slopes) = of(&loss, &vec![0.5f32; loss.width()], f32::NAN);
        assert!(value.is_nan() && slopes.iter().all(|slope| slope.is_nan()), "{name}: the label");
        for at in 0..loss.width() {
            let mut outputs = vec![0.5f32; loss.width()];
            outputs[at] = f32::NAN;
            let (value, slopes) = of(&loss, &outputs, 1.0);
            assert!(value.is_nan() && slopes[at].is_nan(), "{name}: output {at}");
        }
    }
}

#[test]
fn a_label_that_is_no_class_is_no_number() {
    let loss = Loss::CrossEntropy { classes: 3 };
    for label in [-1.0, 0.5, 3.0, f32::INFINITY] {
        let (value, slopes) = of(&loss, &[0.1, 0.2, 0.3], label);
        assert!(value.is_nan() && slopes.iter().all(|slope| slope.is_nan()), "{label}");
    }
}

#[test]
fn a_sure_right_class_keeps_its_small_loss_beside_large_logits() {
    let (value, _) = of(&Loss::CrossEntropy { classes: 2 }, &[1000f32, 990.0], 0.0);
    assert!((value / 4.5399e-5 - 1.0).abs() < 1e-3, "{value}");
}

/// Where e⁻ˢ overflows, 0 · ∞ would be no number at the very label that is met exactly.
#[test]
fn a_variance_far_below_the_floor_is_finite() {
    for log_variance in [-90f32, -200.0, f32::MIN] {
        let (value, slopes) = of(&Loss::GaussianNll, &[1.0, log_variance], 1.0);
        assert!((value - 0.5 * 1e-6f32.ln()).abs() < 1e-5, "{value}");
        assert!(slopes[0] == 0.0 && (0.0..1e-30).contains(&slopes[1]), "{slopes:?}");
    }
}

#[test]
fn pinballs_slope_at_its_kink_is_that_of_a_label_above() {
    let loss = Loss::Pinball { levels: vec![0.25] };
    assert_eq!(of(&loss, &[2.0], 2.0), (0.0, vec![-0.25]));
    assert_eq!(of(&loss, &[2.5], 2.0), (0.375, vec![0.75]));
}

#[test]
fn the_point_is_the_mean_the_median_or_the_likeliest_class() {
    assert_eq!(Loss::Huber { delta: 1.5 }.point(&[3.0]), 3.0);
    assert_eq!(Loss::GaussianNll.point(&[3.0, 9.0]), 3.0);
    assert_eq!(Loss::Pinball { levels: vec![0.05, 0.5, 0.95] }.point(&[1.0, 2.0, 4.0]), 2.0);
    assert_eq!(Loss::CrossEntropy { classes: 3 }.point(&[0.0, -1.0, 2.0]), 2.0);
}

#[test]
fn a_direction_adds_half_its_cross_entropy_to_its_point() {
    let directed = Loss::Directed { point: Box::new(Loss::Mse) };
    for (label, class) in [(0.7, 1.0), (0.0, 0.0), (-2.0, 0.0)] {
        let (value, slopes) = of(&directed, &[0.2f64, -0.3, 0.4], label);
        let (point, point_slope) = of(&Loss::Mse, &[0.2], label);
        let (direction, logit_slopes) = of(&Loss::CrossEntropy { classes: 2 }, &[-0.3, 0.4], class);
        assert!((value - (point + 0.5 * direction)).abs() < 1e-15);
        let expected = [point_slope[0], 0.5 * logit_slopes[0], 0.5 * logit_slopes[1]];
        assert!(slopes.iter().zip(expected).all(|(slope, expected)| (slope - expected).abs() < 1e-15));
    }

    let (value, slopes) = of(&directed, &[0.0f64, 0.0, 0.0], f64::NAN);
    assert!(value.is_nan() && slopes.iter().all(|slope| slope.is_nan()));
    assert_eq!((directed.prob_up(&[9.0, 1.0, 1.0]), Loss::Mse.prob_up(&[1.0])), (Some(0.5), None));
    assert!((directed.prob_up(&[0.0, 0.0, 1.0]).unwrap() - 0.731_058_578).abs() < 1e-7);
    assert_eq!(directed.point(&[3.0, 1.0, 2.0]), 3.0);
}

#[test]
fn quantiles_have_the_bounds_of_their_levels_alone() {
    let pinball = Loss::Pinball { levels: vec![0.05, 0.25, 0.5, 0.75, 0.95] };
    let outputs = [-2.0, -0.5, 0.1, 0.6, 2.5, 9.0, 9.0];
    assert_eq!(pinball.bounds(&outputs[..5], 0.9), Some((-2.0, 2.5)));
    assert_eq!(pinball.bounds(&outputs[..5], 0.5), Some((-0.5, 0.6)));
    assert_eq!(pinball.bounds(&outputs[..5], 0.8), None);
    assert_eq!(Loss::Directed { point: Box::new(pinball) }.bounds(&outputs, 0.9), Some((-2.0, 2.5)));
    assert_eq!(Loss::Mse.bounds(&[1.0], 0.9), None);
}
