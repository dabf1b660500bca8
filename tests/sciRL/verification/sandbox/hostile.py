"""Hostile scripts, by name: what each tries is its name and its text; `result` says "held" or what leaked.

A script may do what it likes to its own process. It must not read `SECRET_FILE`, change anything in `CANARY`, reach
`PORT` or the unix sockets, leave a process, or make the sandbox itself fail.
"""

from __future__ import annotations

import re
from pathlib import Path

from hostile_attempts import ATTEMPTS
from hostile_interpreter import INTERPRETER
from hostile_mischief import MISCHIEF

from sciRL.verification.sandbox.syscalls import DENIED, USED, machine, number

MODULES = [
    "array",
    "asyncio",
    "atexit",
    "builtins",
    "concurrent",
    "ctypes",
    "dataclasses",
    "errno",
    "faulthandler",
    "fcntl",
    "gc",
    "glob",
    "importlib",
    "inspect",
    "io",
    "json",
    "linecache",
    "marshal",
    "math",
    "mmap",
    "multiprocessing",
    "os",
    "pathlib",
    "pickle",
    "platform",
    "random",
    "re",
    "resource",
    "select",
    "shutil",
    "signal",
    "site",
    "socket",
    "struct",
    "subprocess",
    "sys",
    "sysconfig",
    "tempfile",
    "termios",
    "threading",
    "time",
    "tokenize",
    "traceback",
    "tracemalloc",
    "types",
    "unicodedata",
    "urllib",
    "warnings",
    "weakref",
    "zipimport",
]

_PRELUDE = """\
import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    value = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if value < 0:
        raise OSError(ctypes.get_errno())
    return value

def attempt(*ways):
    leaks = []
    for number, way in enumerate(ways):
        try:
            leaks.append((number, way()))
        except BaseException:
            pass
    return "leaked " + repr(leaks)[:900] if leaks else "held"

def child():
    pid = os.fork()
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    return pid

def write(path, data=b"owned"):
    with open(path, "wb") as file:
        file.write(data)

buffer = ctypes.create_string_buffer(4096)
"""


def scripts(canary: Path, secret: Path, port: int) -> dict[str, str]:
    """Return the scripts by name, aimed at a folder, a file and a port of this machine."""
    texts = {**ATTEMPTS, **MISCHIEF, **INTERPRETER}
    return {name: _aimed(_PRELUDE + text, canary, secret, port) for name, text in texts.items()}


def _aimed(text: str, canary: Path, secret: Path, port: int) -> str:
    text = text.replace("CANARY", repr(str(canary))).replace("SECRET_FILE", repr(str(secret)))
    return re.sub(r"NR_(\w+)", _call_number, text.replace("PORT", str(port)))


def _call_number(match: re.Match[str]) -> str:
    """Return a call's number; one that this architecture lacks becomes one that no kernel has."""
    numbers = DENIED.get(match[1]) or USED[match[1]]
    value = number(numbers, machine() or "x86_64")
    return str(9999 if value is None else value)
