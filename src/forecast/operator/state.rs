//! What the forecasters remember, as bytes and back.
//! It must not compute: what goes in comes out, bit for bit.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::config::plan::Scope;
use crate::error::{Error, Kind, OrFail, Result};
use crate::forecast::bank::{Bank, Kit};
use crate::forecast::drift::Drift;
use crate::forecast::series::Series;
use crate::model::{Learner, Memory, Recipe, Track};
use crate::operator::Frozen;

/// What is learned. Series and learners are shared with snapshots that are not written yet; who changes one takes a copy
/// of its own (`Arc::make_mut`), so that freezing a hundred thousand of them copies pointers.
#[derive(Default)]
pub struct State {
    /// In the order in which they first appeared.
    pub series: IndexMap<Arc<str>, Arc<Member>>,
    /// One for all series, or one a series in their order.
    pub learners: Vec<Arc<Learner>>,
    pub newest: Newest,
    /// One a horizon, once there was a window.
    pub drifts: Vec<Drift>,
}

/// A series and its place in the network.
#[derive(Clone, Serialize, Deserialize)]
pub struct Member {
    pub series: Series,
    pub bank: Bank,
    pub track: Track,
    /// Windows it was forecast from.
    pub step: u64,
}

/// Of the newest training step.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Newest {
    pub loss: f32,
    pub gradient_norm: f32,
}

/// The state as it is read: what is learned, without what the plan says.
#[derive(Deserialize)]
struct Image {
    series: IndexMap<String, Member>,
    memories: Vec<Memory>,
    newest: Newest,
    drifts: Vec<Drift>,
}

/// The learner of a series.
pub fn learner_of(member: usize, scope: Scope) -> usize {
    match scope {
        Scope::Shared => 0,
        Scope::Series => member,
    }
}

impl State {
    pub fn freeze(&self) -> Frozen {
        let share = |(name, member): (&Arc<str>, &Arc<Member>)| (Arc::clone(name), Arc::clone(member));
        let series: Vec<_> = self.series.iter().map(share).collect();
        let (learners, newest, drifts) = (self.learners.clone(), self.newest, self.drifts.clone());
        Box::new(move || {
            write(series, &learners, (newest, drifts))
                .or_fail(Kind::State, || "cannot write the forecasters' state")
        })
    }

    /// Errors: `State`, when the bytes are not of these networks.
    pub fn read(bytes: &[u8], recipe: &Arc<Recipe>, kit: &Kit, scope: Scope) -> Result<State> {
        let other = || "this state is of another model";
        let Image { series, memories, newest, drifts } =
            postcard::from_bytes(bytes).or_fail(Kind::State, || "cannot read the forecasters' state")?;
        let learners = memories
            .into_iter()
            .map(|memory| Ok(Arc::new(Learner::resume(recipe, memory).or_fail(Kind::State, other)?)));
        let learners = learners.collect::<Result<Vec<_>>>()?;
        let fits = |(at, member): (usize, &Member)| {
            member.bank.fits(kit)
                && learners.get(learner_of(at, scope)).is_some_and(|learner| learner.fits(&member.track))
        };
        if !series.values().enumerate().all(fits) {
            return Err(Error::new(Kind::State, other()));
        }
        let series = series.into_iter().map(|(name, member)| (name.into(), Arc::new(member))).collect();
        Ok(State { series, learners, newest, drifts })
    }
}

/// The bytes of an `Image`. Every series is let go once it is written: the operator need not copy it any more.
fn write(
    series: Vec<(Arc<str>, Arc<Member>)>,
    learners: &[Arc<Learner>],
    (newest, drifts): (Newest, Vec<Drift>),
) -> postcard::Result<Vec<u8>> {
    let count = series.len();
    let mut bytes = postcard::to_stdvec(&count)?;
    // The operator has a copy of these already. To give memory back while it asks for more would make both wait.
    let mut replaced = Vec::new();
    for (at, (name, member)) in series.into_iter().enumerate() {
        bytes = postcard::to_extend(&(&*name, &*member), bytes)?;
        if at == 0 {
            // The others are about as long.
            bytes.reserve(bytes.len() * count);
        }
        if Arc::strong_count(&member) == 1 {
            replaced.push(member);
        }
    }
    let memories: Vec<&Memory> = learners.iter().map(|learner| learner.memory()).collect();
    postcard::to_extend(&(memories, newest, drifts), bytes)
}
