"""One run of one side, measured. It must not know which runs there are, nor what is printed of them.

The clock runs from the side's first record to the moment when a reader of committed records has seen the result of the last
window that closes; how long the process took before that is told apart. CPU time is that of the same span.
"""

import itertools
import time

from sides import Job

SERIAL = itertools.count(1)


class Input:
    """A topic of ticks, filled once and read by all."""

    def __init__(self, bench, series, ticks, partitions=4, most_in_window=60):
        self.series, self.partitions = series, partitions
        self.in_window = max(1, min(most_in_window, ticks // series // 2))
        self.windows = max(1, ticks // series // self.in_window)
        self.topic = f"ticks-{next(SERIAL)}"
        filled = bench.load.call("fill", self.topic, partitions, series, self.in_window, self.windows)
        self.ticks, self.value_bytes = filled["records"], filled["value_bytes"]
        self.topic_bytes = bench.broker.topic_bytes(self.topic)

    def about(self):
        names = ("series", "partitions", "in_window", "windows", "ticks", "value_bytes", "topic_bytes")
        return {name: getattr(self, name) for name in names}


class Bench:
    """The broker, the load tool, and a folder."""

    def __init__(self, broker, load, folder):
        self.broker, self.load, self.folder = broker, load, folder

    def job(self, topic, **more):
        name = f"run-{next(SERIAL)}"
        return Job(self.broker, topic, f"{name}-results", name, self.folder / name, **more)


class Raw:
    """librdkafka alone: reads all, or reads all and writes as many records as tickcast writes forecasts."""

    delivery = None

    def __init__(self, name, result_bytes=None):
        self.name, self.result_bytes = name, result_bytes
        self.settings = "librdkafka's defaults, batches of 1,000 records" + (
            f"; idempotent producer, lz4, linger 5 ms, one record of {result_bytes} bytes a forecast" if result_bytes else ""
        )

    def race(self, bench, given):
        words = [given.topic, given.partitions, given.ticks]
        if self.result_bytes:
            job = bench.job(given.topic)
            bench.load.call("create", job.results, given.partitions)
            every = max(1, given.ticks // (given.windows * given.series * 2))
            words += [job.results, every, self.result_bytes]
        broker_s, from_s = bench.broker.process.cpu_s(), time.time()
        done = bench.load.call("copy" if self.result_bytes else "read", *words)
        return {
            "seconds": done["last_s"] - done["first_s"],
            "begin_s": done["first_s"] - from_s,
            "cpu_s": done["cpu_s"],
            "broker_cpu_s": bench.broker.process.cpu_s() - broker_s,
            "peak_bytes": done["peak_bytes"],
        }


class Race:
    """A side that makes results."""

    def __init__(self, side):
        self.side, self.name, self.delivery, self.settings = side, side.name, side.delivery, side.settings

    def race(self, bench, given, instances=1, workers=2, begun=None, then=None):
        """`begun(process)` is called when the first record is there, `then(job, measured)` when all is stopped."""
        job = bench.job(given.topic, instances=instances, workers=workers)
        bench.load.call("create", job.results, given.partitions)
        expected = given.windows * given.series * self.side.results_a_series
        watching = bench.load.start("watch", job.results, given.partitions, expected)
        from_s, processes = time.time(), []
        try:
            processes = [self.side.start(job, instance) for instance in range(instances)]
            first_s = self.wait(processes, watching, lambda: any(map(self.side.has_begun, processes)))
            before, threads = [process.cpu_s() for process in processes], processes[0].threads()
            broker_s = bench.broker.process.cpu_s()
            if begun:
                begun(processes[0])
            # Polled seldom: it would take CPU time from those that are measured.
            self.wait(processes, watching, lambda: watching.poll() is not None, 0.05)
            cpu_s = sum(process.cpu_s() for process in processes) - sum(before)
            seen = bench.load.end(watching)
            measured = {
                "seconds": seen["last_s"] - first_s,
                "second_half_s": seen["last_s"] - seen["half_s"],
                "begin_s": first_s - from_s,
                "cpu_s": cpu_s,
                "start_cpu_s": sum(before),
                "broker_cpu_s": bench.broker.process.cpu_s() - broker_s,
                "peak_bytes": sum(process.peak_bytes() for process in processes),
                "received_bytes": self.received(bench, processes),
                "result_bytes": seen["value_bytes"],
                "shares": self.shares(processes) if instances > 1 else [],
                "stages": self.side.stages(processes[0]) if instances == 1 else {},
                "threads": processes[0].threads(threads) if instances == 1 else {},
            }
        finally:
            watching.kill()
            codes = [process.stop() for process in processes]
        measured["exit_codes"] = codes
        if then:
            then(job, measured)
        return measured

    @staticmethod
    def received(bench, processes):
        counts = [process.received_bytes(bench.broker.port) for process in processes]
        return None if None in counts else sum(counts)

    def shares(self, processes):
        """Which share of the records each has read."""
        counts = [self.side.metrics(process).get("tickcast_records_received_total", 0) for process in processes]
        return [count / max(1, sum(counts)) for count in counts]

    @staticmethod
    def wait(processes, watching, is_done, pause_s=0.02):
        """When it is done; raises when one of the processes has ended, or nothing more comes."""
        while not is_done():
            for process in processes:
                process.check()
            if watching.poll():
                raise RuntimeError("results are missing")
            time.sleep(pause_s)
        return time.time()

    def restore(self, job, measured):
        """How long a new start takes until it is ready again."""
        from_s = time.time()
        process = self.side.start(job)
        try:
            while not self.side.is_ready(process):
                process.check()
                time.sleep(0.05)
            measured["ready_again_s"] = time.time() - from_s
            measured["restore_s"] = self.side.metrics(process).get("tickcast_restore_seconds_sum")
        finally:
            process.stop()

    def latency(self, bench, series, rate, measured_s, warm_up_s, window_ms=1_000, partitions=4):
        """Ticks at a steady rate, event time as the clock."""
        job = bench.job(f"ticks-{next(SERIAL)}", window_ms=window_ms, is_paced=True)
        for topic in (job.topic, job.results):
            bench.load.call("create", topic, partitions)
        process = self.side.start(job)
        try:
            while not self.side.is_ready(process):
                process.check()
                time.sleep(0.05)
            words = [series, f"{rate:.0f}", window_ms, warm_up_s, measured_s, job.results, self.side.results_a_series]
            before, from_s = process.cpu_s(), time.time()
            paced = bench.load.call("pace", job.topic, partitions, *words)
            busy = (process.cpu_s() - before) / (time.time() - from_s)
            return paced | {"wanted_rate": rate, "busy_cores": busy}
        finally:
            process.stop()
