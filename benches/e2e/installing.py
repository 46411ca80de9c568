"""What the measurements need, each fetched once into the user's cache: jars by Maven, Python packages by pip; and the
binaries, built by cargo. It must not know what is measured.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tickcast"
BROKER_POM = ROOT / "tests" / "kafka" / "pom.xml"
STREAMS_POM = HERE / "streams" / "pom.xml"
INFERNO = "0.12.8"


def said(*command):
    """What a command prints."""
    out = subprocess.run([str(part) for part in command], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return out.strip()


def tool(name):
    """A tool of the JDK."""
    home = os.environ.get("JAVA_HOME")
    found = pathlib.Path(home, "bin", name) if home else shutil.which(name)
    if not found or not pathlib.Path(found).exists():
        sys.exit(f"{name} is missing: the measurements need JDK 17 or newer, and Maven")
    return str(found)


def version_of(pom, artifact):
    return re.search(rf"<artifactId>{re.escape(artifact)}</artifactId>\s*<version>([^<]+)", pom.read_text()).group(1)


def whole(folder, make):
    """A folder that `make` fills, or that is there already; one cut short leaves nothing that looks like it."""
    if not folder.is_dir():
        print(f"installing {folder}", file=sys.stderr)
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="coming-", dir=CACHE) as coming:
            make(pathlib.Path(coming, "it"))
            pathlib.Path(coming, "it").rename(folder)
    return folder


def jars(pom, name):
    """The folder of a pom's jars."""

    def fetch(to):
        maven = ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime"]
        subprocess.run([*map(str, maven), f"-DoutputDirectory={to}"], check=True, stdout=sys.stderr)

    return whole(CACHE / name, fetch)


def broker_jars():
    """As the tests have them, so that they are fetched once."""
    return jars(BROKER_POM, f"kafka-{version_of(BROKER_POM, 'kafka_2.13')}")


def streams():
    """The class path of the Kafka Streams program."""
    fetched = jars(STREAMS_POM, f"kafka-streams-{version_of(STREAMS_POM, 'kafka-streams')}")
    classes = ROOT / "target" / "e2e" / "classes"
    source = HERE / "streams" / "Windows.java"
    subprocess.run([tool("javac"), "--release", "17", "-cp", f"{fetched}/*", "-d", classes, source], check=True)
    return f"{classes}:{fetched}/*"


def quix():
    """The Python that has Quix Streams and River."""
    wanted = (HERE / "requirements.txt").read_text()
    folder = CACHE / "e2e-python"
    done = folder / "installed.txt"
    if not done.exists() or done.read_text() != wanted:
        print(f"installing {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True, symlinks=os.name == "posix")
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
        done.write_text(wanted)
    return folder / "bin" / "python"


def inferno():
    """The folder of the programs that draw a flame graph."""

    def install(to):
        subprocess.run(["cargo", "install", "--quiet", "--locked", "inferno", "--version", INFERNO, "--root", to], check=True)

    return whole(CACHE / f"inferno-{INFERNO}", install) / "bin"


def build(profile):
    """The paths of tickcast and of the load tool."""
    command = ["cargo", "build", "--locked", "--profile", profile, "--message-format", "json-render-diagnostics"]
    targets = ["--bin", "tickcast", "--example", "kafka_load"]
    out = subprocess.run([*command, *targets], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    made = [message for message in map(json.loads, out.splitlines()) if message.get("executable")]
    paths = {message["target"]["name"]: message["executable"] for message in made}
    return paths["tickcast"], paths["kafka_load"]
