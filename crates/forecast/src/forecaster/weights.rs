//! The networks' weights as safetensors: out of the state, into it, and as the start of networks to
//! come.
//! It must not know partitions or disks.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::horizon::Horizon;
use tickcast_model::{self as model, DVector, Learner, file};

use super::Forecaster;
use crate::error::{ForecastError, Result};
use crate::spec::{ForecastSpec, Scope};

/// Which of a network's two sets of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightsKind {
    /// The moving average: the expert rnn.
    Average,
    /// As the newest update left them: the expert rnn_raw.
    Raw,
}

/// Keys of a file's metadata that say what its inputs and outputs mean.
pub const MEANING: [&str; 5] = ["target", "features", "horizons", "season", "calendar"];

impl Forecaster {
    /// The series it knows, in the order in which they first appeared.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.state.series.keys().map(|name| &**name)
    }

    /// Networks that begin from now on begin with these weights. Errors: when they are not for this
    /// spec.
    pub fn begin_with(&mut self, weights: &[u8]) -> model::Result<()> {
        self.initial = Some(self.params(weights)?);
        Ok(())
    }

    /// Every network starts anew from these weights. Series, windows and forecasts that wait for
    /// their truth stay. Errors: when they are not for this spec; nothing has changed then.
    pub fn import(&mut self, weights: &[u8]) -> model::Result<()> {
        let params = self.params(weights)?;
        self.state.learners.iter_mut().try_for_each(|learner| Arc::make_mut(learner).import(&params))
    }

    /// The weights of the network of `series`, or of the only one, with `more` in the file's
    /// metadata. Errors: when there is no such network.
    pub fn export(
        &self,
        series: Option<&str>,
        weights: WeightsKind,
        more: &[(&str, String)],
    ) -> Result<Vec<u8>> {
        let index = match (self.spec.model.scope, series) {
            (Scope::Shared, _) => Some(0),
            (Scope::Series, Some(series)) => self.state.series.get_index_of(series),
            (Scope::Series, None) => None,
        };
        let learner = index.and_then(|index| self.state.learners.get(index));
        let learner = learner.ok_or_else(|| ForecastError::new("there is no such network"))?;
        let params = match weights {
            WeightsKind::Average => learner.ema_params(),
            WeightsKind::Raw => learner.params(),
        };

        let mut metadata = meaning(&self.spec);
        metadata.insert("updates".to_owned(), learner.updates().to_string());
        metadata.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        file::write(learner.network().spec(), &params, &metadata)
            .map_err(ForecastError::because("cannot be exported"))
    }

    /// Where a file's inputs and outputs mean something else than this spec's: shapes would not
    /// tell. Errors: when it is no weights file.
    pub fn other_meaning(&self, weights: &[u8]) -> model::Result<Vec<String>> {
        let others = file::metadata(weights)?;
        let own = meaning(&self.spec);
        let differs = MEANING.iter().filter_map(|&key| {
            let (other, own) = (others.get(key)?, own.get(key)?);
            (other != own).then(|| format!("its {key}: {other}; the pipeline's: {own}"))
        });
        Ok(differs.collect())
    }

    fn params(&self, weights: &[u8]) -> model::Result<DVector<f32>> {
        file::read(weights, self.template.network().spec())
    }

    /// A network that knows nothing, or what it was told to begin with.
    pub(super) fn new_learner(&self) -> Result<Learner> {
        let mut learner = Learner::new(&self.template);
        if let Some(params) = &self.initial {
            learner.import(params).map_err(ForecastError::because("cannot begin with the given weights"))?;
        }
        Ok(learner)
    }
}

/// What a network's inputs and outputs mean, as `MEANING` names it.
pub fn meaning(spec: &ForecastSpec) -> BTreeMap<String, String> {
    let list = |items: Vec<String>| items.join(", ");
    let values = [
        spec.target.clone(),
        list(spec.features.clone()),
        list(spec.horizons.iter().map(Horizon::to_string).collect()),
        spec.season.map_or_else(|| "none".to_owned(), |season| season.to_string()),
        list(spec.calendar.iter().map(|calendar| format!("{calendar:?}")).collect()),
    ];
    MEANING.iter().map(|key| (*key).to_owned()).zip(values).collect()
}
