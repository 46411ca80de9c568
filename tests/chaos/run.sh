#!/usr/bin/env bash
# The long form of `cargo test chaos`: KILLS faults over RECORDS records, on a real broker with real processes.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: tests/chaos/run.sh [KILLS [RECORDS]]

Three instances of tickcast learn from six partitions of a private Kafka broker and commit exactly once, while they are
killed KILLS times (default 1000) over RECORDS records (default 1000000): at random moments, at every step of a commit,
a third of the times in rebalances, with zombies in between. At the end every record of the sink topics and the learned
state are compared with those of a run that nobody disturbed. 1000 kills take an hour.

  TICKCAST_CHAOS_SEED   another schedule (default 1)
  TICKCAST_CHAOS_BROKERS   at least so many kills of the broker (default 0: none). About one in twenty leaves a transaction
                       of this lone node half ended, and the run waits for it until it is given up.
  TICKCAST_CHAOS_NODES   3: three brokers and a controller, each a process of its own, and three copies of every record
                       (default 1: one node that is everything)
  TICKCAST_CHAOS_LOGS   a directory that keeps the instances' logs

It needs JDK 17 and Maven, or a container daemon, for the broker.
HELP
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac
kills=${1:-1000}
records=${2:-1000000}
if [ $# -gt 2 ] || ! [[ $kills =~ ^[1-9][0-9]*$ && $records =~ ^[1-9][0-9]*$ ]]; then
  usage >&2
  exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export TICKCAST_CHAOS_KILLS=$kills TICKCAST_CHAOS_RECORDS=$records TICKCAST_CHAOS_BROKERS=${TICKCAST_CHAOS_BROKERS:-0}
exec cargo test --test it -- --exact delivery::chaos::chaos --nocapture
