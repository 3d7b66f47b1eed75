"""The cost of a process and its children: CPU seconds and memory, read from /proc (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds so far."""

    cpu_seconds: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu_seconds - other.cpu_seconds)


def cost_of(pid: int, *, with_children: bool = False) -> Cost:
    """CPU of a process; `with_children` adds its children, living and waited for (PostgreSQL's backends)."""
    user, system, dead_user, dead_system = _times(pid)
    total = user + system
    if with_children:
        total += dead_user + dead_system
        for child in _children(pid):
            try:
                own = _times(child)
            except OSError:
                continue
            total += own[0] + own[1]
    return Cost(total / _TICKS)


def parent_of(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def descendants(pid: int) -> list[int]:
    """The processes that this one started, and those that they started."""
    found = _children(pid)
    for child in tuple(found):
        found += descendants(child)
    return found


def peak_memory_mib(pid: int) -> float:
    """The most resident memory the process ever had."""
    return _status_kib(pid, "VmHWM") / 1024


def memory_mib(pid: int) -> float:
    """The process's resident memory now."""
    return _status_kib(pid, "VmRSS") / 1024


def _times(pid: int) -> tuple[int, int, int, int]:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]), int(fields[12]), int(fields[13]), int(fields[14])


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8")
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def _status_kib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return float(line.split()[1])
    return 0.0
