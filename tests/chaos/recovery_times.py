#!/usr/bin/env python3
"""How long a pipeline is silent: after kill -9, after SIGTERM, and when one of two instances leaves.

usage: tests/chaos/recovery_times.py BINARY BROKERS [--times 5] [--state topic|dir] [--set KEY=VALUE ...] [CASE ...]

The cases: kill (kill -9 and a start at once), term (SIGTERM and a start when it has ended), handover (two instances, one
ends with SIGTERM and does not come back), loss (the same with kill -9). Default: all. Four partitions, 200 records a
second, windows of one second, all else by default. A time is from the signal to the first new committed forecast; in
handover and loss to that of the last of the partitions that the leaving instance had.

It needs confluent-kafka from PyPI. Topics of its own stay on the broker.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
PIPELINE = """
name: {name}
source: {{ kafka: {{ brokers: "{brokers}", topic: {name}.in, start: earliest }} }}
key: k
time: t
window: {{ tumbling: 1s, select: {{ x: avg(v) }} }}
forecast: {{ target: x, horizons: [1] }}
delivery: {delivery}
state: {state}
sinks: {{ forecasts: {{ kafka: {{ topic: {name}.forecasts }} }} }}
"""


class Feed(threading.Thread):
    """200 records a second, in turns over the partitions."""

    def __init__(self, brokers, topic):
        super().__init__(daemon=True)
        self.producer, self.topic, self.over = Producer({"bootstrap.servers": brokers, "linger.ms": 5}), topic, False

    def run(self):
        n = 0
        while not self.over:
            record = {"k": f"s{n % 20}", "t": int(time.time() * 1e6), "v": n % 97 / 7}
            self.producer.produce(self.topic, json.dumps(record), partition=n % 20 % PARTITIONS)
            self.producer.poll(0)
            n += 1
            time.sleep(0.005)
        self.producer.flush(5)


class Bench:
    """A pipeline on a broker, and who reads its forecasts."""

    def __init__(self, args, case):
        self.args, self.name = args, f"times-{case}-{os.getpid()}-{time.time_ns() % 10**6}"
        self.folder = tempfile.mkdtemp(prefix="tickcast-times-")
        admin = AdminClient({"bootstrap.servers": args.brokers})
        topics = [NewTopic(f"{self.name}.{end}", PARTITIONS, 1) for end in ("in", "forecasts")]
        for made in admin.create_topics(topics).values():
            made.result()
        is_dir = args.state == "dir"
        state = "{ dir: state }" if is_dir else f"{{ kafka: {{ topic: {self.name}.state }} }}"
        text = PIPELINE.format(name=self.name, brokers=args.brokers, state=state,
                               delivery="at_least_once" if is_dir else "exactly_once")
        self.file = os.path.join(self.folder, "p.yaml")
        open(self.file, "w").write(text)
        self.feed = Feed(args.brokers, f"{self.name}.in")
        self.feed.start()
        self.reader = Consumer({"bootstrap.servers": args.brokers, "group.id": "times", "fetch.wait.max.ms": 20,
                                "isolation.level": "read_committed", "enable.auto.commit": False})
        self.reader.assign([TopicPartition(f"{self.name}.forecasts", p, 0) for p in range(PARTITIONS)])

    def start(self, name):
        log = open(os.path.join(self.folder, f"{name}.log"), "a")
        command = [self.args.binary, "run", self.file]
        for text in self.args.set:
            command += ["--set", text]
        env = dict(os.environ, XDG_STATE_HOME=self.folder)
        return subprocess.Popen(command, stdout=log, stderr=log, env=env)

    def await_forecasts(self, since, partitions, limit=120):
        """Waits for a forecast of each of the partitions that was made after a time; when the last one was seen."""
        missing, end = set(partitions), time.time() + limit
        while missing:
            if time.time() > end:
                sys.exit(f"no forecasts of partitions {missing}; the logs are in {self.folder}")
            message = self.reader.poll(0.02)
            if message and not message.error() and message.timestamp()[1] / 1000 > since:
                missing.discard(message.partition())
        return time.time()

    def assigned(self, name):
        """The partitions in the last line of a log that names some."""
        lines = open(os.path.join(self.folder, f"{name}.log")).read().splitlines()
        lists = [line.split("partitions=[")[1].split("]")[0] for line in lines if "assigned partitions=[" in line]
        return {int(p.split("(")[-1].strip(") ")) for text in lists for p in text.split(",") if text.strip()}

    def end(self, processes):
        for process in processes:
            process.kill()
            process.wait()
        self.feed.over = True
        self.feed.join()


def comes_back(args, case):
    bench, times = Bench(args, case), []
    process = bench.start("a")
    for _ in range(args.times):
        bench.await_forecasts(time.time(), range(PARTITIONS))
        time.sleep(3)
        since = time.time()
        process.send_signal(signal.SIGKILL if case == "kill" else signal.SIGTERM)
        process.wait()
        ended = time.time()
        process = bench.start("a")
        times.append(bench.await_forecasts(ended, [0]) - since)
    bench.end([process])
    return times


def goes_away(args, case):
    times = []
    for _ in range(args.times):
        bench = Bench(args, case)
        staying = bench.start("staying")
        bench.await_forecasts(time.time(), range(PARTITIONS))
        leaving = bench.start("leaving")
        while not bench.assigned("leaving"):
            time.sleep(0.1)
        time.sleep(3)
        bench.await_forecasts(time.time(), range(PARTITIONS))
        had = bench.assigned("leaving")
        since = time.time()
        leaving.send_signal(signal.SIGTERM if case == "handover" else signal.SIGKILL)
        leaving.wait()
        times.append(bench.await_forecasts(time.time(), had) - since)
        bench.end([staying])
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("brokers")
    parser.add_argument("case", nargs="*", default=["kill", "term", "handover", "loss"])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--state", choices=["topic", "dir"], default="topic")
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    for case in args.case:
        times = (comes_back if case in ("kill", "term") else goes_away)(args, case)
        print(f"{case}, state: {args.state} {' '.join(args.set)}:", ", ".join(f"{t:.1f}" for t in times), flush=True)


main()
