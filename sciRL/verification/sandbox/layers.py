"""Layers: the kernel's locks around a process, their names, and which of them together are enough.

=============  =====================================================================================================
layer          what it stops
=============  =====================================================================================================
rlimits        using up memory, CPU, file descriptors and threads
namespaces     seeing other processes, networks and System V objects; everything inside dies with its zygote
own root       seeing any file but the interpreter's and the libraries' (read-only)
user           acting with the trainer's identity: an unused user id (when root), no capability
landlock       opening any file but the interpreter's and the libraries'; TCP; signals and sockets out of the process
seccomp        starting processes and programs, sockets, signals, shared memory, every change to a file, and whatever
               else a calculation does not need
=============  =====================================================================================================
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from sciRL.errors import UserError

RLIMITS, NAMESPACES, OWN_ROOT, USER, LANDLOCK, SECCOMP = (
    "rlimits",
    "namespaces",
    "own root",
    "user",
    "landlock",
    "seccomp",
)
LAYERS = (RLIMITS, NAMESPACES, OWN_ROOT, USER, LANDLOCK, SECCOMP)

STRONG = frozenset({RLIMITS, LANDLOCK, SECCOMP})
FILES_READABLE = frozenset({RLIMITS, NAMESPACES, SECCOMP})


def strength(layers: Iterable[str]) -> str:
    """Return what a set of layers amounts to: "strong", "files readable" (by scripts) or "unsafe".

    Example:
        >>> strength(("rlimits", "landlock", "seccomp"))
        'strong'
        >>> strength(("rlimits", "user"))
        'unsafe'
    """
    present = frozenset(layers)
    if present >= STRONG or present >= FILES_READABLE | {OWN_ROOT}:
        return "strong"
    return "files readable" if present >= FILES_READABLE else "unsafe"


def demand_enough(layers: Iterable[str], profile_name: str) -> None:
    """Refuse a set of layers that would let a script out.

    Raises:
        UserError: less than {rlimits, namespaces, seccomp} and less than {rlimits, landlock, seccomp}.
    """
    present = tuple(layers)
    if strength(present) == "unsafe":
        missing = [layer for layer in (LANDLOCK, SECCOMP, RLIMITS, NAMESPACES) if layer not in present]
        raise UserError(
            f"sandbox {profile_name!r}: this machine cannot lock untrusted code in; layers present: "
            f"{', '.join(present) or 'none'}; missing: {', '.join(missing)}. {ADVICE}"
        )


def demand_platform(profile_name: str, unsafe: bool) -> None:
    """Refuse a platform without the kernel's locks, and one without `fork` even when unsafe.

    Raises:
        UserError: not Linux and not `unsafe`, or Windows.
    """
    if sys.platform == "win32":
        raise UserError(f"sandbox {profile_name!r}: Windows cannot fork processes; run in a Linux container or WSL 2")
    if not sys.platform.startswith("linux") and not unsafe:
        raise UserError(f"sandbox {profile_name!r}: {sys.platform} has no locks for untrusted code. {ADVICE}")


ADVICE = (
    "Run on Linux 5.13 or later (a container will do), or pass unsafe=True if every script comes from someone you trust"
)
