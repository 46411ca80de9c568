#!/usr/bin/env python3
"""Times tickcast's training step and online learner beside PyTorch's and deep-river's, on one thread each, in one run,
and prints the tables as Markdown. Installs what it needs for itself. It must not know how a step is made.

    python3 benches/peers/run.py [--rounds 5] [--quick] [--json FILE]

All sides are timed in turns, round after round. A number is the least sample of all rounds, a sample the mean over a
hundredth of a second of calls: what the machine's other work disturbs is left out on every side alike.

Where it installs: $TICKCAST_PEERS, or tickcast/peers in the user's cache (6 GB).
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
VENV = pathlib.Path(os.environ.get("TICKCAST_PEERS") or CACHE / "tickcast" / "peers")

INPUTS, STEPS = 8, 16
LSTM = [(16, 1), (32, 1), (32, 8), (32, 32), (64, 32), (128, 32), (128, 128)]
SHORT = [(32, 1), (32, 32), (128, 128)]
COMPILED = ["module", "unrolled", "reduce-overhead"]
FLAGS = ["avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "asimd", "sve"]


def install():
    """The environment's Python, with all that is pinned."""
    python = VENV / "bin" / "python"
    wanted = "".join((HERE / name).read_text() for name in ("requirements.txt", "requirements-no-deps.txt"))
    done = VENV / "installed.txt"
    if not done.exists() or done.read_text() != wanted:
        print(f"installing into {VENV}", file=sys.stderr)
        if sys.version_info[:2] not in ((3, 11), (3, 12)):
            sys.exit("deep-river wants Python 3.11 or 3.12")
        venv.create(VENV, with_pip=True, symlinks=os.name == "posix")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
        subprocess.run([*pip, "--no-deps", "-r", HERE / "requirements-no-deps.txt"], check=True)
        done.write_text(wanted)
    return python


def build():
    """The examples' paths by name."""
    command = ["cargo", "build", "--release", "-p", "tickcast-model", "--examples", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    made = [message for message in map(json.loads, lines) if message.get("executable")]
    return {message["target"]["name"]: message["executable"] for message in made}


class Ours:
    def __init__(self, name, command):
        self.name, self.command = name, [str(part) for part in command]

    def ask(self):
        out = subprocess.run(self.command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return {self.name: json.loads(out)}

    def close(self):
        pass


class Worker:
    """A Python process that waits while others are timed. `error` says why it cannot run."""

    def __init__(self, command):
        one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | one_thread | {"PYTHONWARNINGS": "ignore"},
        )
        self.error = None
        if self.process.stdout.readline() != "ready\n":
            lines = [line for line in self.process.communicate()[1].splitlines() if line.strip()]
            errors = [line for line in lines if "Error" in line or "Exception" in line]
            self.error = (errors or lines or ["it ended"])[-1]

    def ask(self):
        if self.error:
            return {}
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        if not self.error:
            self.process.communicate()


def in_turns(sides, rounds):
    """Least and median of every name over the rounds (the least of the rounds' medians), and errors."""
    best = {}
    for _ in range(rounds):
        for side in sides:
            for name, times in side.ask().items():
                kept = best.setdefault(name, dict(times))
                for key in ("least_us", "median_us"):
                    kept[key] = min(kept[key], times[key])
                if "gflops" in times:
                    kept["gflops"] = max(kept["gflops"], times["gflops"])
    for side in sides:
        side.close()
    return best


def step_of(python, ours, cell, hidden, batch, rounds):
    shape = [cell, INPUTS, hidden, STEPS, batch]
    sides = [Ours("ours", [ours["step_time"], *shape])]
    ways = ["eager", *COMPILED]
    workers = {way: Worker([python, HERE / "torch_step.py", *shape, way]) for way in ways}
    best = in_turns([*sides, *workers.values()], rounds)
    errors = {way: worker.error for way, worker in workers.items() if worker.error}
    return {"cell": cell, "hidden": hidden, "batch": batch, "times": best, "errors": errors}


def online_of(python, ours, cell, hidden, rounds):
    shape = [cell, INPUTS, hidden, STEPS]
    peer = Worker([python, HERE / "deep_river_step.py", *shape])
    best = in_turns([Ours("ours", [ours["learner_time"], *shape, 1]), peer], rounds)
    return {"cell": cell, "hidden": hidden, "times": best, "errors": {"deep-river": peer.error} if peer.error else {}}


def fastest(times, names):
    """(name, least microseconds) of the fastest of those that ran, or None."""
    ran = [(name, times[name]["least_us"]) for name in names if name in times]
    return min(ran, key=lambda pair: pair[1], default=None)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def print_steps(rows, peak):
    print("| cell | H | B | tickcast µs | GFLOP/s | of peak | PyTorch µs | ratio | torch.compile µs | ratio |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    won = collections.Counter()
    for row in rows:
        times = row["times"]
        ours = times["ours"]["least_us"]
        cells = [row["cell"], str(row["hidden"]), str(row["batch"]), number(ours), f"{times['ours']['gflops']:.1f}"]
        cells.append(f"{100 * times['ours']['gflops'] / peak:.0f} %")
        eager = [name for name in times if name.startswith("eager")]
        for names in (eager, COMPILED):
            peer = fastest(times, names)
            cells += [number(peer[1]), f"{peer[1] / ours:.1f}×"] if peer else ["-", "-"]
            won.update([peer[0]] if peer else [])
        print("| " + " | ".join(cells) + " |")
    print("\nPyTorch's fastest, of all shapes: " + "; ".join(f"{name} {count}" for name, count in won.most_common()))


def print_online(rows):
    print("| cell | H | tickcast µs | deep-river µs | ratio |")
    print("|---|--:|--:|--:|--:|")
    for row in rows:
        ours, peer = row["times"]["ours"]["least_us"], fastest(row["times"], ["deep-river"])
        theirs = [number(peer[1]), f"{peer[1] / ours:.0f}×"] if peer else ["-", "-"]
        print("| " + " | ".join([row["cell"], str(row["hidden"]), number(ours), *theirs]) + " |")


def machine(python):
    """What the numbers hold for: name to value."""
    try:
        info = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    lines = dict(line.split(":", 1) for line in info.split("\n\n")[0].splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in lines.items()}
    flags = set(fields.get("flags", fields.get("Features", "")).split())

    def said(*command):
        return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    asked = (
        "import torch, numpy, river, platform, importlib.metadata as m; print(f'Python {platform.python_version()}, "
        "PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), "
        "deep-river {m.version(\"deep-river\")}, river {river.__version__}, numpy {numpy.__version__}')"
    )
    return {
        "CPU": f"{fields.get('model name', platform.processor())}, family {fields.get('cpu family', '?')} model "
        f"{fields.get('model', '?')}: {' '.join(flag for flag in FLAGS if flag in flags)}",
        "peers": said(str(python), "-c", asked),
        "tickcast": f"{said('git', 'describe', '--always', '--dirty')}, {said('rustc', '--version')}",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one shape a cell")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all that was measured")
    options = parser.parse_args()
    python, ours = install(), build()
    about = machine(python)
    shapes = [("lstm", *shape) for shape in LSTM] + [(cell, *shape) for cell in ("gru", "rnn") for shape in SHORT]
    shapes = [shape for shape in shapes if not options.quick or shape[1:] == (32, 1)]
    steps, online, peak = [], [], 0.0
    for cell, hidden, batch in shapes:
        print(f"timing {cell} {hidden} {batch}", file=sys.stderr)
        peak = max(peak, Ours("peak", [ours["step_time"], "peak"]).ask()["peak"]["gflops"])
        steps.append(step_of(python, ours, cell, hidden, batch, options.rounds))
    for cell in ("lstm", "gru", "rnn"):
        print(f"timing deep-river's {cell}", file=sys.stderr)
        online.append(online_of(python, ours, cell, 32, options.rounds))

    print(f"\nOne training step: {STEPS} steps of B series, {INPUTS} inputs, one output; least of {options.rounds} rounds\n")
    print_steps(steps, peak)
    print(f"\nOne step of one series online: predict, label, learn on the last {STEPS} steps\n")
    print_online(online)
    print(f"\npeak: {peak:.1f} GFLOP/s of fused multiply-adds on one core")
    for name, value in about.items():
        print(f"{name}: {value}")
    for row in steps + online:
        for way, error in row["errors"].items():
            print(f"{row['cell']} {row['hidden']} {row.get('batch', 1)}: {way} cannot run: {error}")
    if options.json:
        everything = {"about": about, "peak_gflops": peak, "steps": steps, "online": online}
        options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
