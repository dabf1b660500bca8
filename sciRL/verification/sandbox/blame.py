"""Blame: what ends a meter while it handles nothing but the payload is the doing of the payload, and so of its script.

A library can crash or loop on bytes that are made for it. Were that a fault of the sandbox, a script could have its own
sample left out of training. A meter therefore says when the payload alone is in its hands; a crash or the CPU limit is
then the script's failure, and at any other time, when the reference or both may be the reason, the sandbox's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sciRL.verification.sandbox import frames

_pipes: list[int] = []


def report_to(pipe: int) -> None:
    """Let this process write its marks to a result pipe; without one, `payload_alone` marks nothing."""
    _pipes[:] = [pipe]


@contextmanager
def payload_alone() -> Iterator[None]:
    """Mark the time in which a meter reads and measures the payload and touches nothing else.

    Example::

        with payload_alone():
            part = read(payload)
    """
    _mark(frames.ALONE)
    try:
        yield
    finally:
        _mark(frames.NOT_ALONE)


def _mark(mark: bytes) -> None:
    for pipe in _pipes:
        os.write(pipe, mark)
