"""Processes that are measured from outside: CPU time by thread, peak memory, bytes received; and the broker.
It must not know what they do. Linux only.
"""

import collections
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
CLUSTER = "dGlja2Nhc3QtZTJlLTAwMA"


def dies_with_us():
    """Called in a child: the kernel kills it when this process ends, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def cpu_of(stat):
    """User and system seconds of a `stat` file of /proc; the name in it may have spaces."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Process:
    """A process whose output goes to a file."""

    def __init__(self, command, folder, env=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env=os.environ | (env or {}),
                preexec_fn=dies_with_us,
            )
        self.proc = pathlib.Path("/proc", str(self.child.pid))

    def check(self):
        """Raises when it has ended, with the end of what it said."""
        if self.child.poll() is not None:
            lines = self.log.read_text(errors="replace").splitlines()
            raise RuntimeError(f"ended with {self.child.returncode}: " + " / ".join(lines[-3:]))

    def has_said(self, word):
        return word in self.log.read_text(errors="replace").split()

    def cpu_s(self):
        return cpu_of(self.proc / "stat")

    def threads(self, before=None):
        """CPU seconds by threads' names without their numbers, of those that live, less what they had before."""
        found = collections.Counter()
        for task in (self.proc / "task").iterdir():
            name = re.sub(r"[-#:]?\d+.*$", "", (task / "comm").read_text().strip())
            found[name] += cpu_of(task / "stat")
        found.subtract(before or {})
        return {name: round(cpu_s, 2) for name, cpu_s in found.most_common() if cpu_s > 0.005}

    def peak_bytes(self):
        return int(re.search(r"VmHWM:\s+(\d+)", (self.proc / "status").read_text()).group(1)) * 1024

    def received_bytes(self, port):
        """What has come over its open connections to this port; none where `ss` is missing."""
        if not shutil.which("ss"):
            return None
        asked = ["ss", "-tinpHO", f"dport = :{port}"]
        lines = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        ours = [line for line in lines if f"pid={self.child.pid}," in line]
        return sum(int(found.group(1)) for line in ours if (found := re.search(r"bytes_received:(\d+)", line)))

    def stop(self, patience_s=120):
        """As an administrator would; at last with force."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.child.kill()
        return self.child.wait()


class Load:
    """The load tool on a broker."""

    def __init__(self, binary, brokers):
        self.binary, self.brokers = str(binary), brokers

    def start(self, verb, *words):
        command = [self.binary, verb, self.brokers, *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=dies_with_us)

    @staticmethod
    def end(child):
        """What it said; with its CPU seconds and peak memory, if nobody has waited for it before."""
        out, costs = child.stdout.read(), {}
        if child.returncode is None:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            costs = {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}
        if child.returncode != 0:
            raise RuntimeError(f"{' '.join(child.args[1:])} ended with {child.returncode}")
        return json.loads(out) | costs

    def call(self, verb, *words):
        return self.end(self.start(verb, *words))


class Broker:
    """A broker of one node on loopback, in a folder of its own."""

    def __init__(self, java, jars, folder):
        self.port, controller = free_port(), free_port()
        self.address, self.data = f"127.0.0.1:{self.port}", folder / "data"
        folder.mkdir(parents=True)
        properties = folder / "server.properties"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": self.data,
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            # Instances that start together get their partitions at once.
            "group.initial.rebalance.delay.ms": 1000,
            "log.retention.ms": -1,
            "log.message.timestamp.after.max.ms": 9223372036854775807,
        }
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        run = [java, "-Xms1g", "-Xmx1g", "-Dlog4j2.level=WARN", "-cp", f"{jars}/*"]
        format_it = [*run, "kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER, "-c", properties]
        subprocess.run([str(part) for part in format_it], check=True, stdout=subprocess.DEVNULL)
        self.process = Process([*run, "kafka.Kafka", properties], folder / "process")
        self.await_ready()

    def await_ready(self):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            self.process.check()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the broker did not start in two minutes")

    def topic_bytes(self, topic):
        """The size of a topic's records on the disk, as they were sent."""
        return sum(segment.stat().st_size for segment in self.data.glob(f"{topic}-[0-9]*/*.log"))
