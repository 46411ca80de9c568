//! Records that wait for those after them, because a time of theirs runs ahead.
//! It must not know what running ahead is, nor what records are taken in for.

use super::front::{Ahead, AheadRule, Front};
use crate::decode::Decoded;
use crate::error::Result;
use crate::message::Records;
use crate::place::Offset;

/// What a partition knows of the times so far, and the records that wait.
pub(super) struct Lookout {
    /// None where the source has times of its own to judge by.
    rule: Option<AheadRule>,
    front: Front,
    held: Option<Records>,
}

impl Lookout {
    pub(super) fn new(rule: Option<AheadRule>) -> Self {
        Lookout { rule, front: Front::default(), held: None }
    }

    /// The records that waited, and these after them.
    pub(super) fn join(&mut self, records: Records) -> Result<Records> {
        match self.held.take() {
            Some(held) => held.followed_by(records),
            None => Ok(records),
        }
    }

    /// The records that can be taken in; those from the first on that waits for the next are held.
    pub(super) fn hold_back(
        &mut self,
        records: Records,
        decoded: &mut Decoded,
        ahead: Ahead,
    ) -> Result<Records> {
        let (Some(rule), Some(end)) = (&self.rule, records.next_offset()) else { return Ok(records) };
        let Some(from) = rule.judge(&mut self.front, decoded, end, ahead)? else { return Ok(records) };
        let (records, held) = records.split(from);
        self.held = Some(held);
        Ok(records)
    }

    /// The first record that waits.
    pub(super) fn held_from(&self) -> Option<Offset> {
        self.held.as_ref()?.first_offset()
    }

    /// The offset after the records that wait.
    pub(super) fn held_to(&self) -> Option<Offset> {
        self.held.as_ref()?.next_offset()
    }

    /// The records that wait: nothing comes after them.
    pub(super) fn take_held(&mut self) -> Option<Records> {
        self.held.take()
    }

    /// What is known of the times of all records that were taken in.
    pub(super) fn front(&self) -> Front {
        self.front
    }

    /// Goes back to what was known: what waited since is read again.
    pub(super) fn restore(&mut self, front: Front) {
        (self.front, self.held) = (front, None);
    }
}
