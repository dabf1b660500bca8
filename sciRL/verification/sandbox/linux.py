"""Thin calls into the C library and the kernel, by ctypes; each raises OSError when it fails."""

from __future__ import annotations

import ctypes
import functools
import os

from sciRL.verification.sandbox import syscalls

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38

_MADV_COLLAPSE = 25


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def load() -> None:
    """Look up the C library before the locks close; later calls in forked processes find it loaded."""
    _libc()


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make one of `syscalls.USED` with integer or buffer arguments.

    Raises:
        OSError: the kernel refused, or the architecture has no such call.
    """
    architecture = syscalls.machine()
    number = syscalls.number(syscalls.USED[name], architecture) if architecture else None
    if number is None:
        raise OSError(f"{name}: no such system call on this machine")
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_libc().syscall(ctypes.c_long(number), *converted), name)


def prctl(option: int, value: int = 0) -> None:
    """Set an attribute of this process."""
    unsigned = [ctypes.c_ulong(part) for part in (value, 0, 0, 0)]
    _checked(_libc().prctl(ctypes.c_int(option), *unsigned), f"prctl {option}")


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _checked(_libc().unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount a file system, or change a mount."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc().mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _checked(result, f"mount {target}")


def collapse(address: int, size: int) -> None:
    """Put a range of memory into huge pages."""
    _checked(_libc().madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), _MADV_COLLAPSE), "madvise")


def unmount(target: str, flags: int) -> None:
    """Detach a mount."""
    _checked(_libc().umount2(os.fsencode(target), ctypes.c_int(flags)), f"umount {target}")
