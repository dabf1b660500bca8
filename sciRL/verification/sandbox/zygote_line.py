"""ZygoteLine: the zygotes of one role, one after the other, so that there is always one to fork from."""

from __future__ import annotations

import selectors
import time
from typing import Any

from sciRL.errors import UserError
from sciRL.verification.sandbox.control import Settings
from sciRL.verification.sandbox.outcome import one_line
from sciRL.verification.sandbox.zygote_process import ZygoteProcess

START_LIMIT_S = 120.0
MAX_FAILED_STARTS = 3
CHILDREN_PER_ZYGOTE = 2000
# A zygote runs nothing and should not grow; half as much again and 64 MiB is more than noise.
GROWTH, GROWTH_BYTES = 1.5, 64 << 20


class ZygoteLine:
    """Keeps one zygote ready; its successor loads the libraries while it still serves.

    Args:
        settings: what every zygote of the line is told.
        selector: where their sockets are registered, with the zygote as data.
        profile_name: for messages.
    """

    def __init__(self, settings: Settings, selector: selectors.BaseSelector, profile_name: str) -> None:
        self._settings = settings
        self._selector = selector
        self._name = profile_name
        self._failed_starts = 0
        self.current: ZygoteProcess | None = None
        self.successor: ZygoteProcess | None = None
        self.retired: list[ZygoteProcess] = []

    @property
    def zygotes(self) -> list[ZygoteProcess]:
        """All zygotes that are alive."""
        return [zygote for zygote in (self.current, self.successor, *self.retired) if zygote is not None]

    def ready(self) -> ZygoteProcess | None:
        """Return the zygote to fork from, None while it starts."""
        if self.current is None:
            self.current = self._spawn()
        elif self.successor is None and _worn_out(self.current):
            self.successor = self._spawn()
        return self.current if self.current.ready else None

    def greet(self, zygote: ZygoteProcess, hello: dict[str, Any]) -> None:
        """Take a hello; a successor takes over, and its predecessor serves no more."""
        zygote.greet(hello)
        self._failed_starts = 0
        if zygote is self.successor and self.current is not None:
            self.retired.append(self.current)
            self.current, self.successor = zygote, None

    def refuse(self, zygote: ZygoteProcess, message: str) -> None:
        """Give up on a zygote that says why it cannot start.

        Raises:
            UserError: always.
        """
        self.lose(zygote)
        raise UserError(f"sandbox {self._name!r}: the {zygote.role} process cannot start: {one_line(message)}")

    def lose(self, zygote: ZygoteProcess, hangs: bool = False) -> None:
        """Forget a zygote that is gone, or kill one that hangs.

        Raises:
            UserError: it is the third in a row that did not get as far as its hello.
        """
        self._forget(zygote)
        last_words = zygote.last_words()
        if hangs:
            zygote.kill()
        else:
            zygote.end()
        if zygote.ready:
            return
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            self._failed_starts = 0
            raise UserError(f"sandbox {self._name!r}: the {zygote.role} process does not start: {one_line(last_words)}")

    def release(self, busy: set[ZygoteProcess]) -> None:
        """End the retired zygotes that have no child left, and lose those that take too long to start."""
        for zygote in [zygote for zygote in self.retired if zygote not in busy]:
            self._forget(zygote)
            zygote.end()
        for zygote in self.zygotes:
            if not zygote.ready and time.monotonic() > zygote.started + START_LIMIT_S:
                self.lose(zygote, hangs=True)

    def abandon(self) -> None:
        """Forget the zygotes without ending them: they belong to the process that this one was forked from."""
        for zygote in self.zygotes:
            zygote.close()
        self.current, self.successor, self.retired = None, None, []

    def close(self) -> None:
        """End all zygotes."""
        zygotes = self.zygotes
        for zygote in zygotes:
            self._forget(zygote)
            zygote.close()
        for zygote in zygotes:
            zygote.end()

    def _spawn(self) -> ZygoteProcess:
        zygote = ZygoteProcess(self._settings)
        self._selector.register(zygote.connection, selectors.EVENT_READ, zygote)
        return zygote

    def _forget(self, zygote: ZygoteProcess) -> None:
        self._selector.unregister(zygote.connection)
        if zygote is self.current:
            self.current, self.successor = self.successor, None
        elif zygote is self.successor:
            self.successor = None
        else:
            self.retired.remove(zygote)


def _worn_out(zygote: ZygoteProcess) -> bool:
    grown = zygote.resident > GROWTH * zygote.first_resident + GROWTH_BYTES
    return zygote.ready and (grown or zygote.served >= CHILDREN_PER_ZYGOTE)
