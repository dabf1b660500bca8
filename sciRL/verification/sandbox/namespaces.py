"""Namespaces: a zygote and all its children see no network, no other process and no System V object of the machine.

They are made once a zygote, not once a script: making a network namespace costs milliseconds, and scripts cannot use
what they share. The zygote is process 1 of its process namespace, so that everything inside dies with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

from sciRL.verification.sandbox import linux, own_root

_NEW_USER = 0x10000000
# Mounts, System V objects, network, process ids, host name, control groups.
_NEW_REST = 0x00020000 | 0x08000000 | 0x40000000 | 0x20000000 | 0x04000000 | 0x02000000


# More than a zygote ever opens; `zygote.main` makes it the limit.
OPEN_FILES = 256


def available(readable: tuple[str, ...], hidden: tuple[str, ...]) -> tuple[bool, bool]:
    """Try in two forked processes whether namespaces, and a root of one's own inside them, can be had."""
    return _succeeds(_enter), _succeeds(_enter_with_root, readable, hidden)


def become_first_process() -> None:
    """Enter new namespaces and return in a child that is process 1 there; the caller waits for it and ends with it.

    Raises:
        OSError: the kernel refused.
    """
    _enter()
    first = os.fork()
    if first:
        _end_with(first)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


def _enter() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        linux.unshare(_NEW_REST)
        return
    linux.unshare(_NEW_USER | _NEW_REST)
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def _enter_with_root(readable: tuple[str, ...], hidden: tuple[str, ...]) -> None:
    become_first_process()
    own_root.enter(readable, hidden)


def _succeeds(action: Any, *arguments: Any) -> bool:
    child = os.fork()
    if child == 0:
        try:
            action(*arguments)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _end_with(child: int) -> None:
    """Hold nothing but the wait for a child, and end when it ends."""
    os.closerange(0, OPEN_FILES)
    with contextlib.suppress(ChildProcessError):
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(code if code >= 0 else 1)
    os._exit(1)
