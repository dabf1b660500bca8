"""Lock: closes all layers around the calling process, in the order in which they do not disable each other."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from sciRL.verification.sandbox import landlock, linux, seccomp, syscalls, user
from sciRL.verification.sandbox.layers import LANDLOCK, RLIMITS, SECCOMP, USER
from sciRL.verification.sandbox.rlimits import ResourceLimits

# No layer of its own: Landlock and the filter ask for it.
_ALWAYS = "no new privileges"


@dataclass(frozen=True)
class Lock:
    """What a child of a zygote needs to lock itself in.

    Args:
        layers: the layers that must close; a child that cannot close one of them runs nothing.
        limits: resource limits of its role.
        rules: file descriptor of the Landlock rules, -1 without that layer.
        parent: process id of the zygote.
    """

    layers: frozenset[str]
    limits: ResourceLimits
    rules: int
    parent: int

    def close(self, new_user: int | None) -> None:
        """Close every layer of `layers` around this process, which becomes `new_user` when that is not None.

        Raises:
            OSError: a layer did not close.
        """
        for name, step in self._steps(new_user):
            if name in self.layers or name == _ALWAYS:
                step()

    def close_what_closes(self, new_user: int | None) -> set[str]:
        """Close as many layers as the kernel allows; return their names after trying to break each."""
        closed = set()
        for name, step in self._steps(new_user):
            if (name in self.layers or name == _ALWAYS) and _works(step):
                closed.add(name)
        return {name for name in closed - {_ALWAYS} if not _BREAKS.get(name, _cannot)()}

    def _steps(self, new_user: int | None) -> list[tuple[str, Callable[[], object]]]:
        return [
            (RLIMITS, self.limits.lock),
            (USER, lambda: user.lock(new_user)),
            (_ALWAYS, lambda: user.forbid_new_privileges(self.parent)),
            (LANDLOCK, lambda: landlock.lock(self.rules)),
            (SECCOMP, lambda: seccomp.lock(syscalls.machine() or "", os.getpid())),
        ]


def closable_layers(without: frozenset[str]) -> frozenset[str]:
    """Return the layers of a single process that are worth trying on this machine."""
    linux.load()
    layers = {RLIMITS}
    if sys.platform.startswith("linux"):
        layers.add(USER)
    if landlock.version() > 0:
        layers.add(LANDLOCK)
    architecture = syscalls.machine()
    if architecture is not None:
        seccomp.same_for_all(architecture)
        layers.add(SECCOMP)
    return frozenset(layers - without)


def _works(step: Callable[[], object]) -> bool:
    try:
        step()
    except (OSError, ValueError, KeyError):
        return False
    return True


def _lists_root() -> bool:
    return _works(lambda: os.listdir("/"))


def _opens_socket() -> bool:
    return _works(lambda: socket.socket().close())


def _cannot() -> bool:
    return False


# What must not work behind a layer; the kernel may accept a lock (as emulations of Linux do) and not keep it.
_BREAKS: dict[str, Callable[[], bool]] = {LANDLOCK: _lists_root, SECCOMP: _opens_socket}
