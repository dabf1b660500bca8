"""Landlock: reading a list of folders is allowed, every other access to files is not (Linux 5.13, per process).

All rights of the kernel's version are handled, so that what is not granted is refused: version 2 adds moving between
folders, 3 truncating, 4 TCP, 5 device controls, 6 abstract sockets and signals to processes outside.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from sciRL.verification.sandbox import linux

_QUERY_VERSION = 1
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_NETWORK = 0b11  # binding and connecting TCP
_SCOPES = 0b11  # abstract unix sockets and signals


def version() -> int:
    """Return the kernel's version of Landlock, 0 when there is none."""
    try:
        return linux.syscall("landlock_create_ruleset", None, 0, _QUERY_VERSION)
    except OSError:
        return 0


def ruleset_attributes(abi: int) -> bytes:
    """Return the `landlock_ruleset_attr` that handles every right of a version: 8 bytes a class of rights."""
    files = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    attributes = struct.pack("Q", (1 << files) - 1)
    if abi >= 4:
        attributes += struct.pack("Q", _NETWORK)
    if abi >= 6:
        attributes += struct.pack("Q", _SCOPES)
    return attributes


def ruleset(readable: Iterable[str], listable: Iterable[str] = ()) -> int:
    """Return a file descriptor of the rules, for `lock` in any later fork.

    Args:
        readable: files and folders whose whole content may be read; what does not exist is skipped.
        listable: folders whose names, but not files, may be read all the way down.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    attributes = ruleset_attributes(version())
    rules = linux.syscall("landlock_create_ruleset", attributes, len(attributes), 0)
    for path in readable:
        _allow(rules, path, _READ_FILE | _READ_DIR)
    for path in listable:
        _allow(rules, path, _READ_DIR)
    return rules


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        granted = rights if os.path.isdir(path) else rights & _READ_FILE
        linux.syscall("landlock_add_rule", rules, _RULE_PATH_BENEATH, struct.pack("=Qi", granted, parent), 0)
    finally:
        os.close(parent)


def lock(rules: int) -> None:
    """Bind this process to the rules for good, and close them; `no_new_privs` must be set."""
    linux.syscall("landlock_restrict_self", rules, 0)
    os.close(rules)
