"""Who is measured: how each is started, with which settings, and when it has its first record.
It must not know how it is measured.
"""

import json
import re
import urllib.error
import urllib.request

from processes import Process, free_port

START_US, WINDOW_MS = 1_704_067_200_000_000, 60_000
METRIC = re.compile(r"^(tickcast_\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


class Job:
    """One run: what is read, where results go, in what folder."""

    def __init__(self, broker, topic, results, name, folder, window_ms=WINDOW_MS, workers=2, instances=1, is_paced=False):
        self.broker, self.topic, self.results, self.name, self.folder = broker, topic, results, name, folder
        self.window_ms, self.workers, self.instances, self.is_paced = window_ms, workers, instances, is_paced


class Tickcast:
    """Results are forecasts, two a series and window."""

    results_a_series = 2

    def __init__(self, binary, delivery):
        self.binary, self.delivery, self.name = binary, delivery, f"tickcast {delivery}"
        self.settings = (
            f"delivery: {delivery}; all else default: all experts, commits each 100 ms or as soon as forecasts settle, zstd results; horizons 1 and 5; "
            "workers: 2"
        )

    def start(self, job, instance=0):
        folder = job.folder / f"instance{instance}"
        port = free_port()
        # A directory has one owner; a topic is everyone's.
        is_topic = self.delivery == "exactly_once" or job.instances > 1
        pipeline = {
            "name": job.name,
            "source": {"kafka": {"brokers": job.broker.address, "topic": job.topic, "group": job.name, "start": "earliest"}},
            "key": "key",
            "time": "time",
            "window": {
                "tumbling": f"{job.window_ms}ms",
                "lateness": "0s",
                "select": {
                    "price": "avg(price)",
                    "high": "max(price)",
                    "low": "min(price)",
                    "volume": "sum(size)",
                    "trades": "count(*)",
                },
            },
            "forecast": {"target": "price", "horizons": [1, 5]},
            "sinks": {"forecasts": {"kafka": {"topic": job.results}}},
            "state": {"kafka": {"topic": f"{job.name}.state"}} if is_topic else {"dir": "state"},
            "delivery": self.delivery,
            "workers": job.workers,
            "serve": {"http": f"127.0.0.1:{port}"},
        }
        folder.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        (folder / "pipeline.yaml").write_text(json.dumps(pipeline, indent=1))
        process = Process([self.binary, "run", "pipeline.yaml"], folder)
        process.port = port
        return process

    @staticmethod
    def ask(process, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{process.port}{path}", timeout=20) as answer:
                return answer.read().decode()
        except (OSError, urllib.error.HTTPError):
            return None

    def metrics(self, process):
        """Sums over all labels but `stage`, by name and stage."""
        found = {}
        for name, labels, value in METRIC.findall(self.ask(process, "/metrics") or ""):
            stage = re.search(r'stage="(\w+)"', labels)
            key = f"{name} {stage.group(1)}" if stage else name
            found[key] = found.get(key, 0.0) + float(value)
        return found

    def has_begun(self, process):
        return self.metrics(process).get("tickcast_records_received_total", 0) > 0

    def is_ready(self, process):
        return self.ask(process, "/ready") is not None

    def stages(self, process):
        """Busy seconds by stage."""
        name = "tickcast_stage_busy_seconds_total "
        return {key.removeprefix(name): value for key, value in self.metrics(process).items() if key.startswith(name)}


class Speaker:
    """One that says "running" and "first"."""

    results_a_series = 1

    def has_begun(self, process):
        return process.has_said("first")

    def is_ready(self, process):
        return process.has_said("running")

    def stages(self, _process):
        return {}


class Streams(Speaker):
    """Results are windows, one a series and window."""

    def __init__(self, java, class_path, delivery):
        self.java, self.class_path = java, class_path
        self.guarantee = {"at_least_once": "at_least_once", "exactly_once": "exactly_once_v2"}[delivery]
        self.delivery, self.name = delivery, f"Kafka Streams {self.guarantee}"
        self.settings = "; ".join(f"{name}={value}" for name, value in self.chosen(2).items()) + (
            "; onWindowClose; caching; Jackson; -Xms1g -Xmx1g; when latency is measured producer.linger.ms=5 (100 is the default)"
        )

    def chosen(self, threads):
        return {
            "processing.guarantee": self.guarantee,
            "num.stream.threads": threads,
            "statestore.cache.max.bytes": 256 << 20,
            "dsl.store.suppliers.class": "org.apache.kafka.streams.state.BuiltInDslStoreSuppliers$InMemoryDslStoreSuppliers",
            # What is closed is put out at once, not within the second.
            "__emit.interval.ms.kstreams.windowed.aggregation__": 0,
        }

    def start(self, job, instance=0):
        folder = job.folder / f"instance{instance}"
        folder.mkdir(parents=True, exist_ok=True)
        settings = self.chosen(job.workers) | {
            "application.id": job.name,
            "bootstrap.servers": job.broker.address,
            "state.dir": folder / "state",
            "replication.factor": 1,
        }
        if job.is_paced:
            settings["producer.linger.ms"] = 5
        (folder / "streams.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        run = [self.java, "-Xms1g", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", self.class_path]
        return Process([*run, "Windows", "streams.properties", job.topic, job.results, job.window_ms], folder)


class Quix(Speaker):
    """Results are two forecasts in one record, one record a series and window."""

    def __init__(self, python, script, delivery):
        self.python, self.script, self.delivery = python, script, delivery
        self.guarantee = delivery.replace("_", "-")
        self.name = f"Quix Streams, River {self.guarantee}"
        self.settings = f"processing_guarantee={self.guarantee}; all else default; StandardScaler | LinearRegression a horizon"

    def start(self, job, instance=0):
        folder = job.folder / f"instance{instance}"
        words = [job.broker.address, job.name, self.guarantee, folder / "state", job.topic, job.results, job.window_ms]
        return Process([self.python, self.script, *words], folder, {"PYTHONWARNINGS": "ignore"})
