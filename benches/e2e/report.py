"""What was measured as Markdown tables and as plots. It must not know how it was measured."""

from xml.sax.saxutils import escape

COLOURS = ["#1b6ca8", "#d1495b", "#2e933c", "#edae49", "#6a4c93", "#00798c", "#8d6a4f", "#555555"]


def whole(value):
    return "-" if value is None else f"{value:,.0f}"


def small(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def table(titles, rows):
    head, *body = ["| " + " | ".join(map(str, line)) + " |" for line in [titles, *rows]]
    return "\n".join([head, "|---|" + "--:|" * (len(titles) - 1), *body])


def best(runs, of):
    """The least of those that were measured."""
    values = [of(run) for run in runs if of(run) is not None]
    return min(values, default=None)


def speed(entry):
    """Ticks a second, of the fastest run."""
    seconds = best(entry["runs"], lambda run: run["seconds"])
    return entry["input"]["ticks"] / seconds if seconds else None


def warm_speed(entry):
    """Ticks a second from the middle of the results on: what had to warm up has done so. None of few windows."""
    if entry["input"]["windows"] < 8:
        return None
    seconds = best(entry["runs"], lambda run: run.get("second_half_s"))
    return entry["input"]["ticks"] / 2 / seconds if seconds else None


def a_million(entry, name):
    """CPU seconds a million ticks, of the cheapest run."""
    seconds = best(entry["runs"], lambda run: run[name])
    return None if seconds is None else seconds / entry["input"]["ticks"] * 1e6


def peak_mb(entry):
    return max((run["peak_bytes"] for run in entry["runs"]), default=0) / 1e6 or None


def fetched(entry):
    """Bytes received, in sizes of the topic."""
    received = best(entry["runs"], lambda run: run.get("received_bytes"))
    return received / entry["input"]["topic_bytes"] if received else None


def named(entries, of, name, delivery=None):
    """The speed of the first such side."""
    found = (entry for entry in entries if entry["side"].startswith(name) and entry["delivery"] in (delivery, None))
    return next((of(entry) for entry in found), None)


def ratio(one, other, form="{:.2f}"):
    return form.format(one / other) if one and other else "-"


def main_table(entries):
    raw, rows = named(entries, speed, "raw read"), []
    for entry in entries:
        ours, warm = speed(entry), warm_speed(entry)
        streams = [named(entries, of, "Kafka Streams", entry["delivery"]) for of in (speed, warm_speed)]
        rows.append(
            [entry["side"], whole(entry["input"]["ticks"]), whole(ours), whole(warm)]
            + [ratio(ours, raw), ratio(ours, streams[0]), ratio(warm, streams[1])]
            + [small(a_million(entry, name)) for name in ("cpu_s", "broker_cpu_s")]
            + [whole(peak_mb(entry)), small(fetched(entry))]
        )
    titles = ["", "ticks", "ticks a second", "second half", "of raw read", "× Kafka Streams", "second half", "CPU s a million ticks"]
    titles.append("broker's CPU s")
    return table([*titles, "peak MB", "received / topic"], rows)


def stage_table(entries):
    """Of the last run of each side: busy time by its own metrics, and CPU time by thread."""
    blocks = []
    for title, key in (("busy", "stages"), ("CPU", "threads")):
        rows = []
        for entry in entries:
            found = entry["runs"][-1].get(key) if entry["runs"] else None
            parts = sorted((found or {}).items(), key=lambda part: -part[1])[:8]
            million = entry["input"]["ticks"] / 1e6
            if parts:
                said = ", ".join(f"{name} {seconds / million:.2f}" for name, seconds in parts)
                rows.append([entry["side"], said])
        blocks += [table(["", f"{title} seconds a million ticks, by {key[:-1]}"], rows)] if rows else []
    return "\n\n".join(blocks)


def series_table(entries):
    titles = ["", "series", "ticks a series and window", "ticks", "ticks a second", "CPU s a million ticks", "peak MB"]
    rows = []
    for entry in entries:
        given = entry["input"]
        counts = [whole(given["series"]), given["in_window"], whole(given["ticks"])]
        rows.append([entry["side"], *counts, whole(speed(entry)), small(a_million(entry, "cpu_s")), whole(peak_mb(entry))])
    return table(titles, rows)


def growth_table(entries):
    again = [best(entry["runs"], lambda run: run.get("ready_again_s")) for entry in entries]
    rows = [[entry["side"], whole(entry["input"]["series"]), small(seconds, 1)] for entry, seconds in zip(entries, again) if seconds]
    return series_table(entries) + "\n\n" + table(["", "series", "started again, ready after s"], rows)


def latency_table(entries):
    titles = ["", "load", "ticks a second", "of them sent", "p50 ms", "p99 ms", "p99.9 ms", "results", "missing", "busy cores"]
    rows = []
    for entry in entries:
        run = entry["run"]
        times = [small(run[name], 1) for name in ("p50_ms", "p99_ms", "p99_9_ms")]
        sent = f"{100 * run['rate'] / run['wanted_rate']:.0f} %"
        counts = [whole(run["results"]), whole(run["expected"] - run["results"]), small(run["busy_cores"])]
        rows.append([entry["side"], f"{100 * entry['load']:.0f} %", whole(run["wanted_rate"]), sent, *times, *counts])
    return table(titles, rows)


def instance_table(entries):
    rows = []
    for entry in entries:
        alone = next(one for one in entries if one["side"] == entry["side"])
        cost, first = a_million(entry, "cpu_s"), a_million(alone, "cpu_s")
        speeds = [whole(speed(entry)), ratio(speed(entry), speed(alone))]
        shares = entry["runs"][-1]["shares"] if entry["runs"] else []
        shares = " + ".join(f"{100 * share:.0f}" for share in sorted(shares, reverse=True)) or "100"
        costs = [small(cost), ratio(first, cost, "{:.0%}"), whole(peak_mb(entry))]
        rows.append([entry["side"], entry["instances"], *speeds, f"{shares} %", *costs])
    titles = ["", "instances", "ticks a second", "× one", "ticks read by each", "CPU s a million ticks", "CPU efficiency", "peak MB, all"]
    return table(titles, rows)


TABLES = {
    "main": [("Throughput", main_table), ("By stage", stage_table)],
    "series": [("More and fewer series", series_table)],
    "latency": [("Latency", latency_table)],
    "growth": [("Growth", growth_table)],
    "instances": [("Instances over 12 partitions", instance_table)],
}


def markdown(found):
    blocks = []
    for part, tables in TABLES.items():
        if found["parts"].get(part):
            blocks += [f"## {title}\n\n{make(found['parts'][part])}" for title, make in tables]
    blocks.append("## Settings\n\n" + "\n".join(f"- {side}: {settings}" for side, settings in found["settings"].items()))
    blocks.append("## Machine\n\n" + "\n".join(f"- {name}: {value}" for name, value in found["about"].items()))
    blocks += ["## Failed\n\n" + "\n".join(f"- {line}" for line in found["failed"])] if found["failed"] else []
    return "\n\n".join(blocks) + "\n"


class Picture:
    """A drawing as SVG."""

    def __init__(self, title, width=760, height=420):
        self.width, self.height = width, height
        self.parts = [f'<rect width="{width}" height="{height}" fill="white"/>']
        self.text(20, 26, title, size=16)

    def text(self, x, y, words, anchor="start", size=12):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(str(words))}</text>')

    def svg(self):
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" font-family="sans-serif">'
        return "\n".join([head, *self.parts, "</svg>"]) + "\n"


def bars(title, pairs):
    """A bar for each name, with its number."""
    pairs = [(name, value) for name, value in pairs if value]
    picture = Picture(title, height=60 + 30 * len(pairs))
    most = max((value for _, value in pairs), default=1)
    for at, (name, value) in enumerate(pairs):
        y, length = 45 + 30 * at, 400 * value / most
        picture.text(250, y + 15, name, "end")
        picture.parts.append(f'<rect x="260" y="{y}" width="{length:.1f}" height="20" fill="{COLOURS[at % len(COLOURS)]}"/>')
        picture.text(266 + length, y + 15, whole(value) if most >= 100 else small(value))
    return picture.svg()


def lines(title, across, up, curves, top=None):
    """A line for each name through its points, evenly spaced: [(label, value)]."""
    picture = Picture(title)
    labels = list(dict.fromkeys(label for points in curves.values() for label, _ in points))
    values = [value for points in curves.values() for _, value in points if value is not None]
    most = top or 1.1 * max(values, default=1)
    x = lambda label: 90 + 420 * labels.index(label) / max(1, len(labels) - 1)
    y = lambda value: 370 - 310 * value / most
    for step in range(5):
        level = most * step / 4
        picture.parts.append(f'<path d="M90 {y(level):.1f}H510" stroke="#ddd"/>')
        picture.text(82, y(level) + 4, whole(level) if most >= 20 else small(level), "end")
    for label in labels:
        picture.text(x(label), 390, label, "middle")
    picture.text(300, 410, across, "middle")
    picture.text(20, 46, up)
    for at, (name, points) in enumerate(curves.items()):
        colour = COLOURS[at % len(COLOURS)]
        places = [f"{x(label):.1f},{y(value):.1f}" for label, value in points if value is not None]
        picture.parts.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        picture.parts += [f'<circle cx="{place.split(",")[0]}" cy="{place.split(",")[1]}" r="3" fill="{colour}"/>' for place in places]
        picture.parts.append(f'<rect x="530" y="{60 + 22 * at}" width="14" height="14" fill="{colour}"/>')
        picture.text(550, 72 + 22 * at, name)
    return picture.svg()


def curves(entries, label, value):
    found = {}
    for entry in entries:
        found.setdefault(entry["side"], []).append((label(entry), value(entry)))
    return found


def plots(found):
    """SVG by file name."""
    parts, made = found["parts"], {}
    if main := parts.get("main"):
        made["throughput"] = bars("Ticks a second", [(entry["side"], speed(entry)) for entry in main])
        costs = [(entry["side"], a_million(entry, "cpu_s")) for entry in main]
        made["cpu"] = bars("CPU seconds a million ticks", costs)
    if latency := parts.get("latency"):
        points = curves(latency, lambda e: f"{100 * e['load']:.0f} %", lambda e: e["run"]["p99_ms"])
        made["latency"] = lines("Record to result, p99", "load", "milliseconds", points)
    if growth := parts.get("growth"):
        count = lambda entry: whole(entry["input"]["series"])
        cost = curves(growth, count, lambda entry: a_million(entry, "cpu_s"))
        made["growth-cpu"] = lines("CPU seconds a million ticks", "series", "seconds", cost)
        made["growth-memory"] = lines("Peak memory", "series", "MB", curves(growth, count, peak_mb))
    if instances := parts.get("instances"):
        points = curves(instances, lambda entry: str(entry["instances"]), speed)
        made["instances"] = lines("Ticks a second, 12 partitions", "instances", "ticks a second", points)
    return made
