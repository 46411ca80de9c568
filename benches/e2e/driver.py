"""The runs of benches/e2e, in turns: which sides, how many ticks, in what order. README.md beside it has the method.
It must not know how a run is measured.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

import installing
import report
from processes import Broker, Load
from races import Bench, Input, Race, Raw
from sides import Quix, Streams, Tickcast

DELIVERIES = ("at_least_once", "exactly_once")
LOADS = (0.25, 0.5, 0.75)
PARTS = ("main", "series", "latency", "growth", "instances", "flame")
FORMS = {
    "short": {
        "ticks": 500_000,
        "rounds": 2,
        "quix_ticks": 125_000,
        "parts": ("main", "series", "latency"),
        "series": (100, 100_000),
        "series_sides": ("raw read", "tickcast"),
        "latency_sides": ("tickcast",),
        "latency_s": (3, 8),
    },
    "long": {
        "ticks": 2_000_000,
        "rounds": 5,
        "quix_ticks": 250_000,
        "parts": PARTS,
        "series": (100, 100_000),
        "series_sides": ("",),
        "latency_sides": ("tickcast", "Kafka Streams"),
        "latency_s": (10, 30),
        "growth": (1_000, 10_000, 100_000, 1_000_000),
        "growth_sides": ("raw read", "tickcast"),
    },
}


def arguments():
    parser = argparse.ArgumentParser(prog="benches/e2e/run.sh", description=__doc__.split("\n\n")[0])
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--short", dest="form", action="store_const", const="short", default="short", help="5 minutes; the default")
    forms.add_argument("--long", dest="form", action="store_const", const="long", help="all parts; hours")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="sides whose names begin so: raw, tickcast, kafka, quix")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="instead of the form's")
    parser.add_argument("--ticks", type=int, help="instead of the form's")
    parser.add_argument("--rounds", type=int, help="instead of the form's")
    parser.add_argument("--growth", nargs="+", type=int, metavar="SERIES", help="numbers of series, instead of the form's")
    parser.add_argument("--latency-series", type=int, default=1_000, metavar="SERIES", help="series while latency is measured")
    parser.add_argument("--profile", default="release", help="cargo's profile to build with (default: release)")
    parser.add_argument("--tickcast", type=pathlib.Path, help="a binary to measure, instead of building it")
    parser.add_argument("--load", type=pathlib.Path, help="a binary of the kafka_load example, instead of building it")
    parser.add_argument("--out", type=pathlib.Path, default=installing.ROOT / "target" / "e2e", help="default: target/e2e")
    return parser.parse_args()


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Measurements:
    """All that is measured, part after part."""

    def __init__(self, bench, form, sides, options):
        self.bench, self.form, self.sides, self.options = bench, form, sides, options
        self.ticks = options.ticks or form["ticks"]
        self.parts, self.failed = {}, []

    def entry(self, side, given, **more):
        return {"side": side.name, "delivery": side.delivery, "input": given.about(), "runs": [], **more}

    def attempt(self, what, run, *words, **named):
        """What a run measures; none when it fails, which is told at the end."""
        say(what)
        try:
            return run(*words, **named)
        except RuntimeError as error:
            say(f"{what} failed: {error}")
            self.failed.append(f"{what}: {error}")
            return None

    def race(self, entry, what, side, given, **named):
        measured = self.attempt(what, side.race, self.bench, given, **named)
        entry["runs"] += [measured] if measured else []

    def chosen(self, beginnings):
        return [side for side in self.sides if side.name.startswith(tuple(beginnings))]

    def main(self):
        """All sides in turns; each round begins with the next."""
        given = Input(self.bench, 1_000, self.ticks)
        few = Input(self.bench, 1_000, min(self.ticks, self.form["quix_ticks"]))
        inputs = {side: few if side.name.startswith("Quix") else given for side in self.sides}
        entries = {side: self.entry(side, inputs[side]) for side in self.sides}
        self.parts["main"] = list(entries.values())
        rounds = self.options.rounds or self.form["rounds"]
        for turn in range(rounds):
            first = turn % len(self.sides)
            for side in self.sides[first:] + self.sides[:first]:
                # It takes as long as all others together.
                if not side.name.startswith("Quix") or turn < max(1, rounds // 2):
                    self.race(entries[side], f"{side.name}, round {turn + 1}", side, inputs[side])

    def series(self):
        self.parts["series"] = []
        for series in self.form["series"]:
            given = Input(self.bench, series, self.ticks)
            for side in self.chosen(self.form["series_sides"]):
                if not side.name.startswith("Quix"):
                    entry = self.entry(side, given)
                    self.parts["series"].append(entry)
                    self.race(entry, f"{side.name}, {series:,} series", side, given)

    def latency(self):
        """At shares of what each side can do, as the main part has measured it."""
        self.parts["latency"] = []
        warm_up_s, measured_s = self.form["latency_s"]
        fastest = {entry["side"]: report.speed(entry) for entry in self.parts.get("main", [])}
        for side in self.chosen(self.form["latency_sides"]):
            for load in LOADS:
                if not fastest.get(side.name):
                    continue
                rate = fastest[side.name] * load
                what = f"{side.name}, latency at {load:.0%}: {rate:,.0f} ticks a second"
                words = [self.bench, self.options.latency_series, rate, measured_s, warm_up_s]
                run = self.attempt(what, side.latency, *words)
                entry = {"side": side.name, "load": load, "series": self.options.latency_series, "run": run}
                self.parts["latency"] += [entry] if run else []

    def growth(self):
        """The same ticks a series and window at each number of series, so that only their number grows."""
        self.parts["growth"] = []
        for series in self.options.growth or self.form.get("growth", FORMS["long"]["growth"]):
            given = Input(self.bench, series, max(self.ticks, 30 * series), most_in_window=10)
            for side in self.chosen(FORMS["long"]["growth_sides"]):
                if needed := self.too_much_for(side, series):
                    self.failed.append(f"{side.name}, {series:,} series: not run, as it would need {needed:,.0f} MB")
                    continue
                entry = self.entry(side, given)
                self.parts["growth"].append(entry)
                again = {"then": side.restore} if side.name.startswith("tickcast") else {}
                self.race(entry, f"{side.name}, {series:,} series of 10 ticks a window", side, given, **again)

    def flame(self):
        """Where tickcast's CPU time goes, drawn by inferno from perf's samples of one run of each delivery."""
        tools = installing.inferno()
        given = Input(self.bench, 1_000, max(self.ticks, 4_000_000))
        for side in self.chosen(["tickcast"]):
            samples, recording = self.bench.folder / f"{side.delivery}.perf", []

            def record(process, samples=samples, recording=recording):
                command = ["perf", "record", "-q", "-F", "199", "--call-graph", "dwarf,16384", "-o", samples, "-p", process.child.pid]
                recording.append(subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL))

            what = f"{side.name}, flame graph"
            self.attempt(what, side.race, self.bench, given, begun=record)
            for perf in recording:
                perf.wait()
            if samples.exists():
                draw(tools, samples, f"{side.name}: CPU time from topic to topic", self.options.out / f"flame-{side.delivery}.svg")

    def too_much_for(self, side, series):
        """The memory that so many series would need by what fewer have needed, if that is more than the machine has."""
        fewer = [entry for entry in self.parts["growth"] if entry["side"] == side.name and entry["runs"]]
        if not fewer or not side.delivery:
            return None
        needed = report.peak_mb(fewer[-1]) * series / fewer[-1]["input"]["series"]
        return needed if fewer[-1]["input"]["series"] >= 100_000 and needed > 0.85 * memory_mb() else None

    def instances(self):
        self.parts["instances"] = []
        given = Input(self.bench, 1_200, self.ticks, partitions=12)
        for side in self.chosen(["tickcast"]):
            for instances in (1, 2, 3):
                entry = self.entry(side, given, instances=instances)
                self.parts["instances"].append(entry)
                named = {"instances": instances, "workers": 1}
                self.race(entry, f"{side.name}, {instances} instances", side, given, **named)


def draw(tools, samples, title, to):
    """A flame graph of perf's samples."""
    to.parent.mkdir(parents=True, exist_ok=True)
    script = subprocess.Popen(["perf", "script", "--no-inline", "-i", samples], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    folded = subprocess.run([tools / "inferno-collapse-perf"], stdin=script.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    drawing = [tools / "inferno-flamegraph", "--title", title, "--minwidth", "0.3", "--hash"]
    to.write_bytes(subprocess.run(drawing, input=folded.stdout, stdout=subprocess.PIPE, check=True).stdout)


def memory_mb():
    """All memory of the machine."""
    return int(open("/proc/meminfo").readline().split()[1]) / 1e3


def about(options, profile):
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    version = installing.version_of
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{cpu}, {os.cpu_count()} cores, {memory_mb() * 1e3 / 2**20:.0f} GiB, {platform.system()} {platform.release()}",
        "tickcast": f"{installing.said('git', 'describe', '--always', '--dirty')}, {profile}, {installing.said('rustc', '--version')}",
        "broker": f"Kafka {version(installing.BROKER_POM, 'kafka_2.13')}, one node on loopback, -Xmx1g",
        "Kafka Streams": version(installing.STREAMS_POM, "kafka-streams"),
        "Quix Streams, River": ", ".join((installing.HERE / "requirements.txt").read_text().split("\n")[1:3]),
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "command": " ".join(["benches/e2e/run.sh", *sys.argv[1:]]),
    }


def all_sides(options, tickcast):
    """Raw, tickcast, Kafka Streams, Quix; only what is wanted is installed."""

    names = tuple(name.lower() for name in options.only) or ("",)

    def wanted(family):
        return any(name.startswith(family) or family.startswith(name) for name in names)

    # What one of tickcast's forecasts of this pipeline has.
    sides = [Raw("raw read"), Raw("raw read and write", 300)]
    sides += [Race(Tickcast(tickcast, delivery)) for delivery in DELIVERIES]
    if wanted("kafka"):
        java, class_path = installing.tool("java"), installing.streams()
        sides += [Race(Streams(java, class_path, delivery)) for delivery in DELIVERIES]
    if wanted("quix"):
        sides.append(Race(Quix(installing.quix(), installing.HERE / "quix_river.py", "at_least_once")))
    sides = [side for side in sides if side.name.lower().startswith(names)]
    return sides or sys.exit(f"no side begins with {' or '.join(names)}")


def write(options, found):
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "e2e.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "e2e.md").write_text(report.markdown(found))
    for name, svg in report.plots(found).items():
        (options.out / f"{name}.svg").write_text(svg)


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    form = FORMS[options.form]
    is_built = not (options.tickcast and options.load)
    built = installing.build(options.profile) if is_built else (None, None)
    tickcast, load = (given.resolve() if given else made for given, made in zip((options.tickcast, options.load), built))
    sides, jars = all_sides(options, tickcast), installing.broker_jars()
    found = {"about": about(options, options.profile if not options.tickcast else "a given binary"), "failed": []}
    found["settings"] = {side.name: side.settings for side in sides}

    from_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickcast-e2e-")))
        broker = Broker(installing.tool("java"), jars, folder / "broker")
        stack.callback(broker.process.stop, 20)
        bench = Bench(broker, Load(load, broker.address), folder)
        made = Measurements(bench, form, sides, options)
        found |= {"parts": made.parts, "failed": made.failed}
        for part in options.parts or form["parts"]:
            try:
                getattr(made, part)()
            finally:  # What is measured stays, whatever comes.
                found["about"]["seconds"] = f"{time.monotonic() - from_s:.0f}"
                write(options, found)
    print(report.markdown(found))
    say(f"written to {options.out}")
    return 1 if made.failed else 0


if __name__ == "__main__":
    sys.exit(main())
