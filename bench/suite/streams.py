"""The section about streams: many viewers of one run, and one."""

from .bench import say
from .process import raise_open_files
from .work import program

VIEWERS = 5000
EVENTS = 200
# What the sandbox takes for an answer in the scrape that is followed: one event after another.
DELAY_MS = 40


def streams(bench):
    """From an event's commit to the last of its viewers; what that asks of the database; what a viewer takes."""
    report, database = bench.report, bench.small()
    # Each viewer is a file of the service, and one of the program.
    files = raise_open_files(VIEWERS + 1024)
    viewers = min(VIEWERS, files - 512)
    if viewers < VIEWERS:
        report.note(f"Only {files:,} open files are allowed: streams were measured with {viewers:,} viewers.")

    def follow(service, *arguments):
        return program(bench, "streams", "--service", service.address, "--pid", service.pid, "--database-url",
                       bench.postgres.url(database), *arguments, service=service)

    say(f"streams: {viewers:,} viewers of one run, {EVENTS} events")
    with bench.service(database) as service:
        bench.settle()
        many, part = follow(service, "--viewers", viewers, "--events", EVENTS)
    shown = ", ".join(f"{name} {many[f'last_{name}_ms']:.1f} ms" for name in ("p50", "p99", "max"))
    say(f"  last viewer: {shown}; {many['reads_a_commit']:.2f} reads a commit, {many['kib_a_viewer']:.1f} KiB a viewer")
    report.add("streams", f"commit → last of {viewers:,} viewers, p99", many["last_p99_ms"], "ms", shown, at_most=250)
    # One look at the run and one at its log; the poll of every second is in it.
    pages = f"; {many['pages_a_commit']:.2f} pages of single viewers"
    report.add("streams", f"database reads a commit, {viewers:,} viewers", many["reads_a_commit"], "",
               f"{many['reads_a_commit']:.2f}{pages}", at_most=4)
    report.add("streams", "resident memory a viewer", many["kib_a_viewer_told"], "KiB",
               f"{many['kib_a_viewer']:.1f} KiB, {many['kib_a_viewer_told']:.1f} KiB once events were told")
    report.spent(f"streams, an event to one of {viewers:,} viewers",
                 {name: seconds / (viewers * (EVENTS + 1)) * 1e6 for name, seconds in part.cpu.items()}, part.cores())

    say("streams: one viewer, written by another replica")
    with bench.service(database) as service:
        bench.settle()
        one, _ = follow(service, "--viewers", 1, "--events", EVENTS)
    shown = ", ".join(f"{name} {one[f'last_{name}_ms']:.2f} ms" for name in ("p50", "p99"))
    say(f"  {shown}")
    report.add("streams", "commit → single viewer, written by another replica, p50", one["last_p50_ms"], "ms", shown,
               at_most=5)

    say("streams: one viewer of a scrape of its own replica")
    bench.postgres.sql(database, "insert into tasks (task_id, kind, username) values ('followed', 'profile', 'long18.bench')")
    with bench.sandbox(DELAY_MS) as sandbox:
        with bench.service(database, IGT_WEB_URL=sandbox.url, IGT_MAX_POSTS="1000") as service:
            bench.settle()
            own, _ = follow(service, "--scrape", "followed")
    shown = f"p50 {own['p50_ms']:.2f} ms, p99 {own['p99_ms']:.2f} ms, {own['events']} events"
    say(f"  {shown}")
    report.add("streams", "event → single viewer, written by its own replica, commit included, p50", own["p50_ms"], "ms",
               shown, at_most=5)
