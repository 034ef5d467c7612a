"""The sections about runs: journal, first-request, runs, memory."""

import time

from .bench import say
from .load import Part, alternate, middle, middle_cpu, ratio
from .process import Failed, cpu_seconds, free_address, last_json, measured, memory_mib, raise_open_files

RUNS_A_ROUND = 3000
HANDS = 64
IN_FLIGHT = 10_000
# What the service took at most before that: said where 10,000 are refused.
FEWER_IN_FLIGHT = 1000


def program(bench, *arguments, **watched):
    """Runs a program of bench/programs; what it says, and the part that it makes where it has a rate."""
    pids = {name: server.pid for name, server in watched.items()}
    output, seconds, cpu = measured([bench.programs, *map(str, arguments)], {**pids, "postgres": bench.postgres.pid})
    said = last_json(output)
    return said, Part(said.get("rate", 0.0), cpu=cpu, seconds=seconds)


def journal(bench):
    """Events a second through the service's journal, beside a bare insert."""
    report, database = bench.report, bench.small()
    url = bench.postgres.url(database)

    def write(*arguments):
        bench.small()
        bench.settle()
        return program(bench, *arguments, "--database-url", url, "--seconds", bench.seconds)[1]

    say("journal: 100 runs that write, each waiting for its acknowledgement")
    parts = alternate(
        bench.rounds, say,
        one=lambda: write("journal", "--events", 1),
        ten=lambda: write("journal", "--events", 10),
        unnest=lambda: write("unnest", "--rows", 100))
    report.keep("journal", parts)
    peer = f"{middle(parts['unnest']):,.0f} events/s"
    for name, what in (("one", "1 event an entry"), ("ten", "10 events an entry")):
        shown = f"{middle(parts[name]):,.0f} events/s"
        report.add("journal", f"journal, 100 runs, {what}", middle(parts[name]), "events/s", shown, at_least=100_000)
        report.add("journal", f"journal, 100 runs, {what}, to unnest of 100 rows", ratio(parts[name], parts["unnest"]),
                   "x", shown, peer, at_least=0.75)
    for name, side in parts.items():
        report.spent(f"journal: {name}", *middle_cpu(side))


def first_request(bench, tasks=500):
    """From the answer of force_scrape to the run's first request to its upstream."""
    report, database, upstream = bench.report, bench.small(), free_address()
    bench.postgres.add_tasks(database, "first-", 1, tasks, "'first.' || n")
    say(f"first request: {tasks} runs one after another")
    with bench.service(database, IGT_WEB_URL=f"http://{upstream}") as service:
        bench.settle()
        said, _ = program(bench, "first-request", "--service", service.address, "--listen", upstream, "--tasks", tasks,
                          service=service)
    shown = ", ".join(f"{name} {said[f'{name}_ms']:.2f} ms" for name in ("p50", "p90", "p99"))
    say(f"  {shown}")
    report.add("first-request", "force_scrape's answer → first request to the upstream, p50", said["p50_ms"], "ms",
               shown, at_most=2)


def run_round(bench, database, sandbox):
    """A few thousand whole runs, from the first request for one to the end of the last."""
    bench.postgres.with_schema(database)
    bench.postgres.add_tasks(database, "run-", 1, RUNS_A_ROUND, "'run.' || n")
    settings = {"IGT_WEB_URL": sandbox.url, "IGT_MAX_POSTS": "12", "IGT_CONCURRENCY": str(HANDS)}
    with bench.service(database, **settings) as service:
        bench.settle()
        watched = {"service": service.pid, "sandbox": sandbox.pid, "postgres": bench.postgres.pid}
        before = {name: cpu_seconds(pid) for name, pid in watched.items()}
        _, part = program(bench, "start", "--service", service.address, "--prefix", "run-", "--tasks", RUNS_A_ROUND)
        wait_until(bench, database, "not exists (select from runs where finished_at is null)", 300)
        cpu = {name: cpu_seconds(pid) - before[name] for name, pid in watched.items()}
    succeeded, seconds, posts, events = bench.postgres.sql(database, """
        select count(*) filter (where state = 'succeeded'), extract(epoch from max(finished_at) - min(requested_at)),
               (select count(*) from media), (select count(*) from events)
        from runs""").split("|")
    if int(succeeded) != RUNS_A_ROUND or int(posts) != 12 * RUNS_A_ROUND:
        raise Failed(f"of {RUNS_A_ROUND} runs {succeeded} succeeded, with {posts} posts in all")
    bench.events_a_run = int(events) / RUNS_A_ROUND
    seconds = float(seconds)
    return Part(RUNS_A_ROUND / seconds, cpu={**cpu, "client": part.cpu["client"]}, seconds=seconds)


def wait_until(bench, database, condition, patience):
    deadline = time.monotonic() + patience
    while bench.postgres.sql(database, f"select {condition}") != "t":
        if time.monotonic() > deadline:
            raise Failed(f"waited {patience} s in vain until {condition}")
        time.sleep(0.2)


def runs(bench):
    """Whole runs a second."""
    report, database = bench.report, bench.small()
    say(f"runs: {RUNS_A_ROUND:,} a round, 12 posts each, {HANDS} at a time")
    with bench.sandbox(0) as sandbox:
        parts = alternate(bench.rounds, say, ours=lambda: run_round(bench, database, sandbox))
    report.keep("runs", parts)
    ours = parts["ours"]
    report.add("runs", f"whole runs of 12 posts, {HANDS} at a time", middle(ours), "runs/s", f"{middle(ours):,.0f}/s",
               at_least=500)
    report.spent("runs", *middle_cpu(ours))
    report.note(f"A run of the section runs writes {bench.events_a_run:.1f} events and reads 12 posts.")


def memory(bench):
    """Resident memory: at rest, and with many runs in flight."""
    report, database = bench.report, bench.small()
    say("memory: at rest")
    with bench.service(database) as service:
        time.sleep(3)
        rests = memory_mib(service.pid)
    report.add("memory", "resident memory after the start, nothing asked", rests, "MiB", f"{rests:.1f} MiB", at_most=40)

    files = raise_open_files(IN_FLIGHT + 4096)
    say(f"memory: {IN_FLIGHT:,} runs in flight ({files:,} open files allowed)")
    with bench.sandbox(60_000) as sandbox:
        in_flight(bench, "a connection each", IGT_WEB_URL=sandbox.url)
    with bench.sandbox(60_000, by_tls=True) as sandbox:
        in_flight(bench, "TLS and HTTP/2", IGT_WEB_URL=sandbox.url, SSL_CERT_FILE=sandbox.authority)


def in_flight(bench, how, **settings):
    """Resident memory with many runs that wait for an answer."""
    database = bench.small()
    service, count = begin_wide(bench, database, {"IGT_WEB_TIMEOUT_SECONDS": "300", **settings})
    try:
        bench.postgres.add_tasks(database, "flight-", 1, count, "'flight.' || n")
        program(bench, "start", "--service", service.address, "--prefix", "flight-", "--tasks", count)
        wait_until(bench, database, f"count(*) = {count} from runs where state = 'running'", 60)
        samples = []
        for _ in range(25):
            samples.append(memory_mib(service.pid))
            time.sleep(0.2)
        running = int(bench.postgres.sql(database, "select count(*) from runs where state = 'running'"))
        most = memory_mib(service.pid, "VmHWM")
    finally:
        # Handing over so many runs in order is not what is measured.
        service.kill()
    if running < count:
        raise Failed(f"only {running} of {count} runs were in flight when the memory was read")
    say(f"  {how}: {max(samples):.0f} MiB")
    bench.report.add("memory", f"resident memory, {count:,} runs in flight on a slow upstream, {how}", max(samples), "MiB",
                     f"{max(samples):.0f} MiB, at most ever {most:.0f} MiB", at_most=300)
    if count < IN_FLIGHT:
        bench.report.note(f"This version refuses IGT_CONCURRENCY={IN_FLIGHT}: memory was read with {count:,} runs in flight.")


def begin_wide(bench, database, settings):
    """A replica with as many hands as runs are to be in flight, or as many as it takes."""
    for hands in (IN_FLIGHT, FEWER_IN_FLIGHT):
        try:
            return bench.service(database, IGT_CONCURRENCY=str(hands), **settings), hands
        except Failed as failed:
            if "IGT_CONCURRENCY" not in str(failed) and "--concurrency" not in str(failed):
                raise
            say(f"  {hands:,} hands are refused")
    raise Failed("no number of hands is taken")
