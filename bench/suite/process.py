"""Processes: started, waited for, measured by /proc and stopped, each by its own number."""

import json
import os
import resource
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")

# How long a server may take to answer, and to stop.
STARTS_WITHIN = 60
STOPS_WITHIN = 20


class Failed(Exception):
    """Something that a figure cannot be had without, in words for a person."""


def free_address():
    """A loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


def raise_open_files(wanted):
    """Lets this process and those it starts open so many files, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        return wanted
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard


def _stat(pid):
    """The parent of a process and its CPU seconds, those of children that it has waited for included."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[1]), sum(int(ticks) for ticks in fields[11:15]) / TICKS


def cpu_seconds(pid):
    """User and system seconds of a process and of all below it, the dead included."""
    parents, seconds = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)], seconds[int(name)] = _stat(name)
            except (FileNotFoundError, ProcessLookupError):
                pass
    family, grew = {pid}, True
    while grew:
        more = {child for child, parent in parents.items() if parent in family} - family
        family |= more
        grew = bool(more)
    return sum(seconds.get(member, 0.0) for member in family)


def memory_mib(pid, line="VmRSS"):
    """Resident memory of a process: now (VmRSS), or the most that it ever had (VmHWM)."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for text in file:
            if text.startswith(line + ":"):
                return int(text.split()[1]) / 1024
    raise Failed(f"process {pid} has no {line}")


def measured(command, watched, cwd=None):
    """Runs a command to its end. Gives its output, how long it took, and the CPU seconds of it (`client`) and of the
    watched processes, by name."""
    before = {name: cpu_seconds(pid) for name, pid in watched.items()}
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])} failed:\n{done.stdout}{done.stderr}")
    time.sleep(0.5)  # Postgres's sessions end after their client, and count once they have been waited for.
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in watched.items()}
    cpu["client"] = now.ru_utime + now.ru_stime - children.ru_utime - children.ru_stime
    return done.stdout, seconds, cpu


def last_json(text):
    """The last line of an output, which is JSON."""
    return json.loads(text.strip().splitlines()[-1])


class Server:
    """A program that answers over HTTP. Its log goes to /dev/null: what a line costs is measured, and not the disk."""

    def __init__(self, command, address, environment=None, health="/healthz", cwd=None, authority=None):
        """`authority`: where the server answers by TLS, the file into which it writes whose certificate it shows."""
        self.command, self.address, self.cwd, self.authority = command, address, cwd, authority
        # Settings of whoever calls the benchmark are not what is measured.
        own = {name: value for name, value in os.environ.items() if not name.startswith(("IGT_", "DATABASE_URL"))}
        self.environment = {**own, **(environment or {})}
        self.url = f"{'https' if authority else 'http'}://{address}"
        self.process = self._start(subprocess.DEVNULL)
        try:
            self._wait_for(health)
        except BaseException:
            self.kill()
            raise

    def _start(self, stderr):
        return subprocess.Popen(self.command, env=self.environment, cwd=self.cwd, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=stderr)

    def _wait_for(self, health):
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            if self.process.poll() is not None:
                raise Failed(f"{self.command[0]} ended at its start:\n{self._last_words()}")
            try:
                context = ssl.create_default_context(cafile=self.authority) if self.authority else None
                with urllib.request.urlopen(self.url + health, timeout=2, context=context) as answer:
                    answer.read()
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    raise Failed(f"{self.command[0]} did not answer within {STARTS_WITHIN} s") from None
                time.sleep(0.05)

    def _last_words(self):
        """What it says when it is started once more, since its log was thrown away."""
        again = self._start(subprocess.PIPE)
        try:
            return again.communicate(timeout=5)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            again.kill()
            return again.communicate()[1].decode(errors="replace")

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        """Asks it to end, and makes it where it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """Ends it at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
