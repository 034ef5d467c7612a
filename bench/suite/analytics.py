"""The section about analytics: an account with 1,000 posts and a year of four looks a day."""

import http.client
import statistics
import time

from .bench import say
from .process import Failed

ACCOUNTS = 20
# How often each is asked, one request after the other, of one account after the other.
REQUESTS = 200


def analytics(bench):
    """The whole analysis of a year and of 30 days, a page of posts, and a reel's curve."""
    report, postgres = bench.report, bench.postgres
    say(f"analytics: filling {ACCOUNTS} accounts with 1,000 posts and a year of four looks a day each")
    database = postgres.with_schema("analytics")
    with open("bench/analytics.sql", encoding="utf-8") as file:
        postgres.sql(database, file.read(), accounts=ACCOUNTS)
    rows = int(postgres.sql(database, "select count(*) from media_snapshots"))
    since = postgres.sql(database, """select to_char(now() at time zone 'UTC' - interval '365 days', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')""")
    say(f"  {rows:,} snapshots of posts")
    with bench.answering(database) as service:
        bench.settle()
        for name, path, limit in (
            ("a year, 1,000 posts", f"/profiles/analysed{{n}}/analytics?since={since}", 1800),
            ("30 days, 82 posts", "/profiles/analysed{n}/analytics", None),
            ("a page of 50 of 1,000 posts", f"/profiles/analysed{{n}}/analytics/posts?since={since}", 1800),
            ("a reel's curve", "/reels/a{n}_600/curve", None),
        ):
            times = ask(service.address, [path.format(n=1 + number % ACCOUNTS) for number in range(REQUESTS)])
            p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
            shown = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
            say(f"  {name}: {shown}")
            report.add("analytics", f"analytics, {name}, p99", p99, "ms", shown, at_most=limit)


def ask(address, paths):
    """Milliseconds of each request over one connection."""
    connection = http.client.HTTPConnection(address)
    times = []
    for path in paths:
        began = time.perf_counter()
        connection.request("GET", f"/api/v2{path}")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Failed(f"{path} is answered {answer.status}: {body[:200]!r}")
        times.append((time.perf_counter() - began) * 1000)
    connection.close()
    return times
