//! Experts from outside this crate: somebody's own type behind a name, and its state as bytes.
//! It must not know how the experts of this crate are kept.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::expert::{Expert, Observation};
use crate::error::{ForecastError, Result};

/// Somebody's own expert, as every series begins with it. See `examples/own_expert.rs`.
#[derive(Clone)]
pub struct CustomExpert {
    name: &'static str,
    expert: Box<dyn ErasedExpert>,
}

impl CustomExpert {
    /// An expert of this name. Every series gets a copy of `expert`. What serde writes of that copy
    /// is in the forecaster's state, and comes back from it.
    pub fn new<E>(name: &'static str, expert: E) -> Self
    where
        E: Expert + Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        CustomExpert { name, expert: Box::new(expert) }
    }

    /// What forecasts and scores call it.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for CustomExpert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomExpert").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A custom expert in the state of a series.
#[derive(Clone)]
pub enum CustomExpertState {
    /// It forecasts and learns.
    Live(CustomExpert),
    /// It was read from a state, and its type is not known yet.
    Unread(UnreadExpert),
}

impl CustomExpertState {
    /// The expert.
    pub fn get(&self) -> &dyn Expert {
        match self {
            CustomExpertState::Live(custom) => custom.expert.as_expert(),
            CustomExpertState::Unread(unread) => unread,
        }
    }

    /// The expert, to learn.
    pub fn get_mut(&mut self) -> &mut dyn Expert {
        match self {
            CustomExpertState::Live(custom) => custom.expert.as_expert_mut(),
            CustomExpertState::Unread(unread) => unread,
        }
    }

    /// Makes an unread one live: the expert of `prototype` with the state that was read.
    /// Errors: when that is the state of another expert.
    pub fn revive(&mut self, prototype: &CustomExpertState) -> Result<()> {
        let (CustomExpertState::Unread(unread), CustomExpertState::Live(custom)) = (&*self, prototype) else {
            return Ok(());
        };
        if unread.name != custom.name {
            let (own, other) = (custom.name, &unread.name);
            return Err(ForecastError::new(format!("this state has the expert {other} in place of {own}")));
        }

        let because = ForecastError::because("the state of an own expert cannot be decoded");
        let expert = custom.expert.with_state(&unread.bytes).map_err(because)?;
        *self = CustomExpertState::Live(CustomExpert { name: custom.name, expert });
        Ok(())
    }
}

impl fmt::Debug for CustomExpertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CustomExpertState::Live(custom) => custom.fmt(f),
            CustomExpertState::Unread(unread) => unread.fmt(f),
        }
    }
}

impl Serialize for CustomExpertState {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            CustomExpertState::Live(CustomExpert { name, expert }) => {
                let bytes = expert.to_bytes().map_err(S::Error::custom)?;
                UnreadExpert { name: (*name).to_owned(), bytes }.serialize(serializer)
            }
            CustomExpertState::Unread(unread) => unread.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for CustomExpertState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        UnreadExpert::deserialize(deserializer).map(CustomExpertState::Unread)
    }
}

/// What a state holds of a custom expert: its name, and its own state as bytes. Nobody asks it for
/// a forecast before it is revived; its forecast would be the naive one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnreadExpert {
    name: String,
    bytes: Vec<u8>,
}

impl Expert for UnreadExpert {
    fn forecast(&self, _: &Observation<'_>, _: usize, _: f64, _: &mut [f32]) -> f64 {
        0.0
    }
}

/// An expert whose type is not known here.
trait ErasedExpert: Send + Sync {
    fn as_expert(&self) -> &dyn Expert;

    fn as_expert_mut(&mut self) -> &mut dyn Expert;

    fn boxed_clone(&self) -> Box<dyn ErasedExpert>;

    fn to_bytes(&self) -> postcard::Result<Vec<u8>>;

    /// One of the same type with the state that `to_bytes` wrote.
    fn with_state(&self, bytes: &[u8]) -> postcard::Result<Box<dyn ErasedExpert>>;
}

impl<E> ErasedExpert for E
where
    E: Expert + Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn as_expert(&self) -> &dyn Expert {
        self
    }

    fn as_expert_mut(&mut self) -> &mut dyn Expert {
        self
    }

    fn boxed_clone(&self) -> Box<dyn ErasedExpert> {
        Box::new(self.clone())
    }

    fn to_bytes(&self) -> postcard::Result<Vec<u8>> {
        postcard::to_stdvec(self)
    }

    fn with_state(&self, bytes: &[u8]) -> postcard::Result<Box<dyn ErasedExpert>> {
        Ok(Box::new(postcard::from_bytes::<E>(bytes)?))
    }
}

impl Clone for Box<dyn ErasedExpert> {
    fn clone(&self) -> Self {
        self.as_ref().boxed_clone()
    }
}
