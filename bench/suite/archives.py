"""The section about packed logs: what an event takes as a row and packed, and what reading one costs."""

import os
import re
import subprocess
import time

from . import history
from .bench import say
from .load import alternate, middle, ratio, wrk
from .process import Failed
from .work import program

CONNECTIONS = 8
# Runs that are asked for: each once a part.
ASKED = 110_000

# A partitioned table with its indexes, without the partitions that nothing stands in yet.
SIZE = """
    select coalesce(sum(pg_total_relation_size(inhrelid)), 0) from pg_inherits
    where inhparent = '{0}'::regclass and pg_relation_size(inhrelid) > 0"""
# Tasks of their own for some runs of either kind, so that a status can be asked for: the latest run of a task.
ASK = """
    create temporary table asked as
    select run_id, kind, username, row_number() over () as n from (
        select r.run_id, r.kind, r.username from runs r
        where r.last_seq > 1 and r.finished_at is not null and exists (select from {0} l where l.run_id = r.run_id)
        order by md5(r.run_id::text) limit {1}) as chosen;
    insert into tasks (task_id, kind, username) select '{0}-' || n, kind, username from asked;
    update runs r set task_id = '{0}-' || n from asked where asked.run_id = r.run_id;
    select run_id from asked order by n"""


def number(bench, database, query):
    return int(bench.postgres.sql(database, query) or 0)


def archives(bench):
    """A year of history, packed; bytes an event, and p99 of a status and of a filtered page."""
    report, postgres, database = bench.report, bench.postgres, "archives"
    if postgres.has("history") and number(bench, "history", "select count(*) from runs") > 0:
        say("archives: the year of the section history")
        postgres.sql("postgres", f"create database {database} template history")
    else:
        say("archives: a year that is invented")
        postgres.with_schema(database)
        say(f"  {history.make(bench, database):.0f} s")
        postgres.sql(database, "vacuum analyze")
    events = number(bench, database, "select count(*) from events")
    say(f"  {events:,} events")
    live = number(bench, database, SIZE.format("events")) / events

    program(bench, "summaries", "--database-url", postgres.url(database))
    environment = {**os.environ, "DATABASE_URL": postgres.url(database), "IGT_EXCHANGE_RETENTION_DAYS": "0", "IGT_LOG": "warn"}
    began = time.monotonic()
    done = subprocess.run([bench.binary, "maintain"], env=environment, capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    if done.returncode != 0:
        raise Failed(f"maintain failed:\n{done.stdout}{done.stderr}")
    postgres.sql(database, "vacuum analyze")
    runs, packed, payload = map(int, re.search(r"(\d+) logs packed: (\d+) events in (\d+) bytes", done.stdout).groups())
    archived = number(bench, database, SIZE.format("run_archives")) / packed
    say(f"  {runs:,} logs of {packed:,} events packed in {took:.0f} s; {live:.1f} B an event as rows, {archived:.1f} B packed")
    shown = f"{archived:.1f} B, of which {payload / packed:.1f} B are the pack"
    report.add("archives", "an event packed, with row and index", archived, "B", shown, at_most=60)
    report.add("archives", "an event as a row with its indexes, to one packed", live / archived, "x", f"{live:.1f} B",
               f"{archived:.1f} B", at_least=6)
    report.add("archives", "packing, all of it at once", runs / took, "runs/s", f"{runs:,} runs in {took:.0f} s")

    read(bench, database)


def read(bench, database):
    """What it costs to read a log of rows and one that is packed."""
    report, postgres, asked = bench.report, bench.postgres, {}
    for table in ("events", "run_archives"):
        run_ids = postgres.sql(database, ASK.format(table, ASKED)).split()
        statuses = [f"/codvid-ai/ig-tracking/task_status/{table}-{n + 1}" for n in range(len(run_ids))]
        pages = [f"/api/v2/runs/{run_id}/events?type=posts_fetched&level=info&q=READ&limit=20" for run_id in run_ids]
        asked[table] = {"status": script(bench, f"{table}-status", statuses), "page": script(bench, f"{table}-page", pages)}
    postgres.sql(database, "vacuum analyze runs, tasks")
    for what, words in (("status", "task_status, first asked"), ("page", "a filtered page of a log")):
        say(f"archives: {words}, of rows and packed")
        parts = alternate(bench.rounds, say, rows=lambda: ask(bench, database, asked["events"][what]),
                          packed=lambda: ask(bench, database, asked["run_archives"][what]))
        report.keep(f"archives {what}", parts)
        p99 = {side: f"p50 {middle(parts[side], 'p50_ms'):.2f} ms, p99 {middle(parts[side], 'p99_ms'):.2f} ms" for side in parts}
        report.add("archives", f"{words}, packed to rows, {CONNECTIONS} connections, p99",
                   ratio(parts["packed"], parts["rows"], "p99_ms"), "x", p99["packed"], p99["rows"], at_most=5)


def script(bench, name, paths):
    path = os.path.join(bench.folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(paths))
    return path


def ask(bench, database, paths):
    """On a service that knows nothing yet, which packs nothing meanwhile."""
    with bench.answering(database, IGT_ARCHIVE_AFTER_DAYS="0", IGT_EXCHANGE_RETENTION_DAYS="0") as server:
        bench.settle()
        return wrk("logs", server, CONNECTIONS, bench.seconds, (paths,), bench.postgres)
