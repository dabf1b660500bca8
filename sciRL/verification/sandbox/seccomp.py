"""The system-call filter: a classic BPF program that lets a calculation run and nothing else happen.

Denied calls fail with EPERM inside the script, which can then say so; a foreign instruction set is killed. Some calls
are allowed by their arguments only: a new thread but no new process, a signal to oneself but to nobody else, opening a
file for reading only. Calls that are newer than the table do not exist (ENOSYS), so that the C library uses older ones.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import struct
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from sciRL.verification.sandbox import linux
from sciRL.verification.sandbox.syscalls import DENIED, NEWEST, USED, number

Instruction: TypeAlias = tuple[int, int, int, int]

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_SET_MODE_FILTER = 1

_CLONE_THREAD = 0x10000
# New mounts, control groups, host name, System V objects, user, process ids, network: a thread can ask for them too.
_CLONE_NEW = 0x20000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# Write-only, read-write, create, truncate, and the bit of O_TMPFILE: the same on both architectures.
_OPEN_FOR_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000
_PRCTL_ALLOWED = (15, 16)  # PR_SET_NAME and PR_GET_NAME, which thread libraries use.
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX and FIOCLEX: what `isatty` and file objects use.
_IOCTL_ALLOWED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ: signals to others, and shared kernel memory.
_FCNTL_DENIED = (8, 10, 15, 1024, 1026, 1031)


def lock(architecture: str, pid: int) -> None:
    """Install the filter on this process and its later threads; `no_new_privs` must be set.

    Args:
        architecture: "x86_64" or "aarch64".
        pid: the process's own id, the only one that it may signal.
    """
    code = program(architecture, pid)
    # struct sock_fprog: the number of 8-byte instructions, padding, and their address.
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(instructions))
    linux.syscall("seccomp", _SET_MODE_FILTER, 0, header)


def program(architecture: str, pid: int) -> bytes:
    """Return the filter as the kernel wants it: 8 bytes an instruction."""
    return _packed([*_first(architecture), *_calls(_on_oneself(pid), architecture)]) + same_for_all(architecture)


@functools.cache
def same_for_all(architecture: str) -> bytes:
    """Return the long part of the filter, which does not depend on the process: made once, before the forks."""
    return _packed(_rest(architecture))


def _packed(listing: Iterable[Instruction]) -> bytes:
    return b"".join(struct.pack("HBBI", *instruction) for instruction in listing)


def _first(architecture: str) -> list[Instruction]:
    return [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCHITECTURE[architecture]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        # Also the x32 calls of x86-64, whose numbers start at 2**30.
        (_GREATER, 0, 1, NEWEST),
        _fail(errno.ENOSYS),
    ]


def _calls(bodies: Mapping[str, list[Instruction]], architecture: str) -> list[Instruction]:
    """Return, for each call, the jump past its body, and its body, which ends the program."""
    listing: list[Instruction] = []
    for name, body in bodies.items():
        call = number(USED[name], architecture)
        if call is not None:
            listing += [(_EQUAL, 0, len(body), call), *body]
    return listing


def _rest(architecture: str) -> list[Instruction]:
    listing = _calls(_by_argument(), architecture)
    for first, last in denied_ranges(architecture):
        listing += [(_AT_LEAST, 0, 2, first), (_GREATER, 1, 0, last), _fail(errno.EPERM)]
    return [*listing, (_RETURN, 0, 0, _ALLOW)]


def denied_ranges(architecture: str) -> list[tuple[int, int]]:
    """Return the denied call numbers as sorted closed ranges.

    Example: 41-55 of x86-64 are the calls on sockets.
    """
    ranges: list[tuple[int, int]] = []
    calls = {number(numbers, architecture) for numbers in DENIED.values()} - {None}
    for call in sorted(call for call in calls if call is not None):
        if ranges and call == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], call)
        else:
            ranges.append((call, call))
    return ranges


def _by_argument() -> dict[str, list[Instruction]]:
    """Return what decides on the calls that are allowed in part."""
    return {
        "clone": [
            _argument(0),
            (_ANY_BIT, 2, 0, _CLONE_NEW),
            (_ANY_BIT, 0, 1, _CLONE_THREAD),
            _ok(),
            _fail(errno.EPERM),
        ],
        # Its arguments are in memory, where a filter cannot look; the C library falls back to `clone`.
        "clone3": [_fail(errno.ENOSYS)],
        "openat2": [_fail(errno.ENOSYS)],
        "open": _read_only(1),
        "openat": _read_only(2),
        "prctl": _only(0, _PRCTL_ALLOWED),
        "ioctl": _only(1, _IOCTL_ALLOWED, errno.ENOTTY),
        "fcntl": _none_of(1, _FCNTL_DENIED),
        # Reading one's own limits (process id 0), but setting none: the pointer to new ones must be null.
        "prlimit64": [
            _argument(2),
            (_EQUAL, 0, 4, 0),
            _argument(2, high=True),
            (_EQUAL, 0, 2, 0),
            _argument(0),
            (_EQUAL, 1, 0, 0),
            _fail(errno.EPERM),
            _ok(),
        ],
    }


def _on_oneself(pid: int) -> dict[str, list[Instruction]]:
    """Return what decides on signals: to the process itself, as `abort` sends one, but to no other."""
    return {"kill": _only(0, (pid,)), "tgkill": _only(0, (pid,))}


def _only(argument: int, values: Iterable[int], code: int = errno.EPERM) -> list[Instruction]:
    body = [_argument(argument)]
    for value in values:
        body += [(_EQUAL, 0, 1, value), _ok()]
    return [*body, _fail(code)]


def _none_of(argument: int, values: Iterable[int]) -> list[Instruction]:
    body = [_argument(argument)]
    for value in values:
        body += [(_EQUAL, 0, 1, value), _fail(errno.EPERM)]
    return [*body, _ok()]


def _read_only(flags_argument: int) -> list[Instruction]:
    return [_argument(flags_argument), (_ANY_BIT, 0, 1, _OPEN_FOR_WRITING), _fail(errno.EPERM), _ok()]


def _argument(index: int, high: bool = False) -> Instruction:
    """Load one half of a 64-bit argument (little-endian); the kernel itself takes an int from the low half."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * index + (4 if high else 0))


def _ok() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _fail(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)
