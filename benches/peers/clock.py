"""The time of one call, out of many: the same protocol as crates/model/benches/common/clock.rs.

A worker prints `ready`, then answers each line on standard input with one of JSON: least and median microseconds a
call of each of its works. It must not know what is called.
"""

import json
import sys
import time

WARM_UP_S = 0.1
SAMPLE_S = 0.01
SAMPLES = 20


def microseconds(work):
    """Least and median of the samples, each the mean over a hundredth of a second of calls."""
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < WARM_UP_S:
        work()
        calls += 1
    per_sample = max(1, int(calls * SAMPLE_S / (time.perf_counter() - start)))
    samples = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        for _ in range(per_sample):
            work()
        samples.append((time.perf_counter() - start) / per_sample * 1e6)
    samples.sort()
    return {"least_us": samples[0], "median_us": samples[SAMPLES // 2]}


def serve(works):
    """Answers until standard input ends. `works`: name to callable."""
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps({name: microseconds(work) for name, work in works.items()}), flush=True)
