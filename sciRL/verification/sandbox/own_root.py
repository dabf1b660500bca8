"""A root folder of one's own: a small read-only tree that holds the readable folders at their places, nothing else.

A path that is not in it does not exist inside, and a home folder that is closed to others can still be passed through
by the unused user id that a script gets.
"""

from __future__ import annotations

import os
import struct

from sciRL.verification.sandbox import linux

_NO_SETUID, _NO_DEVICES, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 4096, 16384, 1 << 18
_ATTRIBUTE_READ_ONLY = 1
_HERE, _ALL_BELOW = -100, 0x8000
_DETACH = 2

# The tree grows on top of a folder that always exists and holds nothing that is readable inside.
_SITE = "/proc"


def enter(readable: tuple[str, ...], hidden: tuple[str, ...]) -> None:
    """Make the tree and move the calling process into it; it must be alone in its mount namespace.

    Args:
        readable: absolute paths of files and folders to keep.
        hidden: folders inside them to cover by an empty one.

    Raises:
        OSError: the kernel refused.
    """
    linux.mount(None, "/", None, _RECURSIVE | _PRIVATE)
    linux.mount("none", _SITE, "tmpfs", _NO_SETUID | _NO_DEVICES, "mode=755,size=1m")
    for path in readable:
        _place(path)
    for path in hidden:
        inside = _SITE + os.path.realpath(path)
        if os.path.isdir(inside):
            linux.mount("none", inside, "tmpfs", _NO_SETUID | _NO_DEVICES, "mode=755,size=4k")
    attributes = struct.pack("QQQQ", _ATTRIBUTE_READ_ONLY | _NO_SETUID | _NO_DEVICES, 0, 0, 0)
    linux.syscall("mount_setattr", _HERE, os.fsencode(_SITE), _ALL_BELOW, attributes, len(attributes))
    os.chdir(_SITE)
    linux.syscall("pivot_root", b".", b".")
    linux.unmount(".", _DETACH)
    os.chdir("/")


def _place(path: str) -> None:
    """Bind a path into the tree; links on the way are repeated, so that every spelling of the path works."""
    target = _repeat_links(path)
    inside = _SITE + target
    if os.path.isdir(target):
        os.makedirs(inside, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        os.close(os.open(inside, os.O_CREAT | os.O_WRONLY, 0o444))
    linux.mount(target, inside, None, _BIND | _RECURSIVE)


def _repeat_links(path: str) -> str:
    """Make the links that lead to a path inside the tree; return the path without links.

    Example: `/lib/x` with `/lib -> usr/lib` makes the link `/lib` inside and returns `/usr/lib/x`.
    """
    done = "/"
    for part in path.strip("/").split("/"):
        step = os.path.join(done, part)
        if os.path.islink(step):
            inside = _SITE + step
            if not os.path.lexists(inside):
                os.makedirs(os.path.dirname(inside), exist_ok=True)
                os.symlink(os.readlink(step), inside)
            done = _repeat_links(os.path.normpath(os.path.join(done, os.readlink(step))))
        else:
            done = step
    return done
