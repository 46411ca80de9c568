#!/usr/bin/env bash
# Prints the tables of docs/results/synthetic.md: random walks, on which nothing can be gained, series that change their ways at once,
# and series of which forecasts and intervals are known that cannot be.
# TICKCAST: the command to call, `cargo run` unless said. Needs python3. A minute.
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

def pipeline(folder, horizons, stream="scores"):
    path = folder / "p.yaml"
    path.write_text(f"""
name: synthetic
source: {{ file: {{ path: in.csv }} }}
key: k
time: t
window: {{ tumbling: 1h, select: {{ v: avg(v) }} }}
forecast: {{ target: v, horizons: {horizons}, season: 24, levels: [0.9] }}
sinks: {{ {stream}: {{ file: {{ path: out }}, format: ndjson }} }}
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

def still(seed, quiet=0.0):
    gauss, x, values = noise(seed), 0.0, []
    for n in range(HOURS):
        step = gauss(0, 1)
        x += step if n >= BREAK else 0
        values.append(50 + x + (quiet * step if n < BREAK else 0))
    return values

def shift(seed):
    gauss = noise(seed)
    return [50 + (4 if n >= BREAK else 0) + gauss(0, 1) for n in range(HOURS)]

def poisson(draw, mean):
    count, product = 0, draw()
    while product > math.exp(-mean):
        count, product = count + 1, product * draw()
    return float(count)

def counts(seed):
    draw = random.Random(seed).random
    return [poisson(draw, 0.2) for _ in range(HOURS)]

def inflated(seed):
    draw = random.Random(seed).random
    return [poisson(draw, 8) if draw() < 0.1 else 0.0 for _ in range(HOURS)]

def sun(seed):
    gauss, clear, values = noise(seed), 0.7, []
    for n in range(HOURS):
        clear = min(1.0, max(0.1, clear + gauss(0, 0.1)))
        values.append(max(0.0, round(1000 * clear * math.sin(2 * math.pi * (n - 6) / 24), 1)))
    return values

def constant(seed):
    return [float(seed)] * HOURS

HOURS, BREAK, FROM = 900, 300, 400

def forecasts(columns):
    """Of each horizon, all forecasts of the hours from FROM on: forecast, bounds, what came."""
    with tempfile.TemporaryDirectory() as out:
        folder = pathlib.Path(out)
        write(folder / "in.csv", columns)
        call("run", pipeline(folder, [1, 24], "forecasts"))
        found = collections.defaultdict(list)
        for line in (folder / "out/forecasts-0.ndjson").read_text().splitlines():
            made = json.loads(line)
            target = datetime.datetime.fromisoformat(made["target_time"].rstrip("Z"))
            hour = round((target - EPOCH).total_seconds() / 3600) - 1
            if FROM <= hour < HOURS:
                actual = columns[int(made["series"][1:])][hour]
                found[made["horizon"]].append((made["forecast"], made["lower_90"], made["upper_90"], actual))
        return found

def possible():
    kinds = {
        "still, then a walk": (still, 3.3, 16.1),
        "nearly still, then a walk": (lambda seed: still(seed, 1e-3), 3.3, 16.1),
        "noise, its level shifts by 4 sd": (shift, 3.3, 3.3),
        "rare counts (Poisson, 0.2)": (counts, None, None),
        "nine in ten are 0, others Poisson, 8": (inflated, None, None),
        "like the sun": (sun, None, None),
        "constant": (constant, 0, 0),
    }
    print("| series | horizon | without interval | 90 % covers | mean width | right | interval score | forecasts < 0 | bounds < 0 |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, (make, *rights) in kinds.items():
        found = forecasts([make(200 + seed) for seed in range(SERIES)])
        for horizon, right in zip((1, 24), rights):
            all_made = found[horizon]
            pairs = [bounds for _, *bounds in all_made if bounds[0] is not None]
            share = lambda part, of: f"{100 * part / of:.0f} %" if of else "-"
            mean = lambda values: f"{sum(values) / len(values):.3g}" if values else "-"
            miss = lambda low, high, actual: max(low - actual, actual - high, 0)
            print(f"| {name} | {horizon} | {share(len(all_made) - len(pairs), len(all_made))}"
                  f" | {share(sum(miss(*pair) == 0 for pair in pairs), len(pairs))}"
                  f" | {mean([high - low for low, high, _ in pairs])} | {'' if right is None else right}"
                  f" | {mean([high - low + 20 * miss(low, high, actual) for low, high, actual in pairs])}"
                  f" | {share(sum(forecast < 0 for forecast, *_ in all_made), len(all_made))}"
                  f" | {share(sum(low < 0 for low, _, _ in pairs), len(pairs))} |")

print(f"{SERIES} random walks, 2,000 steps, the first 100 not scored:\n")
walks()
print(f"\nSeries that change at hour {CHANGE:,} ({SERIES} a kind): the error so many hours after it, in units of the error of a pipeline"
      " that was started at the change:\n")
changes()
print(f"\nWhat cannot be ({SERIES} series a kind, {HOURS} hours, what changes does so at hour {BREAK}; scored from hour {FROM} on):\n")
possible()
PYTHON
