"""Figures beside their targets: as a table for a person, as JSON for whoever reads on."""

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, field


@dataclass
class Figure:
    """One figure: what was reached, and what is to be reached where that is said."""

    section: str
    what: str
    value: float
    unit: str
    ours: str
    peer: str = ""
    at_least: float = None
    at_most: float = None

    @property
    def met(self):
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    def shown(self, number):
        if self.unit == "x":
            return f"{number:.2f} x"
        return f"{number:,.0f} {self.unit}" if abs(number) >= 100 else f"{number:.2f} {self.unit}"

    def row(self):
        bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        target = "" if bound[1] is None else f"{bound[0]} {bound[1]:,g} {self.unit}"
        met = {True: "yes", False: "**no**", None: ""}[self.met]
        return f"| {self.what} | {self.ours} | {self.peer} | {self.shown(self.value)} | {target} | {met} |"


@dataclass
class Report:
    """Everything that a run of the suite has found out."""

    machine: dict
    figures: list = field(default_factory=list)
    cpu: list = field(default_factory=list)
    parts: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    plot: list = field(default_factory=list)
    reference: dict = field(default_factory=dict)

    def add(self, *arguments, **named):
        self.figures.append(Figure(*arguments, **named))

    def note(self, text):
        self.notes.append(text)

    def spent(self, what, each, cores):
        """Notes what one request of a part cost each process, and how many cores were busy with it in all."""
        self.cpu.append((what, each, cores))

    def keep(self, name, parts):
        """Keeps the single rounds."""
        self.parts[name] = {side: [asdict(part) for part in rounds] for side, rounds in parts.items()}

    def markdown(self):
        lines = ["| what | ours | peer | figure | target | met |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [figure.row() for figure in self.figures]
        if self.cpu:
            names = list(dict.fromkeys(name for _, each, _ in self.cpu for name in each))
            lines += ["", "CPU of one request, event or run in µs, by process, and the cores kept busy in all:", "",
                      f"| part | {' | '.join(names)} | cores |", "| --- |" + " --- |" * len(names) + " --- |"]
            lines += [self.cpu_row(names, *part) for part in self.cpu]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"

    @staticmethod
    def cpu_row(names, what, each, cores):
        shown = (f"{each[name]:,.1f}" if name in each else "" for name in names)
        return f"| {what} | {' | '.join(shown)} | {cores:.2f} |"

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "table.md"), "w", encoding="utf-8") as file:
            file.write(self.markdown())
        everything = {
            "machine": self.machine,
            "figures": [{**asdict(figure), "met": figure.met} for figure in self.figures],
            "cpu_us_each": [{"part": what, **each, "cores": cores} for what, each, cores in self.cpu],
            "rounds": self.parts, "notes": self.notes, "plot": self.plot, "reference": self.reference,
        }
        with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)


def machine(postgres_version, seconds, rounds):
    """What the figures were measured on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) / 1024 / 1024
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "cores": os.cpu_count(), "cpu": models[0] if models else platform.machine(), "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.release()}", "postgres": postgres_version,
        "commit": commit.stdout.strip(), "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
        "load_before": os.getloadavg()[0], "seconds_each": seconds, "rounds": rounds,
    }
