"""Rate and p99 over connections: measured, written as CSV, and drawn."""

import csv
import os

from .bench import POLLED, say
from .load import wrk
from .requests import first_asked, peer_start, peer_status, polled, started

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
# Blue, orange and green that those who confuse red and green can tell apart.
KINDS = {
    "task_status polled": ("#0072b2", "o"),
    "task_status first asked": ("#e69f00", "s"),
    "force_scrape": ("#009e73", "^"),
}


def plot(bench):
    """Measures all points and draws them."""
    database, seconds = bench.database(), max(2, bench.seconds // 2)
    say("plot: task_status polled, first asked and force_scrape over connections")

    def references():
        return {"one status statement": peer_status(bench, database, POLLED, seconds).rate,
                "one start statement": peer_start(bench, database, seconds).rate}

    before, points = references(), []

    def point(kind, connections, part):
        points.append({"kind": kind, "connections": connections, "rate": round(part.rate, 1),
                       "p50_ms": part.p50_ms, "p99_ms": part.p99_ms})
        say(f"  {kind}, {connections} connections: {part.rate:,.0f}/s, p99 {part.p99_ms:.2f} ms")

    polls, asks, starts = KINDS
    with bench.answering(database) as server:
        wrk("status", server, 64, 1)
        for count in CONNECTIONS:
            point(polls, count, polled(bench, server, count, seconds))
        for count in CONNECTIONS:
            point(starts, count, started(bench, server, database, count, seconds))
    for count in CONNECTIONS:
        point(asks, count, first_asked(bench, lambda: bench.answering(database), database, count, seconds))
    after = references()
    bench.report.plot = points
    bench.report.reference = {name: (before[name] + after[name]) / 2 for name in before}
    write_csv(bench.out, bench.report)
    draw(bench.out, bench.report)


def write_csv(folder, report):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "performance.csv"), "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["kind", "connections", "rate", "p50_ms", "p99_ms"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(report.plot)
        for name, rate in report.reference.items():
            writer.writerow({"kind": f"pgbench: {name}", "connections": 16, "rate": round(rate, 1)})


def draw(folder, report):
    """Two panels that share their axis: the rate above, p99 below."""
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    # Words stay words, and the same points give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ig-tracking", "font.size": 10,
                                "font.family": "sans-serif"})
    figure, (rates, tails) = pyplot.subplots(2, 1, sharex=True, figsize=(8.5, 8.5), layout="constrained")
    for kind, (colour, marker) in KINDS.items():
        points = [point for point in report.plot if point["kind"] == kind]
        x = [point["connections"] for point in points]
        style = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.6, "label": kind}
        rates.plot(x, [point["rate"] for point in points], **style)
        tails.plot(x, [point["p99_ms"] for point in points], **style)
    for (name, rate), dashes in zip(report.reference.items(), ((6, 3), (2, 2))):
        rates.axhline(rate, color="#555555", linewidth=1.2, dashes=dashes, label=f"pgbench, 16 clients: {name}")
    rates.set_ylabel("requests per second (log)")
    tails.set_ylabel("p99 in ms (log)")
    rates.set_title("Rate and p99 over connections", loc="left", fontweight="bold")
    for axes in (rates, tails):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    tails.set_xlabel("connections (log)")
    tails.set_xscale("log", base=2)
    tails.set_xticks(CONNECTIONS, [str(count) for count in CONNECTIONS])
    tails.xaxis.set_minor_locator(NullLocator())
    for axes in (rates, tails):
        axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*rates.get_legend_handles_labels(), loc="outside lower left", ncols=2, frameon=False)
    machine = report.machine
    about = f"{machine['cores']} cores shared by client, service and Postgres ({machine['cpu']}); {machine['when']}"
    rates.text(1, 1.02, about, transform=rates.transAxes, ha="right", fontsize=7.5, color="#555555")
    path = os.path.join(folder, "performance.svg")
    figure.savefig(path, bbox_inches="tight", facecolor="white", metadata={"Date": None})
