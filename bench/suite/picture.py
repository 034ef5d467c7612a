"""What the dashboards show, drawn without Grafana: the panels' own statements, asked as the role, and matplotlib.

    target/bench/venv/bin/python -m suite.picture psql postgres://ig_dashboard@…/… ../docs/dashboards.png     (in bench/)
"""

import csv
import io
import subprocess
import sys
from collections import defaultdict
from datetime import datetime

from .history import expand, panels

# Dashboard, panel, how it is drawn, and over which range.
SHOWN = (
    ("operations", "Runs by how they ended", "stack", "90 days"),
    ("operations", "Mean time of a run by phase", "stack", "90 days"),
    ("failures", "Failures by reason and day", "stack", "90 days"),
    ("operations", "Success rate over time", "line", "90 days"),
    ("profile", "Followers by day", "line", "365 days"),
    ("profile", "Change by day", "bar", "365 days"),
    ("reels", "Plays", "points", "30 days"),
    ("reels", "Plays an hour", "points", "30 days"),
)
INTERVAL = 86_400_000
COLOURS = {"succeeded": "#56a64b", "partial": "#ff9830", "failed": "#e02f44", "cancelled": "#888888"}
# An account that was left alone for a while, so that there is a gap to be seen, and that has reels of the last month.
ACCOUNT = """
select g.username from dashboard.profile_growth g
join dashboard.reels r on r.profile_id = g.profile_id and r.taken_at > now() - interval '30 days' and r.plays_count is not null
where g.day < (select max(day) from dashboard.profile_growth) - interval '5 days' and not g.is_observed
group by 1 having count(distinct g.day) > 4 order by count(distinct r.shortcode) desc, 1 limit 1
"""


def rows(psql, url, statement):
    """What a statement gives, as dictionaries."""
    done = subprocess.run([psql, "-Xq", "--csv", "--set=ON_ERROR_STOP=1", "-c", statement, url], capture_output=True, text=True,
                          check=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))


def series(found):
    """The lines of a panel by name, each its times and values; what is null is a gap."""
    lines = defaultdict(lambda: ([], []))
    for row in found:
        at = datetime.fromisoformat(row.pop("time"))
        name = row.pop("metric", None)
        for column, value in row.items():
            times, values = lines[name or column]
            times.append(at)
            values.append(float(value) if value else float("nan"))
    return lines


def draw_panel(axes, kind, lines):
    """One panel."""
    import numpy
    if kind == "stack":
        times = sorted({at for line in lines.values() for at in line[0]})
        below = numpy.zeros(len(times))
        for name, line in sorted(lines.items()):
            told = dict(zip(*line))
            values = numpy.array([told.get(at, 0.0) for at in times])
            axes.bar(times, values, bottom=below, width=1.0, label=name, color=COLOURS.get(name))
            below += values
    for name, (times, values) in lines.items():
        if kind == "line":
            axes.plot(times, values, linewidth=1.2, label=name)
        elif kind == "points":
            axes.plot(times, values, linewidth=0.8, marker=".", markersize=3, label=name)
        elif kind == "bar":
            axes.bar(times, values, width=1.0, label=name)


def draw(psql, url, path):
    """The picture."""
    import matplotlib
    matplotlib.use("agg")
    from matplotlib import dates, pyplot
    matplotlib.rcParams.update({"font.size": 7, "font.family": "sans-serif"})
    account = rows(psql, url, ACCOUNT)[0]["username"]
    statements = {(board, title): sql for board, title, sql in panels()}
    figure, grid = pyplot.subplots(4, 2, figsize=(11, 11), layout="constrained")
    for axes, (board, title, kind, days) in zip(grid.flat, SHOWN):
        lines = series(rows(psql, url, expand(statements[board, title], days, INTERVAL, account)))
        draw_panel(axes, kind, lines)
        of = f"{title}, @{account}" if board in ("profile", "reels") else title
        axes.set_title(f"{of} ({days})", loc="left", fontsize=8, fontweight="bold")
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if 1 < len(lines) <= 12:
            axes.legend(fontsize=6, ncols=3, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.1))
    figure.suptitle("Panels of dashboards/, drawn by bench/suite/picture.py from their own statements over an invented history", fontsize=8,
                    color="#555555")
    figure.savefig(path, facecolor="white", dpi=110)


if __name__ == "__main__":
    draw(*sys.argv[1:4])
