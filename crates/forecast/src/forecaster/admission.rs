//! Series enter a forecaster: each with its first value of the target, and its place in the state;
//! and leave it, where there are too many.
//! It must not forecast.

use std::collections::HashSet;
use std::sync::Arc;

use super::Forecaster;
use super::row::Row;
use super::state::SeriesState;
use crate::error::Result;
use crate::forgetting::who_stays;
use crate::series::SeriesHistory;
use crate::series_forecaster::SeriesForecaster;
use crate::spec::Scope;
use crate::window::WindowRow;

impl Forecaster {
    /// The rows of a closed window that can be forecast: a series appears with its first value of
    /// the target.
    pub(super) fn admit_all(&mut self, rows: Vec<WindowRow<'_>>) -> Result<Vec<Row>> {
        self.make_room(&rows);
        let mut admitted = Vec::with_capacity(rows.len());
        for WindowRow { series_id, series, values, observed } in rows {
            let series_idx = match self.index_of(series_id, series) {
                Some(index) => index,
                None if values[0].is_none() => continue,
                None => self.admit(series_id, series)?,
            };
            admitted.push(Row { series_idx, values, observed });
        }
        Ok(admitted)
    }

    /// Forgets the series that have been silent for longest, where there will be too many with the
    /// new ones; none that has a row in this window.
    fn make_room(&mut self, rows: &[WindowRow<'_>]) {
        let most = self.spec.most_series.max(1);
        if self.state.series.len() + rows.len() <= most {
            return;
        }
        let known = rows.iter().filter_map(|row| self.state.series.get_index_of(row.series));
        let known: HashSet<usize> = known.collect();
        let wanted = self.state.series.len() + (rows.len() - known.len());
        if wanted <= most {
            return;
        }

        let seen = |index: usize| (!known.contains(&index)).then(|| self.state.series[index].seen);
        let stays = who_stays(self.state.series.len(), wanted - most, most, seen);
        self.state.keep(&stays, self.spec.model.scope);
        self.indices.clear();
    }

    /// A series' index in the state, if it was admitted. Its name is hashed once; then its id is
    /// enough.
    fn index_of(&mut self, id: u32, name: &str) -> Option<usize> {
        // An id is another series' where whoever gives them has forgotten some.
        if let Some(Some(index)) = self.indices.get(id as usize)
            && self.state.series.get_index(*index).is_some_and(|(known, _)| **known == *name)
        {
            return Some(*index);
        }

        let index = self.state.series.get_index_of(name)?;
        self.keep_index(id, index);
        Some(index)
    }

    fn keep_index(&mut self, id: u32, index: usize) {
        let at = id as usize;
        if self.indices.len() <= at {
            self.indices.resize(at + 1, None);
        }
        self.indices[at] = Some(index);
    }

    fn admit(&mut self, id: u32, name: &str) -> Result<usize> {
        if self.state.learners.is_empty() || self.spec.model.scope == Scope::Series {
            self.state.learners.push(Arc::new(self.new_learner()?));
        }

        let learner = &self.state.learners[self.state.learners.len() - 1];
        let series = SeriesState {
            history: SeriesHistory::new(&self.spec, self.memory),
            forecaster: SeriesForecaster::new(&self.layout),
            buffer: learner.new_buffer(),
            step: 0,
            seen: i64::MIN,
        };
        let index = self.state.series.insert_full(name.into(), Arc::new(series)).0;
        self.keep_index(id, index);
        Ok(index)
    }
}
