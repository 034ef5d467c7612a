"""Load by wrk and pgbench, a part at a time, and what each part came to."""

import os
import re
import statistics
from dataclasses import dataclass, field

from .process import Failed, last_json, measured

BASE = "/codvid-ai/ig-tracking"


@dataclass
class Part:
    """One side in one round."""

    rate: float
    p50_ms: float = None
    p99_ms: float = None
    cpu: dict = field(default_factory=dict)
    seconds: float = 0.0
    requests: int = 0

    def each(self):
        """What one request (or event, or run) cost each process, in microseconds of CPU."""
        count = self.requests or self.rate * self.seconds
        return {name: seconds / count * 1e6 for name, seconds in self.cpu.items()}

    def cores(self):
        """How many cores all processes together kept busy."""
        return sum(self.cpu.values()) / self.seconds


def wrk(script, server, connections, seconds, arguments=(), postgres=None):
    """Asks a server over so many connections. An answer that is no 2xx fails the part: a rate of errors is no rate."""
    command = ["wrk", "--threads", str(min(2, connections)), "--connections", str(connections), "--duration",
               f"{seconds}s", "--latency", "--timeout", "10s", "--script", f"bench/{script}.lua", server.url + BASE]
    command += ["--", *map(str, arguments)] if arguments else []
    watched = {"service": server.pid, **({"postgres": postgres.pid} if postgres else {})}
    output, took, cpu = measured(command, watched)
    said = last_json(output)
    if said["errors"] or not said["requests"]:
        raise Failed(f"{said['errors']} of {said['requests']} requests of bench/{script}.lua failed at {server.url}")
    if said["ran_out"]:
        raise Failed(f"bench/{script}.lua ran out of tasks before the time was over: lower SECONDS_EACH or raise EVENTS "
                     "(for force_scrape: STARTS_A_SECOND in bench/suite/requests.py)")
    return Part(said["requests"] / said["seconds"], said["p50_ms"], said["p99_ms"], cpu, took, said["requests"])


class Pgbench:
    """pgbench with one of the plain statements, prepared."""

    CLIENTS = 16

    def __init__(self, program, postgres, folder):
        self.program, self.postgres, self.folder = program, postgres, folder

    def script(self, name, task, before=""):
        """The statement of bench/<name>.sql with an expression for its task."""
        with open(f"bench/{name}.sql", encoding="utf-8") as file:
            text = file.read().replace("task_id = $1", f"task_id = {task}")
        path = os.path.join(self.folder, f"{name}.pgbench")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{before}\n{text}")
        return path

    def run(self, script, database, seconds, clients=CLIENTS):
        command = [self.program, "--no-vacuum", "--protocol", "prepared", "--client", str(clients), "--jobs",
                   str(min(2, clients)), "--time", str(seconds), "--file", script, self.postgres.url(database)]
        output, took, cpu = measured(command, {"postgres": self.postgres.pid})
        rate = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
        mean = re.search(r"^latency average = ([\d.]+) ms", output, re.MULTILINE)
        failed = re.search(r"^number of failed transactions: (\d+)", output, re.MULTILINE)
        if not rate or (failed and int(failed[1])):
            raise Failed(f"pgbench has no clean rate:\n{output}")
        return Part(float(rate[1]), float(mean[1]) if mean else None, None, cpu, took)

    def status(self, database, tasks, seconds):
        script = self.script("status", "'status-' || :n", f"\\set n random(1, {tasks})")
        return self.run(script, database, seconds)

    def start(self, database, seconds):
        return self.run(self.script("start", "(select 'peer-' || nextval('peer'))"), database, seconds)


def alternate(rounds, say, **sides):
    """Runs the sides one after another, each round beginning with another; gives the parts of each."""
    parts = {name: [] for name in sides}
    order = list(sides)
    for number in range(1, rounds + 1):
        for name in order:
            part = sides[name]()
            parts[name].append(part)
            latency = f", p50 {part.p50_ms:.3f} ms" if part.p50_ms is not None else ""
            latency += f", p99 {part.p99_ms:.2f} ms" if part.p99_ms is not None else ""
            say(f"  round {number}: {name} {part.rate:,.0f}/s{latency}")
        order.append(order.pop(0))
    return parts


def ratio(ours, peer, what="rate"):
    """The median of the rounds' own ratios: what else the machine does in a minute meets both sides of a round."""
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in zip(ours, peer))


def middle(parts, what="rate"):
    return statistics.median(getattr(part, what) for part in parts)


def middle_cpu(parts):
    """CPU of one request by process, and the cores kept busy in all: the medians of the rounds."""
    each = [part.each() for part in parts]
    names = each[0]
    return {name: statistics.median(one[name] for one in each) for name in names}, statistics.median(
        part.cores() for part in parts)
