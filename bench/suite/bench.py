"""What all sections stand on: the database with its rows, the servers, and the words on the way."""

import os
import sys
import tempfile
import time

from .load import Pgbench
from .postgres import EVENTS, Postgres
from .process import Server, free_address

# Enough tasks with a finished run for so many events.
EVENTS_WANTED = int(os.environ.get("EVENTS", 5_000_000))
# The same log without a line for each request that was answered.
QUIET = "info,ig_tracking::http::layers=warn"
# The tasks that are asked again and again.
POLLED = 1000


def say(text):
    """A word on the way: not part of the table."""
    print(text, file=sys.stderr, flush=True)


class Bench:
    """One run of the suite."""

    def __init__(self, binary, programs, pgbench, psql, python, seconds, rounds):
        self.binary, self.programs, self.python = os.path.abspath(binary), programs, python
        self.seconds, self.rounds = seconds, rounds
        self.postgres = Postgres(self.binary, psql)
        self.folder = tempfile.mkdtemp(prefix="ig-tracking-bench-scripts-")
        self.pgbench = Pgbench(pgbench, self.postgres, self.folder)
        self.tasks = -(-EVENTS_WANTED // EVENTS)
        self.filled, self.idle = {}, {"start": 1, "peer": 1}
        self.steps = 0

    def database(self, name="bench", tasks=None):
        """A database with that many tasks with a finished run; filled when it is first asked for."""
        tasks = tasks or self.tasks
        if name not in self.filled:
            began = time.monotonic()
            say(f"filling {name}: {tasks:,} tasks, a finished run of {EVENTS} events each")
            self.postgres.with_schema(name)
            self.postgres.fill(name, tasks, "bench/fill.sql")
            self.postgres.sql(name, "create sequence peer")
            self.filled[name] = tasks
            say(f"  {tasks * EVENTS:,} events in {time.monotonic() - began:.0f} s")
        return name

    def small(self):
        """A database with the tables and nothing in them."""
        return self.postgres.with_schema("small")

    def service(self, database, **settings):
        """A replica with default settings but for those that are named."""
        address = free_address()
        environment = {"DATABASE_URL": self.postgres.url(database), "IGT_BIND": address, **settings}
        return Server([self.binary, "serve"], address, environment)

    def answering(self, database, **settings):
        """A replica that only answers: what it starts stays queued, so that nothing but requests is measured."""
        return self.service(database, IGT_CONCURRENCY="0", **settings)

    def plain(self, database, *options):
        """The plain one-query handler."""
        address = free_address()
        command = [self.programs, "plain", "--database-url", self.postgres.url(database), "--listen", address]
        return Server([*command, *options], address)

    def flask(self):
        """The baseline in Flask: one process, since the state is in its memory, and as many threads as connections."""
        address = free_address()
        command = [self.python, "-m", "gunicorn", "--bind", address, "--workers", "1", "--threads", "64",
                   "--worker-connections", "1000", "--backlog", "2048", "--log-level", "error",
                   "flask_baseline:create_app()"]
        return Server(command, address, {"PYTHONDONTWRITEBYTECODE": "1"}, cwd="bench")

    def sandbox(self, delay_ms, by_tls=False):
        """The invented Instagram; by TLS it speaks HTTP/2, as the real one does."""
        address = free_address()
        command = [self.binary, "sandbox", "--bind", address, "--delay-ms", str(delay_ms)]
        if not by_tls:
            return Server(command, address)
        authority = os.path.join(self.folder, "authority.pem")
        return Server([*command, "--tls-authority", authority], address, authority=authority)

    def idle_tasks(self, database, prefix, count):
        """Makes so many idle tasks that no part has started yet; gives the number of the first."""
        first = self.idle[prefix]
        self.idle[prefix] += count
        self.postgres.add_tasks(database, f"{prefix}-", first, first + count - 1, "'bench.start'")
        return first

    def far(self):
        """Where in the walk over all tasks the next part begins: not where an earlier one has been."""
        self.steps += 1
        return self.steps * 100_003

    def settle(self):
        self.postgres.settle()

    def stop(self):
        self.postgres.stop()
        for name in os.listdir(self.folder):
            os.remove(os.path.join(self.folder, name))
        os.rmdir(self.folder)
