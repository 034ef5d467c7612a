"""The section about text search of events: as it is, and what a trigram index would be worth and cost."""

import json
import os
import statistics
import time
import urllib.parse
import urllib.request

from .bench import say
from .load import alternate, middle

# What is looked for: what nearly every event says, an account's name, what seven runs met, and what none did.
WORDS = {"common": "posts", "a name": "@account.123456", "rare": "asset://laser", "no hit": "zebra crossing"}

INDEX = """
create extension if not exists pg_trgm;
create index events_message_trgm on events using gin (message gin_trgm_ops);
create index events_fields_trgm on events using gin ((fields::text) gin_trgm_ops);
"""

# What one would write with it: the first page of the hits, and how many there are up to 10,000.
PLAIN = r"""
prepare page as select run_id, seq, message from events
where message ilike :'pattern' or fields::text ilike :'pattern' order by run_id desc, seq desc limit 50;
prepare total as select count(*) from (select from events
where message ilike :'pattern' or fields::text ilike :'pattern' limit 10001) as hit;
\timing on
execute page \g /dev/null
execute total \g /dev/null
"""


def search(bench):
    """`q` over all events: its first page and the whole walk, beside one statement with a trigram index."""
    report, database = bench.report, "search"
    bench.postgres.with_schema(database)
    say(f"filling {database}: {bench.tasks:,} tasks, a finished run of 14 events each")
    bench.postgres.fill(database, bench.tasks, "bench/search.sql")
    events = int(bench.postgres.sql(database, "select count(*) from events"))
    bench.postgres.settle()
    with bench.answering(database) as service:
        walked = {name: [walk(service.url, word) for _ in range(bench.rounds)] for name, word in WORDS.items()}
    insert = os.path.abspath("bench/insert_events.sql")
    plain = alternate(bench.rounds, say, plain=lambda: bench.pgbench.run(insert, database, bench.seconds, 4))["plain"]
    before = {name: [statement(bench, database, word) for _ in range(bench.rounds)] for name, word in WORDS.items()}

    say("search: making the index")
    began = time.monotonic()
    bench.postgres.sql(database, INDEX)
    bench.postgres.sql(database, "vacuum analyze events")
    made = time.monotonic() - began
    table, index = (int(size) for size in bench.postgres.sql(database, """
        select sum(pg_table_size(i.inhrelid)),
               (select sum(pg_relation_size(x.indexrelid)) from pg_index x join pg_inherits c on c.inhrelid = x.indrelid
                join pg_class k on k.oid = x.indexrelid join pg_am a on a.oid = k.relam
                where c.inhparent = 'events'::regclass and a.amname = 'gin')
        from pg_inherits i where i.inhparent = 'events'::regclass""").split("|"))
    after = {name: [statement(bench, database, word) for _ in range(bench.rounds)] for name, word in WORDS.items()}
    with_it = alternate(bench.rounds, say, indexed=lambda: bench.pgbench.run(insert, database, bench.seconds, 4))["indexed"]
    bench.postgres.sql(database, "drop index events_message_trgm, events_fields_trgm")

    for name in WORDS:
        first, whole, pages = (statistics.median(column) for column in zip(*walked[name]))
        shown = f"first page {first:.0f} ms; to the end {whole / 1000:.1f} s in {pages:.0f} pages"
        peer = (f"one statement: {statistics.median(before[name]):.0f} ms without the index, "
                f"{statistics.median(after[name]):.0f} ms with it")
        report.add("search", f"q over {events:,} events, {name}", first, "ms", shown, peer)
    report.add("search", "size of the trigram index to the table's", index / table, "x",
               f"{index / 1e6:,.0f} MB to {table / 1e6:,.0f} MB, made in {made:.0f} s")
    report.add("search", "insert of 100 events with the index to without", middle(with_it) / middle(plain), "x",
               f"{middle(with_it):,.0f}/s", f"{middle(plain):,.0f}/s")


def walk(url, word):
    """Milliseconds of the first page and of the whole walk, and its pages."""
    began, first, pages, cursor = time.monotonic(), None, 0, None
    while True:
        query = {"q": word, "limit": "50", **({"cursor": cursor} if cursor else {})}
        with urllib.request.urlopen(f"{url}/api/v2/events?{urllib.parse.urlencode(query)}") as answer:
            told = json.load(answer)
        pages += 1
        first = first or (time.monotonic() - began) * 1000
        cursor = told.get("next_cursor")
        # What nearly every event says has no end worth walking to.
        if not cursor or (told["items"] and pages >= 3):
            return first, (time.monotonic() - began) * 1000, pages


def statement(bench, database, word):
    """Milliseconds of both statements, planned for this very word."""
    said = bench.postgres.sql(database, PLAIN, pattern=f"%{word}%")
    return sum(float(line.split()[1]) for line in said.splitlines() if line.startswith("Time:"))
