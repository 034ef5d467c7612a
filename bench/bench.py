"""Measures the service beside its peers and prints a table. Started by bench/run; see bench/README.md."""

import argparse
import os
import signal
import sys
import time

from suite import analytics, archives, history, plot, requests, search, streams, work
from suite.bench import Bench, say
from suite.process import Failed
from suite.report import Report, machine

SECTIONS = {
    "status": requests.status,
    "start": requests.start,
    "latency": requests.latency,
    "journal": work.journal,
    "first-request": work.first_request,
    "runs": work.runs,
    "memory": work.memory,
    "streams": streams.streams,
    "search": search.search,
    "analytics": analytics.analytics,
    "history": history.history,
    "archives": archives.archives,
    "plot": plot.plot,
    "50m": requests.fifty_million,
}
# Each takes about as long as all others together.
ONLY_WHEN_ASKED = {"50m", "archives", "history", "search"}


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.split(";")[0])
    parser.add_argument("sections", nargs="*", metavar="section",
                        help=f"{', '.join(SECTIONS)}; without any, all but {', '.join(ONLY_WHEN_ASKED)}")
    for name in ("binary", "programs", "pgbench", "psql", "out"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    unknown = set(asked.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return asked


def main():
    asked = arguments()
    wanted = asked.sections or [name for name in SECTIONS if name not in ONLY_WHEN_ASKED]
    seconds, rounds = int(os.environ.get("SECONDS_EACH", 10)), int(os.environ.get("ROUNDS", 3))
    # Told to stop, everything that was started is stopped as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    failed = []
    bench = Bench(asked.binary, asked.programs, asked.pgbench, asked.psql, sys.executable, seconds, rounds)
    bench.out = asked.out
    try:
        bench.report = Report(machine(bench.postgres.version(), seconds, rounds))
        for name in (name for name in SECTIONS if name in wanted):
            try:
                SECTIONS[name](bench)
            except Failed as error:
                failed.append(name)
                bench.report.note(f"Section {name} has no result: {str(error).splitlines()[0]}")
                say(f"bench: {name}: {error}")
            bench.report.write(bench.out)
    finally:
        bench.stop()
    told = bench.report.machine
    print(f"{told['cores']} cores ({told['cpu']}), {told['memory_gib']} GiB, {told['system']}, Postgres "
          f"{told['postgres']}, {told['commit']}, {told['when']}; {seconds} s a part, {rounds} rounds\n")
    print(bench.report.markdown())
    say(f"bench: {time.monotonic() - began:.0f} s; results are in {bench.out}")
    if failed:
        sys.exit(f"bench: no result for {', '.join(failed)}")


if __name__ == "__main__":
    main()
