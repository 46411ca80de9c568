//! Where each partition stands between its assignment and its release, as a pure state machine.
//! It must not know channels, sources or clocks: the reader tells it what happened, and does what
//! it answers.
//!
//! ```text
//! (none) ──assign──▶ Waiting ──begin──▶ Owned ──end──▶ Ended
//!    ▲                  ▲ │               │              │
//!    │                  │ └─revoke─▶ (none)              │
//!    │                  │                 └──revoke──┬───┘
//!    │                  │ released                   ▼
//!    └─────released─────┴──────────────────── Releasing { comes_back }
//! ```

use std::collections::BTreeMap;

use crate::place::PartitionId;

/// Where one partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is assigned, and what is known of it is not claimed yet.
    Waiting,
    /// A worker has it, and the source reads it.
    Owned {
        /// Which of all beginnings this is.
        incarnation: u64,
    },
    /// A worker has it, and the source has no more records of it.
    Ended {
        /// Which of all beginnings this is.
        incarnation: u64,
    },
    /// It was revoked, and the sink has not let go of it yet.
    Releasing {
        /// Whether it was assigned again meanwhile.
        comes_back: bool,
    },
}

/// What has to be done with a partition that is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnRevoke {
    /// Its worker drops it; it is given back when the sink has let go of it.
    Drop,
    /// Nobody works on it: it is given back at once.
    GiveBack,
    /// The sink still has to let go of an earlier time of it; then it is given back.
    Nothing,
}

/// The phases of all partitions that the source has named and not got back.
#[derive(Debug, Default)]
pub(super) struct Phases {
    of: BTreeMap<PartitionId, Phase>,
    /// Partitions begun so far.
    incarnations: u64,
}

impl Phases {
    /// The source gives a partition. One that is still being released waits until that is done:
    /// until then nobody knows what is committed of it.
    pub fn assign(&mut self, id: PartitionId) {
        let phase = match self.of.get(&id) {
            Some(Phase::Releasing { .. }) => Phase::Releasing { comes_back: true },
            Some(Phase::Waiting | Phase::Owned { .. } | Phase::Ended { .. }) | None => Phase::Waiting,
        };
        self.of.insert(id, phase);
    }

    /// The partition to begin next; none while any is being released, since partitions go back to
    /// the group together.
    pub fn next_to_begin(&self) -> Option<PartitionId> {
        if self.of.values().any(|phase| matches!(phase, Phase::Releasing { .. })) {
            return None;
        }
        self.of.iter().find(|(_, phase)| **phase == Phase::Waiting).map(|(&id, _)| id)
    }

    /// A partition begins: its number among all beginnings, from 1 on.
    pub fn begin(&mut self, id: PartitionId) -> u64 {
        self.incarnations += 1;
        self.of.insert(id, Phase::Owned { incarnation: self.incarnations });
        self.incarnations
    }

    /// The source has no more records of a partition.
    pub fn end(&mut self, id: PartitionId) {
        if let Some(phase) = self.of.get_mut(&id)
            && let Phase::Owned { incarnation } = *phase
        {
            *phase = Phase::Ended { incarnation };
        }
    }

    /// The source takes a partition away.
    pub fn revoke(&mut self, id: PartitionId) -> OnRevoke {
        match self.of.get(&id) {
            Some(Phase::Owned { .. } | Phase::Ended { .. }) => {
                self.of.insert(id, Phase::Releasing { comes_back: false });
                OnRevoke::Drop
            }
            Some(Phase::Releasing { .. }) => {
                self.of.insert(id, Phase::Releasing { comes_back: false });
                OnRevoke::Nothing
            }
            Some(Phase::Waiting) | None => {
                self.of.remove(&id);
                OnRevoke::GiveBack
            }
        }
    }

    /// The sink has let go of a partition.
    pub fn released(&mut self, id: PartitionId) {
        match self.of.get(&id) {
            Some(Phase::Releasing { comes_back: true }) => _ = self.of.insert(id, Phase::Waiting),
            Some(Phase::Releasing { comes_back: false }) => _ = self.of.remove(&id),
            Some(Phase::Waiting | Phase::Owned { .. } | Phase::Ended { .. }) | None => {}
        }
    }

    /// Whether any partition is assigned and not begun.
    pub fn has_waiting(&self) -> bool {
        let waits = |phase: &Phase| matches!(phase, Phase::Waiting | Phase::Releasing { comes_back: true });
        self.of.values().any(waits)
    }

    /// Whether the whole input has ended: every partition that is ours has, and there is one.
    pub fn are_over(&self) -> bool {
        let mut ended = false;
        for phase in self.of.values() {
            match phase {
                Phase::Ended { .. } => ended = true,
                Phase::Releasing { comes_back: false } => {}
                Phase::Waiting | Phase::Owned { .. } | Phase::Releasing { comes_back: true } => return false,
            }
        }
        ended
    }

    /// The partitions that the source reads.
    pub fn reading(&self) -> impl Iterator<Item = PartitionId> {
        self.of.iter().filter(|(_, phase)| matches!(phase, Phase::Owned { .. })).map(|(&id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Phases in which partition 0 is owned.
    fn owned() -> Phases {
        let mut phases = Phases::default();
        phases.assign(PartitionId(0));
        phases.begin(PartitionId(0));
        phases
    }

    fn phase(phases: &Phases) -> Option<Phase> {
        phases.of.get(&PartitionId(0)).copied()
    }

    #[test]
    fn an_assigned_partition_waits_begins_and_ends() {
        let mut phases = Phases::default();
        phases.assign(PartitionId(0));
        assert_eq!((phase(&phases), phases.next_to_begin()), (Some(Phase::Waiting), Some(PartitionId(0))));
        assert!(phases.has_waiting() && !phases.are_over());
        assert_eq!(phases.begin(PartitionId(0)), 1);
        assert_eq!((phase(&phases), phases.next_to_begin()), (Some(Phase::Owned { incarnation: 1 }), None));
        assert!(!phases.has_waiting() && phases.reading().eq([PartitionId(0)]));
        phases.end(PartitionId(0));
        assert_eq!(phase(&phases), Some(Phase::Ended { incarnation: 1 }));
        assert!(phases.are_over() && phases.reading().next().is_none());
    }

    #[test]
    fn a_revoked_partition_is_gone_only_when_the_sink_has_let_go_of_it() {
        for ends in [false, true] {
            let mut phases = owned();
            if ends {
                phases.end(PartitionId(0));
            }
            assert_eq!(phases.revoke(PartitionId(0)), OnRevoke::Drop);
            assert_eq!(phase(&phases), Some(Phase::Releasing { comes_back: false }));
            assert!(!phases.are_over() && phases.reading().next().is_none());
            phases.released(PartitionId(0));
            assert_eq!(phase(&phases), None);
        }
    }

    #[test]
    fn one_that_comes_back_waits_for_its_release_and_so_do_all_others() {
        let mut phases = owned();
        phases.revoke(PartitionId(0));
        phases.assign(PartitionId(0));
        phases.assign(PartitionId(1));
        assert_eq!(phase(&phases), Some(Phase::Releasing { comes_back: true }));
        assert_eq!((phases.next_to_begin(), phases.has_waiting()), (None, true));
        phases.released(PartitionId(0));
        assert_eq!((phase(&phases), phases.next_to_begin()), (Some(Phase::Waiting), Some(PartitionId(0))));
        assert_eq!(
            (phases.begin(PartitionId(0)), phases.next_to_begin(), phases.begin(PartitionId(1))),
            (2, Some(PartitionId(1)), 3)
        );
    }

    #[test]
    fn one_that_comes_back_and_is_revoked_again_does_not_come_back() {
        let mut phases = owned();
        phases.revoke(PartitionId(0));
        phases.assign(PartitionId(0));
        assert_eq!(phases.revoke(PartitionId(0)), OnRevoke::Nothing);
        assert!(!phases.has_waiting());
        phases.released(PartitionId(0));
        assert_eq!(phase(&phases), None);
    }

    #[test]
    fn one_that_nobody_works_on_is_given_back_at_once() {
        let mut phases = Phases::default();
        assert_eq!(phases.revoke(PartitionId(0)), OnRevoke::GiveBack);
        phases.assign(PartitionId(0));
        assert_eq!(phases.revoke(PartitionId(0)), OnRevoke::GiveBack);
        assert_eq!((phase(&phases), phases.has_waiting()), (None, false));
    }

    #[test]
    fn one_that_could_not_be_started_waits_again() {
        let mut phases = owned();
        phases.assign(PartitionId(0));
        assert_eq!((phases.next_to_begin(), phases.begin(PartitionId(0))), (Some(PartitionId(0)), 2));
    }

    #[test]
    fn the_input_is_over_when_every_partition_has_ended_and_none_is_still_to_begin() {
        let mut phases = Phases::default();
        assert!(!phases.are_over());
        (0..3).for_each(|id| phases.assign(PartitionId(id)));
        (0..2).for_each(|id| _ = phases.begin(PartitionId(id)));
        (0..2).for_each(|id| phases.end(PartitionId(id)));
        assert!(!phases.are_over(), "partition 2 has not begun");
        phases.begin(PartitionId(2));
        assert!(!phases.are_over(), "partition 2 is being read");
        phases.revoke(PartitionId(2));
        assert!(phases.are_over(), "partition 2 is ours no more");
    }

    #[test]
    fn what_comes_too_late_changes_nothing() {
        let mut phases = owned();
        phases.released(PartitionId(0));
        assert_eq!(phase(&phases), Some(Phase::Owned { incarnation: 1 }));
        phases.revoke(PartitionId(0));
        phases.end(PartitionId(0));
        assert_eq!(phase(&phases), Some(Phase::Releasing { comes_back: false }));
        phases.released(PartitionId(0));
        phases.end(PartitionId(0));
        phases.released(PartitionId(0));
        assert_eq!(phase(&phases), None);
    }
}
