"""The private Postgres of the benchmark (fsync on), and what is put into it."""

import os
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from .process import Failed

# Events of each finished run.
EVENTS = 14

# The rows that a migration makes stay.
EMPTY = """
do $$ begin
    execute (select 'truncate ' || string_agg(format('%I', relname), ', ')
             from pg_class
             where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
                 and relname not in ('_sqlx_migrations', 'access_version', 'circuits', 'run_summary_mark', 'caption_walk'));
end $$;
"""


class Postgres:
    """A server that leaves with us, however we end: it is held by a pipe of ours."""

    def __init__(self, binary, psql):
        self.binary, self.psql = binary, psql
        self.folder = tempfile.mkdtemp(prefix="ig-tracking-bench-")
        os.chmod(self.folder, 0o755)  # As root the server runs as another user, who must get in.
        self.holder = subprocess.Popen(
            [binary, "postgres-hold", "--data-dir", os.path.join(self.folder, "data"), "--database", "bench"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._url = self.holder.stdout.readline().strip()
        if not self._url:
            self.stop()
            raise Failed("no Postgres could be started (see above)")
        with open(self._pid_file(), encoding="ascii") as file:
            self.pid = int(file.readline())

    def _pid_file(self):
        return os.path.join(self.folder, "data", "data", "postmaster.pid")

    def url(self, database):
        """The connection string of a database on this server."""
        return urllib.parse.urlsplit(self._url)._replace(path=f"/{database}").geturl()

    def sql(self, database, text, **variables):
        """Runs statements and gives what they print."""
        return self._psql(self.url(database), text, variables)

    def url_as(self, role, database):
        """The same database as another role sees it."""
        url = urllib.parse.urlsplit(self.url(database))
        return url._replace(netloc=f"{role}@{url.netloc.rpartition('@')[2]}").geturl()

    def sql_as(self, role, database, text):
        """Runs statements as another role."""
        return self._psql(self.url_as(role, database), text, {})

    def _psql(self, url, text, variables):
        variables = [f"--set={name}={value}" for name, value in variables.items()]
        command = [self.psql, "-XqAt", "--set=ON_ERROR_STOP=1", *variables, "-f", "-", url]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"psql failed:\n{done.stderr}")
        return done.stdout.strip()

    def version(self):
        return self.sql("bench", "show server_version")

    def pages_read(self, database):
        """How many pages were not in Postgres's buffers when they were asked for, as far as sessions that ended have told."""
        return int(self.sql("postgres", f"select blks_read from pg_stat_database where datname = '{database}'"))

    def has(self, database):
        return self.sql("postgres", f"select count(*) from pg_database where datname = '{database}'") == "1"

    def with_schema(self, database):
        """Makes a database with the service's tables, or empties the one that is there."""
        if not self.has(database):
            self.sql("postgres", f"create database {database}")
        environment = {**os.environ, "DATABASE_URL": self.url(database), "IGT_LOG": "error"}
        subprocess.run([self.binary, "migrate"], env=environment, stdout=subprocess.DEVNULL, check=True)
        self.sql(database, EMPTY)
        return database

    def settle(self, seconds=1.0):
        """Lets nobody pay for what was written before."""
        self.sql("postgres", "checkpoint")
        time.sleep(seconds)

    def fill(self, database, tasks, script):
        """Makes tasks with a finished run each, in several sessions side by side, and analyses what has come."""
        with open(script, encoding="utf-8") as file:
            text = file.read()
        sessions = max(2, os.cpu_count() or 1)
        bounds = [tasks * n // sessions for n in range(sessions + 1)]
        with ThreadPoolExecutor(sessions) as pool:
            filled = [pool.submit(self.sql, database, text, first=low + 1, last=high)
                      for low, high in zip(bounds, bounds[1:])]
            for session in filled:
                session.result()
        self.sql(database, "vacuum analyze tasks, runs, events")

    def add_tasks(self, database, prefix, first, last, username):
        """Makes idle tasks; `n` in the username stands for the task's number."""
        self.sql(database, f"""
            insert into tasks (task_id, kind, username)
            select '{prefix}' || n, 'profile', {username} from generate_series({first}, {last}) as n""")

    def stop(self):
        """Lets go of the server, waits until it has gone, and removes it."""
        if not self.holder.stdin.closed:
            self.holder.stdin.close()
        self.holder.wait()
        deadline = time.monotonic() + 120
        while os.path.exists(self._pid_file()) and time.monotonic() < deadline:
            time.sleep(0.05)
        # It may still put a file into what was just emptied.
        while os.path.exists(self.folder) and time.monotonic() < deadline:
            shutil.rmtree(self.folder, ignore_errors=True)
            time.sleep(0.05)
