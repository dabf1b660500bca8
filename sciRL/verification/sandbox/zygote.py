"""The zygote: a process that has the libraries loaded, runs nothing itself, and forks one locked child per job.

It is started by exec, inherits no descriptor of the trainer but its control socket, and never sees what its children
write: their pipes lead to the pool. It ends, with everything it forked, when the pool closes the socket or dies.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import mmap
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from sciRL.verification.sandbox import (
    child,
    control,
    huge_pages,
    landlock,
    linux,
    namespaces,
    own_root,
    readable,
    rlimits,
    user,
)
from sciRL.verification.sandbox.imports import guard_imports
from sciRL.verification.sandbox.layers import LANDLOCK, NAMESPACES, OWN_ROOT, USER
from sciRL.verification.sandbox.lock import Lock, closable_layers

# What the standard library imports only when something goes wrong or text is unusual.
_STDLIB = ("encodings.idna", "linecache", "traceback", "unicodedata")
# The system's last choice when memory is short should not be the trainer.
_OUT_OF_MEMORY_SCORE = "500"


@dataclass
class _Child:
    """A running child: its job, and the user id that it took from the free ones."""

    job: int
    user: int | None


def main(control_fd: int) -> NoReturn:
    """Be a zygote until the pool goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    few = namespaces.OPEN_FILES if hard == resource.RLIM_INFINITY else min(namespaces.OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    connection = socket.socket(fileno=os.dup(control_fd))
    os.close(control_fd)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(_OUT_OF_MEMORY_SCORE)
    try:
        settings = control.receive_settings(connection)
        zygote = prepare(connection, settings)
    except EOFError:
        os._exit(0)
    except BaseException as error:
        with contextlib.suppress(OSError):
            control.send_message(connection, {"kind": "error", "message": child.describe(error)})
        os._exit(1)
    zygote.serve()


def prepare(connection: socket.socket, settings: control.Settings) -> Zygote:
    """Enter the namespaces, load the libraries, move into the own root, find out which layers close; say hello.

    Raises:
        ImportError: a module of the profile cannot be imported.
        RuntimeError: a library started a thread, which makes forking unsafe.
    """
    without = frozenset(settings.without)
    # What is asked of /proc is asked first: the own root has none.
    threads, first_user = rlimits.threads_of_user(), user.first_unused_user()
    paths = readable.readable_paths(settings.readable)
    alone, rooted = namespaces.available(paths, ()) if NAMESPACES not in without else (False, False)
    if alone:
        namespaces.become_first_process()
    elif sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    memory = _Memory()
    function = _load(settings)
    # The children share what is loaded: no collection may touch it, as each touch copies a page.
    gc.collect()
    gc.freeze()
    huge_pages.gather()
    os.chdir("/")
    hidden = readable.hidden_folders(settings.own)
    rooted = rooted and OWN_ROOT not in without
    if rooted:
        own_root.enter(paths, hidden)
    layers = closable_layers(without)
    if USER in layers:
        user.forget_bounding_set()
    lock = Lock(
        layers,
        rlimits.ResourceLimits(
            settings.cpu_s,
            memory.virtual() + (settings.memory_mb << 20) if memory.virtual() else None,
            _process_limit(settings, threads),
        ),
        landlock.ruleset(*readable.around(paths, hidden)) if LANDLOCK in layers else -1,
        os.getpid(),
    )
    zygote = Zygote(connection, function, lock, first_user, memory)
    zygote.keep(zygote.probe())
    closed = [*sorted(zygote.lock.layers), *([NAMESPACES] if alone else []), *([OWN_ROOT] if rooted else [])]
    control.send_message(connection, {"kind": "hello", "layers": closed, "resident": memory.resident()})
    return zygote


class Zygote:
    """Forks children on request, and reports their ends."""

    def __init__(
        self,
        connection: socket.socket,
        work: Callable[[bytes], bytes],
        lock: Lock,
        first_user: int | None,
        memory: _Memory,
    ) -> None:
        self.lock = lock
        self._connection = connection
        self._work = work
        self._first_user = first_user
        self._memory = memory
        self._children: dict[int, _Child] = {}

    def keep(self, layers: frozenset[str]) -> None:
        """Demand these layers of every child from now on."""
        self.lock = replace(self.lock, layers=layers)

    def probe(self) -> frozenset[str]:
        """Lock a child that runs nothing, let it try to break out, and return the layers that held."""
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                closed = self.lock.close_what_closes(self._free_user())
                os.write(theirs, ",".join(closed).encode())
            finally:
                os._exit(0)
        os.close(theirs)
        with os.fdopen(ours) as answer:
            held = answer.read()
        os.waitpid(pid, 0)
        return frozenset(held.split(",")) - {""}

    def serve(self) -> NoReturn:
        """Fork and report until the pool goes away; then leave nothing behind."""
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector, contextlib.suppress(EOFError, OSError):
            selector.register(self._connection, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if woken in ready:
                    os.read(woken, 4096)
                    self._report()
                if self._connection in ready:
                    self._obey()
        for pid in self._children:
            _kill(pid)
        os._exit(0)

    def _obey(self) -> None:
        kind, job, descriptors = control.receive_request(self._connection)
        if kind == control.START:
            self._start(job, *descriptors)
        else:
            for pid, running in self._children.items():
                if running.job == job:
                    _kill(pid)

    def _start(self, job: int, input_fd: int, output_fd: int) -> None:
        new_user = self._free_user()
        try:
            pid = os.fork()
        except OSError as error:
            control.send_message(self._connection, {"kind": "unforked", "job": job, "message": str(error)})
        else:
            if pid == 0:
                child.run(self._work, input_fd, output_fd, self.lock, new_user)
            self._children[pid] = _Child(job, new_user)
        os.close(input_fd)
        os.close(output_fd)

    def _free_user(self) -> int | None:
        """Return a user id that no running child has, so that children can neither count nor reach each other."""
        if self._first_user is None or USER not in self.lock.layers:
            return None
        taken = {running.user for running in self._children.values()}
        return next(self._first_user + offset for offset in range(user.USERS) if self._first_user + offset not in taken)

    def _report(self) -> None:
        """Collect the children that ended, and orphans of a script that was allowed to fork."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = self._children.pop(pid, None)
            if ended is None:
                continue
            _kill_group(pid)
            message = {
                "kind": "done",
                "job": ended.job,
                "exit_code": os.waitstatus_to_exitcode(status),
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "resident": self._memory.resident(),
            }
            control.send_message(self._connection, message)


class _Memory:
    """The memory of this process in bytes, from a file that stays open; 0 where there is no /proc."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def virtual(self) -> int:
        """Return the size of the address space."""
        return self._pages(0)

    def resident(self) -> int:
        """Return what is in memory."""
        return self._pages(1)

    def _pages(self, column: int) -> int:
        if self._file < 0:
            return 0
        return int(os.pread(self._file, 200, 0).split()[column]) * mmap.PAGESIZE


def _load(settings: control.Settings) -> Callable[[bytes], bytes]:
    """Import everything that the children will need, and return their work."""
    for module in (*_STDLIB, *settings.preload, *settings.modules):
        importlib.import_module(module)
    module, _, name = settings.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    threads = _own_threads()
    if threads > 1:
        raise RuntimeError(f"loading the libraries started {threads - 1} threads; a threaded process cannot be forked")
    if settings.role == "meter":
        return functools.partial(child.meter_work, function)
    guard_imports(frozenset(settings.modules))
    return functools.partial(child.script_work, function)


def _own_threads() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/task"))
    return 1


def _process_limit(settings: control.Settings, threads: int) -> int | None:
    """Return how many threads a child's user may have; as root every child is a user of its own."""
    if os.geteuid() == 0:
        return settings.threads
    return threads + settings.threads * settings.children if threads else None


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _kill_group(pid)


def _kill_group(pid: int) -> None:
    """Kill what a script started, where it was allowed to; the group bears the number of the script's process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
