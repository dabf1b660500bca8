"""Identity: a script's process runs as nobody in particular, without any capability."""

from __future__ import annotations

import os
import signal
import struct
import sys

from sciRL.verification.sandbox import linux

USERS = 4096
# Above what accounts, containers and systemd hand out.
_PREFERRED = 0x6A000000
_CAPABILITY_VERSION = 0x20080522


def first_unused_user() -> int | None:
    """Return the first of `USERS` user ids that belong to nobody, None when this process cannot become another user."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return None
    with open("/proc/self/uid_map") as file:
        ranges = [tuple(map(int, line.split())) for line in file]
    for first, _, count in ranges:
        if first <= _PREFERRED and first + count >= _PREFERRED + USERS:
            return _PREFERRED
    # A container whose map is short: the top of the largest range, which images do not use for accounts.
    first, _, count = max(ranges, key=lambda entry: entry[2])
    return first + count - USERS - 2 if count > 2 * USERS else None


def lock(user: int | None) -> None:
    """Become `user` (None: stay) and give up every capability.

    Raises:
        OSError: the kernel refused.
    """
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    linux.syscall("capset", struct.pack("Ii", _CAPABILITY_VERSION, 0), struct.pack("6I", *[0] * 6))


def forbid_new_privileges(parent: int) -> None:
    """Close the ways back: set-user-id programs, being traced, and outliving the parent (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def forget_bounding_set() -> None:
    """Make sure that no later process can gain a capability by running a program; done once for all children."""
    for capability in range(64):
        try:
            linux.prctl(linux.PR_CAPBSET_DROP, capability)
        except OSError:
            return  # EINVAL after the last one; EPERM without the right, and then there is nothing to lose.
