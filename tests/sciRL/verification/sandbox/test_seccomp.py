"""The system-call filter, run by a small BPF machine: what it decides, on both architectures."""

from __future__ import annotations

import errno
import struct

import pytest

from sciRL.verification.sandbox.seccomp import denied_ranges, program
from sciRL.verification.sandbox.syscalls import DENIED, NEWEST, USED, number

PID = 4711
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def decide(architecture: str, call: int, *arguments: int, audit: int | None = None) -> int | str:
    """Return what the filter says of a call: "allow", "kill" or an error number."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", call, audit or ARCHITECTURES[architecture], 0, *(value % 2**64 for value in padded))
    listing = list(struct.iter_unpack("HBBI", program(architecture, PID)))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = listing[at]
        if code == 0x20:
            [accumulator] = struct.unpack_from("<I", data, value)
            at += 1
            continue
        if code == 0x06:
            return "allow" if value == ALLOW else "kill" if value == KILL else value & 0xFFFF
        taken = {
            0x15: accumulator == value,
            0x25: accumulator > value,
            0x35: accumulator >= value,
            0x45: bool(accumulator & value),
        }[code]
        at += 1 + (if_true if taken else if_false)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_denied_call_fails_with_eperm_and_its_neighbours_do_not(architecture: str) -> None:
    denied = {number(numbers, architecture) for numbers in DENIED.values()} - {None}
    partly = {number(numbers, architecture) for numbers in USED.values()}
    for call in range(NEWEST + 1):
        if call in denied:
            assert decide(architecture, call) == errno.EPERM, call
        elif call not in partly:
            assert decide(architecture, call) == "allow", call
    assert denied == {call for first, last in denied_ranges(architecture) for call in range(first, last + 1)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "arguments", "verdict"),
    [
        ("kill", (PID, 6), "allow"),
        ("kill", (1, 9), errno.EPERM),
        ("kill", (-1, 9), errno.EPERM),
        ("kill", (0, 9), errno.EPERM),
        ("tgkill", (PID, PID + 1, 6), "allow"),
        ("tgkill", (1, 1, 9), errno.EPERM),
        ("clone", (0x3D0F00,), "allow"),  # the flags of a new thread
        ("clone", (0x1200011,), errno.EPERM),  # the flags of fork
        ("clone", (0x3D0F00 | 0x20000,), errno.EPERM),  # a thread with mounts of its own
        ("clone", (0x3D0F00 | 0x40000000,), errno.EPERM),  # with a network of its own
        ("clone3", (1, 88), errno.ENOSYS),
        ("openat", (-100, 1, 0o2000000), "allow"),  # O_CLOEXEC, to read
        ("openat", (-100, 1, 0o1), errno.EPERM),
        ("openat", (-100, 1, 0o2), errno.EPERM),
        ("openat", (-100, 1, 0o100), errno.EPERM),
        ("openat", (-100, 1, 0o1000), errno.EPERM),
        ("openat", (-100, 1, 0o20200000), errno.EPERM),
        ("openat2", (-100, 1, 1, 24), errno.ENOSYS),
        ("prctl", (15, 1), "allow"),
        ("prctl", (1, 0), errno.EPERM),
        ("ioctl", (0, 0x5401), "allow"),
        ("ioctl", (0, 0x5412), errno.ENOTTY),
        ("fcntl", (0, 3), "allow"),
        ("fcntl", (0, 8, 1), errno.EPERM),
        ("prlimit64", (0, 7, 0, 1), "allow"),
        ("prlimit64", (0, 7, 1, 0), errno.EPERM),
        ("prlimit64", (0, 7, 1 << 32, 0), errno.EPERM),
        ("prlimit64", (1, 7, 0, 1), errno.EPERM),
    ],
)
def test_calls_are_allowed_by_their_arguments(
    architecture: str, name: str, arguments: tuple[int, ...], verdict: int | str
) -> None:
    call = number(USED[name], architecture)
    assert call is not None
    assert decide(architecture, call, *arguments) == verdict


def test_an_old_open_cannot_write() -> None:
    assert decide("x86_64", 2, 1, 0) == "allow"
    assert decide("x86_64", 2, 1, 0o101) == errno.EPERM


@pytest.mark.parametrize(("architecture", "calls"), [("x86_64", (303, 304)), ("aarch64", (264, 265))])
def test_files_cannot_be_opened_by_handle(architecture: str, calls: tuple[int, int]) -> None:
    assert [decide(architecture, call, -100, 1) for call in calls] == [errno.EPERM] * 2


def test_foreign_and_unknown_calls() -> None:
    i386 = 0x40000003
    assert decide("x86_64", 20, audit=i386) == "kill"
    assert decide("aarch64", 0, audit=ARCHITECTURES["x86_64"]) == "kill"
    assert decide("x86_64", NEWEST + 1) == errno.ENOSYS
    assert decide("x86_64", 0x40000000 | 57) == errno.ENOSYS
    assert decide("x86_64", 2**32 - 1) == errno.ENOSYS


def test_the_program_is_within_the_kernels_limits() -> None:
    for architecture in ARCHITECTURES:
        assert len(program(architecture, PID)) // 8 < 4096
