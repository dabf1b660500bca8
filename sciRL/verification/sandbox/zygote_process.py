"""The pool's handle of one zygote: starts, feeds, hears and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO, Any

from sciRL.verification.sandbox.control import MessageReader, Settings, send_kill, send_settings, send_start

GOODBYE_S = 1.0
_BOOT = (
    "import json, sys; path, control = json.loads(sys.argv[1]); sys.path += [p for p in path if p not in sys.path]; "
    "from sciRL.verification.sandbox.zygote import main; main(control)"
)
# All that a zygote gets of the environment. One thread: forking needs it, and the pool is the parallelism. /proc is a
# home that exists, can be read and cannot be written to. A fixed hash seed gives scripts the same set order everywhere.
_ENVIRONMENT = {
    "HOME": "/proc",
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",
    "PYTHONHASHSEED": "0",
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
}
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class ZygoteProcess:
    """One zygote, in a session of its own, so that Ctrl-C in the terminal reaches the trainer alone.

    Args:
        settings: what it is told.
    """

    def __init__(self, settings: Settings) -> None:
        self.role = settings.role
        self.layers: frozenset[str] | None = None
        self.served = 0
        self.started = time.monotonic()
        self.first_resident = self.resident = 0
        self._owner = os.getpid()
        self._answers = False
        self._reader = MessageReader()
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self.connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-c", _BOOT, json.dumps([_import_path(), theirs.fileno()])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                pass_fds=(theirs.fileno(),),
                env={**_ENVIRONMENT, **{name: os.environ[name] for name in _INHERITED if name in os.environ}},
                start_new_session=True,
            )
        with contextlib.suppress(OSError):
            send_settings(self.connection, settings)

    @property
    def pid(self) -> int:
        """The id of the process that was started; the zygote may be its child."""
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it has said hello."""
        return self.layers is not None

    def greet(self, hello: dict[str, Any]) -> None:
        """Take the zygote's hello."""
        self.layers = frozenset(hello["layers"])
        self._answers = True
        self.first_resident = self.resident = hello["resident"]

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have come.

        Raises:
            EOFError, OSError: the zygote is gone.
        """
        data = self.connection.recv(1 << 16)
        if not data:
            self._answers = True
            raise EOFError(f"the {self.role} zygote is gone")
        return list(self._reader.feed(data))

    def start_child(self, job: int, data: bytes) -> int:
        """Start a child on an input; return the descriptor from which its result can be read (non-blocking).

        Raises:
            OSError: the zygote is gone.
        """
        self.served += 1
        output, theirs = os.pipe()
        os.set_blocking(output, False)
        try:
            with _anonymous_file(data) as file:
                send_start(self.connection, job, file.fileno(), theirs)
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(theirs)
        return output

    def kill_child(self, job: int) -> None:
        """Ask the zygote to kill a child; a zygote that is gone has killed it already."""
        with contextlib.suppress(OSError):
            send_kill(self.connection, job)

    def last_words(self) -> str:
        """Return the last line that it wrote to its standard error, and how it ended."""
        exit_code = self._process.poll()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        ending = f"exit code {exit_code}" if exit_code is not None else "still running"
        return f"{lines[-1]} ({ending})" if lines else ending

    def close(self) -> None:
        """Tell the zygote to go, and do not wait."""
        self.connection.close()

    def end(self) -> None:
        """Wait until the zygote and all its children are gone; one that does not go is killed."""
        self.close()
        if self._owner == os.getpid():
            if self._answers:
                # It goes by itself, and has collected what it forked; or it is gone, and its parent collects it.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(GOODBYE_S)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._complaints.close()

    def kill(self) -> None:
        """End a zygote that does not answer; its children die with it."""
        self._answers = False
        self.end()


def _import_path() -> list[str]:
    return [os.path.abspath(path) for path in sys.path]


def _anonymous_file(data: bytes) -> IO[bytes]:
    """Return an open file without a name that holds `data`."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("input", os.MFD_CLOEXEC), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    return file
