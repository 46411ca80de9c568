//! The target that a verb about one network means.
//! It must not know what is done with it.

use tickcast_forecast::ForecastSpec;
use tickcast_stream::error::{Error, Kind};

use crate::config::plan::Plan;
use crate::failure::{Failure, Outcome};

/// The place and the spec of the target that is named, or of the only one. Errors: `Config`, when
/// there is none of this name, or several and none is named.
pub fn which_target<'a>(plan: &'a Plan, named: Option<&str>) -> Outcome<(usize, &'a ForecastSpec)> {
    let all = || plan.targets.names().collect::<Vec<_>>().join(", ");
    let what = match named {
        None if plan.targets.are_several() => {
            format!(
                "forecast.target has several, each with networks of its own; say which: --target {}",
                all()
            )
        }
        None => return Ok((0, plan.targets.shared())),
        Some(named) => match plan.targets.iter().enumerate().find(|(_, spec)| spec.target == named) {
            Some(found) => return Ok(found),
            None => format!("--target {named}: forecast.target has no such column, but {}", all()),
        },
    };
    Err(Failure::Runtime(Error::new(Kind::Config, what)))
}
