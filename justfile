# Shortcuts; every recipe is a plain command. `just` lists them.

_default:
    @just --list

# Format, shell scripts and lints, without building more than clippy needs
check:
    cargo fmt --all --check
    python3 .ci/structure
    shellcheck .ci/run benches/e2e/run.sh docs/*.sh tests/chaos/run.sh tests/compose/run.sh
    cargo clippy --locked --all-targets -- -D warnings

# All tests; those that need Kafka start a broker of their own
test:
    cargo test --locked

# Integration tests whose name contains NAME, with their output
it NAME:
    cargo test --locked --test it -- {{ NAME }} --nocapture

# Kills processes on a real broker; 1000 kills take an hour
chaos KILLS='100' RECORDS='100000':
    tests/chaos/run.sh {{ KILLS }} {{ RECORDS }}

# A year of New York's weather, then a status page at http://127.0.0.1:8088
demo:
    cargo run --locked -- demo

# The learner: every cell over sizes, windows and batches
bench:
    cargo bench --locked

# The whole way on a real broker, beside librdkafka alone, Kafka Streams, and Quix Streams with River
e2e *OPTIONS:
    benches/e2e/run.sh {{ OPTIONS }}

# Instructions of each stage beside the kept counts; `--update` keeps the new ones
instructions *ARGS:
    cargo run --locked --example instructions -- {{ ARGS }}

# Known weaknesses of the dependencies; needs the network, as RustSec's database is there
advisories:
    cargo deny check advisories

# What the binary is made of, as JSON: every crate with its version, source, licence and features
sbom FILE='sbom.json':
    cargo metadata --locked --format-version 1 --filter-platform x86_64-unknown-linux-gnu > {{ FILE }}

# API documentation of our own crates
docs:
    cargo doc --locked --workspace --no-deps

# Prints the tables of docs/results
tables:
    docs/ablation.sh
    docs/synthetic.sh
    docs/scopes.sh

# Everything that a pull request has to pass
ci:
    bash .ci/run
