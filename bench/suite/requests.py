"""The sections that ask the two hot requests: status, start, latency, 50m."""

from contextlib import ExitStack

from .bench import POLLED, QUIET, say
from .load import alternate, middle, middle_cpu, ratio, wrk

CONNECTIONS = 64
# More starts than a part can make in a second.
STARTS_A_SECOND = 40_000


def rate(parts):
    return f"{middle(parts):,.0f}/s"


def with_latency(parts):
    return f"{middle(parts):,.0f}/s, p50 {middle(parts, 'p50_ms'):.2f} ms, p99 {middle(parts, 'p99_ms'):.2f} ms"


def polled(bench, server, connections=CONNECTIONS, seconds=None):
    """task_status of 1,000 tasks again and again."""
    bench.settle()
    return wrk("status", server, connections, seconds or bench.seconds, postgres=bench.postgres)


def first_asked(bench, start, database, connections=CONNECTIONS, seconds=None):
    """task_status of a task that this server was never asked for, on a server that has just begun."""
    with start() as server:
        bench.settle()
        return wrk("first", server, connections, seconds or bench.seconds, (bench.filled[database], bench.far()),
                   bench.postgres)


def started(bench, server, database, connections=CONNECTIONS, seconds=None):
    """force_scrape of another task with each request."""
    seconds = seconds or bench.seconds
    # A connection waits for its answer: that bounds how many tasks a part can use.
    share = seconds * min(STARTS_A_SECOND, connections * 4000) // min(2, connections)
    # The baseline needs no rows: there every id is a task.
    first = bench.idle_tasks(database, "start", share * min(2, connections)) if database else bench.far()
    bench.settle()
    return wrk("start", server, connections, seconds, (first, share), bench.postgres)


def peer_status(bench, database, tasks, seconds=None):
    bench.settle()
    return bench.pgbench.status(database, tasks, seconds or bench.seconds)


def peer_start(bench, database, seconds=None):
    seconds = seconds or bench.seconds
    bench.idle_tasks(database, "peer", seconds * STARTS_A_SECOND)
    bench.settle()
    return bench.pgbench.start(database, seconds)


def status(bench):
    """task_status at 64 connections: polled and first asked."""
    report, database = bench.report, bench.database()
    say("task_status, polled again and again")
    with ExitStack() as servers:
        ours = servers.enter_context(bench.answering(database))
        quiet = servers.enter_context(bench.answering(database, IGT_LOG=QUIET))
        flask = servers.enter_context(bench.flask())
        for server in (ours, quiet, flask):
            wrk("status", server, CONNECTIONS, 1)  # Connections and plans are made.
        parts = alternate(
            bench.rounds, say,
            ours=lambda: polled(bench, ours),
            quiet=lambda: polled(bench, quiet),
            pgbench=lambda: peer_status(bench, database, POLLED),
            flask=lambda: polled(bench, flask))
    report.keep("status polled", parts)
    what = "task_status polled, 64 connections"
    ours, quiet = parts["ours"], parts["quiet"]
    report.add("status", f"{what}, to pgbench's one statement", ratio(ours, parts["pgbench"]), "x",
               with_latency(ours), rate(parts["pgbench"]), at_least=2)
    report.add("status", f"{what}, to Flask", ratio(ours, parts["flask"]), "x",
               rate(ours), with_latency(parts["flask"]), at_least=30)
    report.add("status", f"{what}, p99", middle(ours, "p99_ms"), "ms", with_latency(ours), at_most=5)
    report.add("status", f"{what}, without request lines, to pgbench", ratio(quiet, parts["pgbench"]), "x",
               with_latency(quiet), rate(parts["pgbench"]))
    for name, side in parts.items():
        report.spent(f"status polled: {name}", *middle_cpu(side))

    say("task_status, each task for the first time")
    parts = alternate(
        bench.rounds, say,
        ours=lambda: first_asked(bench, lambda: bench.answering(database), database),
        pgbench=lambda: peer_status(bench, database, bench.tasks))
    report.keep("status first asked", parts)
    what = "task_status first asked, 64 connections"
    ours = parts["ours"]
    report.add("status", f"{what}, to pgbench's one statement", ratio(ours, parts["pgbench"]), "x",
               with_latency(ours), rate(parts["pgbench"]), at_least=1)
    report.add("status", f"{what}, p99", middle(ours, "p99_ms"), "ms", with_latency(ours), at_most=10)
    for name, side in parts.items():
        report.spent(f"status first asked: {name}", *middle_cpu(side))


def start(bench):
    """force_scrape of distinct tasks at 64 connections."""
    report, database = bench.report, bench.database()
    say("force_scrape")
    with bench.answering(database) as ours, bench.flask() as flask:
        parts = alternate(
            bench.rounds, say,
            ours=lambda: started(bench, ours, database),
            pgbench=lambda: peer_start(bench, database),
            flask=lambda: started(bench, flask, None))
    report.keep("start", parts)
    what = "force_scrape, 64 connections"
    ours = parts["ours"]
    report.add("start", f"{what}, to pgbench's one statement", ratio(ours, parts["pgbench"]), "x",
               with_latency(ours), rate(parts["pgbench"]), at_least=1.5)
    report.add("start", f"{what}, to Flask", ratio(ours, parts["flask"]), "x",
               rate(ours), with_latency(parts["flask"]), at_least=15)
    report.add("start", f"{what}, p99", middle(ours, "p99_ms"), "ms", with_latency(ours), at_most=20)
    for name, side in parts.items():
        report.spent(f"start: {name}", *middle_cpu(side))


def latency(bench):
    """One connection, beside the plain handler."""
    report, database = bench.report, bench.database()

    def compare(what, at_most, **sides):
        say(f"one connection: {what}")
        parts = alternate(bench.rounds, say, **sides)
        report.keep(f"latency {what}", parts)
        shown = {name: f"p50 {middle(side, 'p50_ms'):.3f} ms" for name, side in parts.items()}
        what = f"{what}, one connection, p50"
        report.add("latency", f"{what} to the plain handler's", ratio(parts["ours"], parts["plain"], "p50_ms"), "x",
                   shown["ours"], shown["plain"], at_most=at_most)
        report.add("latency", f"{what} to the plain handler's with sqlx's pool as it comes",
                   ratio(parts["ours"], parts["pinging"], "p50_ms"), "x", shown["ours"], shown["pinging"])
        for name, side in parts.items():
            report.spent(f"{what}: {name}", *middle_cpu(side))

    with ExitStack() as servers:
        ours = servers.enter_context(bench.answering(database))
        plain = servers.enter_context(bench.plain(database))
        pinging = servers.enter_context(bench.plain(database, "--ask-first"))
        compare("force_scrape", 1.1,
                ours=lambda: started(bench, ours, database, 1),
                plain=lambda: started(bench, plain, database, 1),
                pinging=lambda: started(bench, pinging, database, 1))
        compare("task_status polled", 1,
                ours=lambda: polled(bench, ours, 1),
                plain=lambda: polled(bench, plain, 1),
                pinging=lambda: polled(bench, pinging, 1))
    compare("task_status first asked", 1.6,
            ours=lambda: first_asked(bench, lambda: bench.answering(database), database, 1),
            plain=lambda: first_asked(bench, lambda: bench.plain(database), database, 1),
            pinging=lambda: first_asked(bench, lambda: bench.plain(database, "--ask-first"), database, 1))


def fifty_million(bench):
    """task_status with ten times as many events, beside itself."""
    report, less, more = bench.report, bench.database(), bench.database("bench_more", bench.tasks * 10)
    size = f"{bench.tasks * 10 * 14 / 1e6:.0f} M to {bench.tasks * 14 / 1e6:.0f} M events"

    def compare(what, sides):
        say(f"task_status {what}: {size}")
        parts = alternate(bench.rounds, say, **sides)
        report.keep(f"50m {what}", parts)
        report.add("50m", f"task_status {what}, {size}", ratio(parts["more"], parts["less"]), "x",
                   with_latency(parts["more"]), with_latency(parts["less"]), at_least=0.9)
        for name, side in parts.items():
            report.spent(f"50m, {what}: {name}", *middle_cpu(side))

    with bench.answering(less) as few, bench.answering(more) as many:
        for server in (few, many):
            wrk("status", server, CONNECTIONS, 1)
        compare("polled", {"less": lambda: polled(bench, few), "more": lambda: polled(bench, many)})
    pages = {less: [], more: []}

    def first(database):
        before = bench.postgres.pages_read(database)
        part = first_asked(bench, lambda: bench.answering(database), database)
        pages[database].append((bench.postgres.pages_read(database) - before) / part.requests)
        return part

    compare("first asked", {"less": lambda: first(less), "more": lambda: first(more)})
    few, many = (sum(pages[database]) / len(pages[database]) for database in (less, more))
    report.note(f"A task that is asked for the first time has Postgres read {few:.1f} pages into its buffers, and "
                f"{many:.1f} with ten times as many events.")
