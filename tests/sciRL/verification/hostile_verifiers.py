"""Verifiers that do what a buggy or hostile science library does; a worker imports them by this module's name."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import Item, PerItemVerifier

LEAKED: list[bytes] = []


def misbehave(answer: str) -> Any:
    """Do what the answer's first word says; anything else is an ordinary answer."""
    match answer.split():
        case ["loop", *_]:
            while True:
                pass
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["segfault"]:
            ctypes.string_at(0)
        case ["exit"]:
            os._exit(3)
        case ["sys-exit"]:
            sys.exit(3)
        case ["raise"]:
            raise RuntimeError("cannot judge this")
        case ["memory"]:
            return len(bytearray(8 << 30))
        case ["leak", mib]:
            LEAKED.append(bytes(int(mib) << 20))
        case ["print"]:
            for _ in range(300):
                sys.stdout.write("x" * (1 << 20))
                os.write(2, b"x" * (1 << 20))
        case ["huge"]:
            return "x" * (4 << 20)
        case ["unpicklable"]:
            return lambda: None
        case ["once", path]:
            # The first process to come here is killed from outside, the next one finds the mark.
            mark = Path(path)
            if not mark.exists():
                mark.write_text(str(os.getpid()))
                time.sleep(60)
    return None


class Hostile(PerItemVerifier):
    """Scores 1 for "good" and 0 for other text, and misbehaves on request."""

    name = "hostile"
    cost = "pool"

    def verify_one(self, task: Task, answer: str) -> Score:
        result = misbehave(answer)
        return Score.ok(float(answer == "good"), pid=os.getpid(), result=result)


class NoScore(PerItemVerifier):
    """Forgets to return a score."""

    name = "no-score"

    def verify_one(self, task: Task, answer: str) -> Score:
        return 0.5  # type: ignore[return-value]


class Counting(PerItemVerifier):
    """Writes a line for every answer that it sees, so that a test can count the calls of all processes."""

    cost = "pool"

    def __init__(self, name: str, log: Path, good: str) -> None:
        self.name = name  # type: ignore[misc]
        self.log = log
        self.good = good

    def verify_one(self, task: Task, answer: str) -> Score:
        with self.log.open("a") as log:
            log.write(f"{answer}\n")
        if answer == "unreadable":
            return Score.malformed("no structure")
        misbehave(answer)
        return Score.ok(float(self.good in answer), reason="" if self.good in answer else f"no {self.good}")


class Unique:
    """A batch verifier: the first of equal answers passes."""

    name = "unique"
    cost = "inline"

    def verify(self, items: list[Item]) -> list[Score]:
        seen: set[str] = set()
        scores = []
        for _, answer in items:
            scores.append(Score.ok(float(answer not in seen)))
            seen.add(answer)
        return scores


class Loads(PerItemVerifier):
    """Counts in a file how often it is unpickled and fails to load on request."""

    name = "loads"

    def __init__(self, log: Path, failure: str = "") -> None:
        self.log = log
        self.failure = failure

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.failure == "raise":
            raise ImportError("no module named 'science'")
        if self.failure == "exit":
            os._exit(7)
        with self.log.open("a") as log:
            log.write("loaded\n")

    def verify_one(self, task: Task, answer: str) -> Score:
        return Score.ok(1.0, pid=os.getpid(), threads=os.environ.get("OMP_NUM_THREADS"))
