#!/usr/bin/env bash
# Prints the tables of docs/results/synthetic.md: random walks, on which nothing can be gained, and series that change their ways at once.
# TICKCAST: the command to call, `cargo run` unless said. Needs python3. Half a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra tickcast <<< "${TICKCAST:-cargo run --locked --quiet --}"
exec python3 - "${tickcast[@]}" <<'PYTHON'
import collections, datetime, json, math, pathlib, random, subprocess, sys, tempfile

command = sys.argv[1:]
SERIES, CHANGE, AFTER = 20, 1500, 300
EPOCH = datetime.datetime(2024, 1, 1)

def time(n):
    return (EPOCH + datetime.timedelta(hours=n)).strftime("%Y-%m-%dT%H:%M:%SZ")

def write(path, columns, start=0):
    """Hours from `start` on of series that are lists of numbers."""
    lines = (f"s{k:02},{time(n)},{values[n]!r}\n"
             for n in range(start, len(columns[0])) for k, values in enumerate(columns))
    path.write_text("k,t,v\n" + "".join(lines))

def pipeline(folder, horizons):
    path = folder / "p.yaml"
    path.write_text(f"""
name: synthetic
source: {{ file: {{ path: in.csv }} }}
key: k
time: t
window: {{ tumbling: 1h, select: {{ v: avg(v) }} }}
forecast: {{ target: v, horizons: {horizons}, season: 24, levels: [0.9] }}
sinks: {{ scores: {{ file: {{ path: out }}, format: ndjson }} }}
""")
    return path

def call(*arguments):
    return subprocess.run([*command, *map(str, arguments)], check=True, capture_output=True, text=True).stdout

def noise(seed):
    return random.Random(seed).gauss

def walk(seed):
    gauss, x, values = noise(seed), 0.0, []
    for _ in range(2000):
        x += gauss(0, 1)
        values.append(x)
    return values

def steps(seed, before, after):
    gauss, x, step, values = noise(seed), 0.0, 0.0, []
    for n in range(CHANGE + AFTER):
        step = (before if n < CHANGE else after) * step + gauss(0, 1)
        x += step
        values.append(x)
    return values

def level(seed, before, after):
    gauss, x, values = noise(seed), 0.0, []
    for n in range(CHANGE + AFTER):
        x = (before if n < CHANGE else after) * x + gauss(0, 1)
        values.append(x)
    return values

def season(seed):
    gauss = noise(seed)
    wave = lambda n: (3 if n < CHANGE else -3) * math.sin(2 * math.pi * n / 24)
    return [wave(n) + gauss(0, 1) for n in range(CHANGE + AFTER)]

def errors(columns, start):
    """Mean |error| by horizon and hour."""
    with tempfile.TemporaryDirectory() as out:
        folder = pathlib.Path(out)
        write(folder / "in.csv", columns, start)
        call("run", pipeline(folder, [1, 6]))
        sums = collections.defaultdict(list)
        for line in (folder / "out/scores-0.ndjson").read_text().splitlines():
            score = json.loads(line)
            issued = datetime.datetime.fromisoformat(score["issued_at"].rstrip("Z"))
            hour = round((issued - EPOCH).total_seconds() / 3600)
            sums[score["horizon"], hour].append(abs(score["error"]))
    return {place: sum(values) / len(values) for place, values in sums.items()}

def walks():
    with tempfile.TemporaryDirectory() as out:
        folder = pathlib.Path(out)
        write(folder / "in.csv", [walk(seed) for seed in range(SERIES)])
        horizons = [1, 6, 24]
        result = json.loads(call("backtest", pipeline(folder, horizons), "--skip", 100, "--json"))
        print("| horizon | all, loss to naive | worst of them | 90 % covers |\n|--:|--:|--:|--:|")
        for at, horizon in enumerate(horizons):
            skills = [100 * series["horizons"][at]["skill"] for series in result["series"]]
            covers = [100 * series["horizons"][at]["levels"][0]["coverage"] for series in result["series"]]
            mean = lambda values: sum(values) / len(values)
            print(f"| {horizon} | {-mean(skills) + 0:.2f} % | {-min(skills) + 0:.2f} % | {mean(covers):.1f} % |")

SPANS = [(10, 50), (50, 100), (100, 150), (150, 280)]

def changes():
    kinds = {
        "steps' autocorrelation -0.8 to 0.8": lambda seed: steps(seed, -0.8, 0.8),
        "steps' autocorrelation 0.7 to -0.7": lambda seed: steps(seed, 0.7, -0.7),
        "level's autocorrelation 0.9 to -0.9": lambda seed: level(seed, 0.9, -0.9),
        "season turned around": season,
    }
    print("| what changes | horizon | " + " | ".join(f"{a} to {b}" for a, b in SPANS) + " |")
    print("|---|--:|" + "--:|" * len(SPANS))
    for name, make in kinds.items():
        columns = [make(100 + seed) for seed in range(SERIES)]
        whole, new = errors(columns, 0), errors(columns, CHANGE)
        for horizon in (1, 6):
            total = lambda of, a, b: sum(of[horizon, hour] for hour in range(CHANGE + a, CHANGE + b))
            ratios = [total(whole, *span) / total(new, *span) for span in SPANS]
            print(f"| {name} | {horizon} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")

print(f"{SERIES} random walks, 2,000 steps, the first 100 not scored:\n")
walks()
print(f"\nSeries that change at hour {CHANGE:,} ({SERIES} a kind): the error so many hours after it, in units of the error of a pipeline"
      " that was started at the change:\n")
changes()
PYTHON
