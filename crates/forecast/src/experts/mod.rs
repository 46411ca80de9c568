//! The experts: each forecasts every horizon of one series in its own way, and learns from what
//! came.
//! It must not know how they are mixed, or of other series.
//!
//! A new one is a file beside this, a word in `kind.rs`, and a line in the list below.

pub mod custom;
pub mod expert;
pub mod kind;
mod naive;
mod rls;
mod rnn;
mod seasonal_naive;
mod smoothing;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use self::custom::{CustomExpert, CustomExpertState};
use self::expert::{Expert, ExpertShape};
use self::kind::ExpertKind;
use self::naive::Naive;
use self::rls::Rls;
use self::rnn::NetworkExpert;
use self::seasonal_naive::SeasonalNaive;
use self::smoothing::Smoothing;

/// An expert and its name.
pub type NamedExpert = (&'static str, AnyExpert);

macro_rules! experts {
    ($($word:ident $type:ident $members:expr;)*) => {
        /// Any of them. The order of the variants is part of the state.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub enum AnyExpert {
            $(
                #[doc = concat!("One of `ExpertKind::", stringify!($word), "`.")]
                $word($type),
            )*
            /// One from outside this crate.
            Custom(Box<CustomExpertState>),
        }

        impl AnyExpert {
            /// What they have in common.
            pub fn get(&self) -> &dyn Expert {
                match self {
                    $(AnyExpert::$word(expert) => expert,)*
                    AnyExpert::Custom(expert) => expert.get(),
                }
            }

            /// What they have in common, to learn.
            pub fn get_mut(&mut self) -> &mut dyn Expert {
                match self {
                    $(AnyExpert::$word(expert) => expert,)*
                    AnyExpert::Custom(expert) => expert.get_mut(),
                }
            }
        }

        /// The experts that a word stands for, each under its name.
        fn members(kind: ExpertKind, shape: &ExpertShape) -> Vec<NamedExpert> {
            match kind {
                $(ExpertKind::$word => {
                    let members: Vec<(&'static str, $type)> = $members(shape);
                    members.into_iter().map(|(name, expert)| (name, AnyExpert::$word(expert))).collect()
                })*
            }
        }
    };
}

experts! {
    Naive Naive naive::members;
    SeasonalNaive SeasonalNaive seasonal_naive::members;
    Ewma Smoothing smoothing::members;
    Rls Rls rls::members;
    Rnn NetworkExpert rnn::members;
}

/// The experts of these words as they begin, then the custom ones, each under its name.
pub fn roster(kinds: &[ExpertKind], custom: Vec<CustomExpert>, shape: &ExpertShape) -> Vec<NamedExpert> {
    let mut kinds = kinds.to_vec();
    kinds.sort_unstable();
    let built_in = kinds.iter().flat_map(|&kind| members(kind, shape));

    let custom = custom
        .into_iter()
        .map(|expert| (expert.name(), AnyExpert::Custom(Box::new(CustomExpertState::Live(expert)))));
    built_in.chain(custom).collect()
}
