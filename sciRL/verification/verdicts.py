"""VerdictCache: what a judge said, kept in one SQLite file that several processes may share."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sciRL.errors import UserError
from sciRL.task import canonical_json

BUSY_S = 30.0
"""Seconds to wait for another process that writes."""


class VerdictCache:
    """Score and reason by (model, question); each entry is written in one transaction, and a first one stays.

    Raises:
        UserError: the file cannot be made, read or written, or is no such cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path.parent}: is no folder and cannot be made one: {error.strerror}") from error
        with self._open() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, score REAL, reason TEXT)")

    def get(self, model: str, question: str) -> tuple[float, str] | None:
        """Return the verdict on a question, or None."""
        with self._open() as connection:
            row = connection.execute("SELECT score, reason FROM verdicts WHERE key = ?", (_key(model, question),))
            found: tuple[float, str] | None = row.fetchone()
        return found

    def put(self, model: str, question: str, verdict: tuple[float, str]) -> None:
        """Keep a verdict."""
        with self._open() as connection:
            connection.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?)", (_key(model, question), *verdict))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise UserError(f"{self.path}: cannot be used as a cache of verdicts: {error}") from error


def _key(model: str, question: str) -> str:
    return hashlib.sha256(canonical_json([model, question]).encode()).hexdigest()
