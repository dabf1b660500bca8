"""Resource limits of one process, and the counts of the machine that they start from."""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import dataclass

OPEN_FILES = 64


@dataclass(frozen=True)
class ResourceLimits:
    """The numbers of one role.

    Args:
        cpu_s: whole CPU seconds; the kernel then kills the process, whatever it has made of its signals.
        address_space: bytes of virtual memory in total; None sets no limit.
        processes: processes and threads of the same user, in total; None sets no limit.
    """

    cpu_s: int
    address_space: int | None
    processes: int | None

    def lock(self) -> None:
        """Set the limits for good: soft and hard are equal."""
        limits = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_MEMLOCK: 0,
            resource.RLIMIT_NOFILE: OPEN_FILES,
            resource.RLIMIT_CPU: self.cpu_s,
            resource.RLIMIT_AS: self.address_space,
            resource.RLIMIT_NPROC: self.processes,
        }
        if hasattr(resource, "RLIMIT_MSGQUEUE"):
            limits[resource.RLIMIT_MSGQUEUE] = 0
        for kind, value in limits.items():
            if value is not None:
                _lower(kind, value)


def threads_of_user() -> int:
    """Return how many threads this user runs on the machine; 0 where /proc is missing."""
    user, count = os.geteuid(), 0
    with contextlib.suppress(OSError):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    count += len(os.listdir(f"/proc/{entry.name}/task")) if entry.stat().st_uid == user else 0
    return count


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))
