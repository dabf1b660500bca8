"""What /proc says about processes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path


def parents() -> dict[int, int]:
    """Return the parent of every process on the machine; zombies count, as nobody has collected them."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                found[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    return found


def descendants(pid: int) -> set[int]:
    """Return all processes that come from one, however far down."""
    table = parents()
    found: set[int] = set()
    generation = {pid}
    while generation:
        generation = {child for child, parent in table.items() if parent in generation} - found
        found |= generation
    return found


def alive(pids: set[int]) -> set[int]:
    """Return those that still run; a dead orphan that the machine's first process has not collected does not."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def soon(condition: Callable[[], bool], limit_s: float = 5.0) -> bool:
    """Wait until a condition holds; False when it does not within the limit."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
