"""The section history: a year that bench/history invents, what it takes on the disk, and how long dashboards take to read it."""

import json
import os
import re
import subprocess
import time

from .bench import say
from .process import Failed
from .work import program

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DASHBOARDS = os.path.join(ROOT, "dashboards")

# Grafana's usual ranges, and the interval that it asks for with some 1,000 points in the width of a panel.
RANGES = {"1 day": 120_000, "7 days": 600_000, "30 days": 3_600_000, "90 days": 10_800_000, "365 days": 43_200_000}
TRIES = 3

# Views that read too many rows to be read whole within a second, and what is counted of them, which is.
ROLLUPS = {"run_phases": "phase_hours", "engagement": "engagement_weeks", "reel_velocity": "reel_days"}

STORAGE = """
with recursive part as (
    select c.oid, c.relname as name, c.oid as leaf from pg_class c
    where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and not c.relispartition
        and c.relname not like '\\_sqlx%'
    union all
    select part.oid, part.name, i.inhrelid from part join pg_inherits i on i.inhparent = part.leaf
)
select name, sum(greatest(c.reltuples, 0))::bigint, sum(pg_table_size(part.leaf))::bigint, sum(pg_indexes_size(part.leaf))::bigint
from part join pg_class c on c.oid = part.leaf
where c.relkind = 'r' -- Of one in partitions the whole has their rows once more.
group by name having sum(greatest(c.reltuples, 0)) > 0 order by sum(pg_total_relation_size(part.leaf)) desc;
"""


def make(bench, database):
    """An invented history in a database that has the service's tables and nothing else."""
    environment = {**os.environ, "DATABASE_URL": bench.postgres.url(database),
                   "PATH": os.path.dirname(os.path.abspath(bench.postgres.psql)) + os.pathsep + os.environ["PATH"]}
    began = time.monotonic()
    done = subprocess.run([os.path.join(ROOT, "bench", "history", "make")], env=environment, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"the history could not be made:\n{done.stderr}")
    return time.monotonic() - began


def storage(sql):
    """Rows and bytes by table, partitions in their parents, the largest first."""
    lines = ["| table | rows | table, MB | indexes, MB | bytes a row |", "| --- | --- | --- | --- | --- |"]
    total = 0
    for line in sql(STORAGE).splitlines():
        name, rows, heap, indexes = line.split("|")
        rows, heap, indexes = int(rows), int(heap), int(indexes)
        total += heap + indexes
        lines.append(f"| `{name}` | {rows:,} | {heap / 1e6:,.1f} | {indexes / 1e6:,.1f} | {(heap + indexes) / rows:,.0f} |")
    return lines + [f"| all | | {total / 1e6:,.0f} together | | |"]


def panels():
    """The statements of all dashboards: dashboard, panel, SQL."""
    for name in sorted(os.listdir(DASHBOARDS)):
        if name.endswith(".json"):
            with open(os.path.join(DASHBOARDS, name), encoding="utf-8") as file:
                board = json.load(file)
            for panel in board["panels"]:
                for target in panel["targets"]:
                    yield name.removesuffix(".json"), panel["title"], target["rawSql"]


def expand(sql, days, interval_ms, username):
    """What Grafana makes of its macros."""
    since = f"(now() - interval '{days}')"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {since} AND now()", sql)
    sql = sql.replace("$__timeFrom()", since).replace("$__timeTo()", "now()").replace("$__interval_ms", str(interval_ms))
    return sql.replace("${username:sqlstring}", f"'{username}'")


def timed(sql, statement):
    """The median time of a statement in milliseconds, its rows read to the end."""
    script = "\\timing on\n" + f"{statement.rstrip(';')};\n" * TRIES
    took = [float(line.split()[1]) for line in sql(script).splitlines() if line.startswith("Time: ")]
    if len(took) != TRIES:
        raise Failed(f"no time for\n{statement}")
    return sorted(took)[TRIES // 2]


def read(sql):
    """How long each panel takes at each range, and each view when all of it is counted or summed up; in milliseconds."""
    username = sql("""select p.username from dashboard.profiles p join dashboard.reel_velocity using (profile_id)
                      where p.followers_count is not null group by 1 order by count(*) desc limit 1""")
    of_panels = [(board, title, [timed(sql, expand(statement, days, ms, username)) for days, ms in RANGES.items()])
                 for board, title, statement in panels()]
    views = sql("select relname from pg_class where relnamespace = 'dashboard'::regnamespace order by 1").splitlines()
    of_views = [(view, timed(sql, f"select count(*) from dashboard.{view}")) for view in views]
    return of_panels, of_views


def tables(of_panels, of_views):
    """Both as Markdown."""
    lines = ["| dashboard | panel | " + " | ".join(RANGES) + " |", "| --- | --- |" + " --- |" * len(RANGES)]
    lines += [f"| {board} | {title} | " + " | ".join(f"{ms:,.0f}" for ms in took) + " |" for board, title, took in of_panels]
    lines += ["", "| view | `count(*)` of all, ms | in its place |", "| --- | --- | --- |"]
    whole = [f"| `dashboard.{view}` | {ms:,.0f} | {in_place(view)} |" for view, ms in of_views]
    return lines + whole


def in_place(view):
    """What is to be read in the place of a view, as Markdown."""
    return f"`dashboard.{ROLLUPS[view]}`" if view in ROLLUPS else ""


def history(bench):
    """A year of a thousand accounts (PROFILES, DAYS): made, summarised, rolled up, weighed and read."""
    report, postgres = bench.report, bench.postgres
    database = postgres.with_schema("history")
    say("history: made (some ten minutes)")
    say(f"  {make(bench, database):,.0f} s")
    said, _ = program(bench, "summaries", "--database-url", postgres.url(database))
    say(f"  {said['runs']:,} runs summarised, {said['rate']:,.0f}/s")
    report.add("history", "runs summarised by one replica without its pauses", said["rate"], "runs/s", f"{said['runs']:,} runs")
    said, _ = program(bench, "rollups", "--database-url", postgres.url(database))
    say(f"  {said['accounts']:,} accounts rolled up in {said['seconds']:,.1f} s")
    report.add("history", "accounts rolled up for the first time, a year of each, by one replica without its pauses", said["rate"],
               "accounts/s", f"{said['accounts']:,} accounts in {said['seconds']:,.1f} s")
    postgres.sql(database, "vacuum analyze")
    environment = {**os.environ, "DATABASE_URL": postgres.url(database)}
    subprocess.run([bench.binary, "dashboard-role"], env=environment, capture_output=True, check=True)
    postgres.settle()
    weighed = storage(lambda text: postgres.sql(database, text))
    of_panels, of_views = read(lambda text: postgres.sql_as("ig_dashboard", database, text))
    board, title, took = max(of_panels, key=lambda panel: max(panel[2]))
    without_rollup = [(view, ms) for view, ms in of_views if view not in ROLLUPS]
    view, ms = max(without_rollup, key=lambda view: view[1])
    report.add("history", f"the slowest view without a rollup in its place, when all of it is counted ({view})", ms, "ms",
               f"{len(without_rollup)} of {len(of_views)} views", at_most=1000)
    report.add("history", f"the slowest panel of the dashboards ({board}, {title}), at its slowest range", max(took), "ms",
               f"{len(of_panels)} panels, {len(RANGES)} ranges", at_most=1000)
    with open(os.path.join(bench.out, "history.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(weighed + [""] + tables(of_panels, of_views)) + "\n")
    role = postgres.url_as("ig_dashboard", database)
    from .picture import draw  # Here, since it takes the statements from this file.
    draw(postgres.psql, role, os.path.join(bench.out, "dashboards.png"))
    say(f"  tables and a picture are in {bench.out}: history.md, dashboards.png")
