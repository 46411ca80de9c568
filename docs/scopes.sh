#!/usr/bin/env bash
# Prints the table of docs/results/scopes.md: what a series costs with `scope: shared` and with `scope: series`.
# Generated prices, the default network, horizons 1 and 5, one partition, one worker. Needs python3.
# TICKCAST: the command to call, `cargo run` unless said. SERIES: how many, "100 1000" unless said. WINDOWS of each: 600.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra tickcast <<< "${TICKCAST:-cargo run --locked --quiet --}"
exec python3 - "${tickcast[@]}" <<'PYTHON'
import os, pathlib, sys, tempfile

command, steps = sys.argv[1:], int(os.environ.get("WINDOWS", "600"))
counts = [int(count) for count in os.environ.get("SERIES", "100 1000").split()]

def run(series, scope):
    """CPU seconds, peak memory in KiB and bytes of the newest state of a run."""
    with tempfile.TemporaryDirectory() as out:
        sets = [
            # A tick a second and series, five a window.
            f"source={{generate: {{series: {series}, ticks: {series * steps * 5}, seed: 7, process: market}}}}",
            "window.tumbling=5s", "window.lateness=0s", "serve={}", "workers=1",
            f"forecast.model={{scope: {scope}}}",
            f"sinks={{forecasts: {{file: {{path: {out}/out/}}}}, scores: {{file: {{path: {out}/out/}}}}}}",
            f"state={{dir: {out}/state}}",
        ]
        arguments = ["run", "pipelines/market.yaml", *(word for one in sets for word in ("--set", one))]
        null = os.open(os.devnull, os.O_WRONLY)
        actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
        child = os.posix_spawnp(command[0], [*command, *arguments], os.environ, file_actions=actions)
        os.close(null)
        _, status, usage = os.wait4(child, 0)
        if status != 0:
            sys.exit(f"the run failed: {' '.join([*command, *arguments])}")
        # An older one may still lie beside it.
        newest = max(pathlib.Path(out, "state").glob("*.snapshot"))
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss, newest.stat().st_size

print("| `scope` | series | CPU time a series and window | peak memory | state on the disk, a series |")
print("|---|--:|--:|--:|--:|")
for series in counts:
    for scope in ("shared", "series"):
        seconds, kib, state = run(series, scope)
        cells = [scope, f"{series:,}", f"{1e6 * seconds / (series * steps):.0f} µs", f"{kib / 1024:.0f} MiB",
                 f"{state / series / 1024:.1f} KiB"]
        print("| " + " | ".join(cells) + " |", flush=True)
PYTHON
