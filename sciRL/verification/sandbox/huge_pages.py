"""Huge pages: forking a process costs time by the number of its pages, so the loaded libraries are put into few.

A zygote with CadQuery (500 MB) has 130 of its 200 MB of private memory gathered this way; a fork and the end of the
fork then take 20 ms of CPU instead of 35.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from sciRL.verification.sandbox import linux

HUGE_PAGE = 2 << 20


def gather() -> None:
    """Put the private memory of this process into huge pages where the kernel can (Linux 6.1); else do nothing."""
    with contextlib.suppress(OSError), open("/proc/self/maps") as maps:
        for start, end in huge_ranges(maps.readlines()):
            with contextlib.suppress(OSError):
                linux.collapse(start, end - start)


def huge_ranges(maps: Iterable[str]) -> list[tuple[int, int]]:
    """Return the whole huge pages inside the writable memory that belongs to no file: the heap and what lies around.

    Example: a heap from 0x1ff000 to 0x801000 holds the three pages (0x200000, 0x800000).
    """
    ranges = []
    for line in maps:
        addresses, access, _, _, _, *name = line.split()
        if access != "rw-p" or name not in ([], ["[heap]"]):
            continue
        first, last = (int(address, 16) for address in addresses.split("-"))
        start, end = -(-first // HUGE_PAGE) * HUGE_PAGE, last // HUGE_PAGE * HUGE_PAGE
        if start < end:
            ranges.append((start, end))
    return ranges
