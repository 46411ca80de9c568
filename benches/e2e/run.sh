#!/usr/bin/env bash
# Kafka's wire, tickcast, Kafka Streams, and Quix Streams with River, measured in turns on one broker of its own.
#
#   benches/e2e/run.sh [--short | --long] [--only NAME...] [--parts PART...] [--help]
#
# README.md beside it says what is measured and how. It needs Linux, Rust, JDK 17 with javac, Maven and Python 3.10 or newer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec python3 benches/e2e/driver.py "$@"
