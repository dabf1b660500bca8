"""Hostile scripts get nothing out, leave nothing behind, and cost the pool nothing but their own time.

The same file is run as root and as an ordinary user (`test_ordinary_user.py`).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import toy_sandbox
from hostile import MODULES, scripts
from hostile_attempts import ATTEMPTS, NEEDS_OWN_ROOT
from hostile_interpreter import ENDLESS_INTERPRETER, INTERPRETER
from hostile_mischief import ENDLESS, MISCHIEF
from processes import descendants, soon

from sciRL.verification.sandbox.failure import MEASURED_CODES, SCRIPT_CODES
from sciRL.verification.sandbox.layers import OWN_ROOT
from sciRL.verification.sandbox.outcome import Job, Outcome
from sciRL.verification.sandbox.pool import SandboxPool
from sciRL.verification.sandbox.profile import Limits

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="the sandbox needs Linux")

LIMITS = Limits(cpu_s=1, wall_s=2, memory_mb=256, payload_mb=1, meter_wall_s=5, threads=32)
TOKEN = "token-that-no-script-may-see"
UNENDING = ENDLESS | ENDLESS_INTERPRETER
HONEST = Job("result = 6 * 7", {"n": 1}, (b"the-reference-of-this-job",))


@dataclass
class Surroundings:
    """What the scripts are after, and the pool they run in."""

    pool: SandboxPool
    canary: Path
    listeners: list[socket.socket]
    sources: dict[str, str]
    processes: set[int]

    def files(self) -> list[tuple[str, int, int, bytes]]:
        """Everything about the canary folder that a script could change."""
        found = []
        for path in sorted(self.canary.rglob("*")):
            status = path.lstat()
            found.append((str(path), status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b""))
        return [*found, ("", self.canary.stat().st_mode, self.canary.stat().st_mtime_ns, b"")]


def shared_places() -> list[str]:
    """What other processes of the machine would see: shared memory, message queues, files in open folders."""
    places = [name for name in os.listdir("/dev/shm") if "scirl" in name or "psm_" in name]
    for kind in ("shm", "msg", "sem"):
        with contextlib.suppress(OSError):
            places += [line for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines() if str(0x5C1) in line]
    return places + [name for name in os.listdir("/tmp") if name.startswith("scirl-x")]


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    with tempfile.TemporaryDirectory(prefix="scirl-canary-") as folder, contextlib.ExitStack() as stack:
        canary = Path(folder)
        canary.chmod(0o777)
        (canary / "keep").write_text(TOKEN)
        (canary / "keep").chmod(0o666)
        listeners = [stack.enter_context(socket.socket(*kind)) for kind in _KINDS]
        listeners[0].bind(("127.0.0.1", 0))
        port = listeners[0].getsockname()[1]
        listeners[1].bind(("127.0.0.1", port))
        listeners[2].bind(f"\0scirl-canary-{port}")
        listeners[3].bind(f"{folder}/socket")
        for listener in (listeners[0], *listeners[2:]):
            listener.listen()
        os.chmod(f"{folder}/socket", 0o777)
        sources = scripts(canary, canary / "keep", port)
        with SandboxPool(toy_sandbox.open_to_all(LIMITS, tuple(MODULES)), workers=2) as pool:
            assert pool.run([HONEST])[0].ok
            yield Surroundings(pool, canary, listeners, sources, descendants(os.getpid()))


_KINDS = [
    (socket.AF_INET, socket.SOCK_STREAM),
    (socket.AF_INET, socket.SOCK_DGRAM),
    (socket.AF_UNIX, socket.SOCK_STREAM),
    (socket.AF_UNIX, socket.SOCK_STREAM),
]


def run_alone(around: Surroundings, name: str) -> Outcome:
    """Run one script between two looks at everything it must not touch, and an honest job behind it."""
    files, places = around.files(), shared_places()
    began = time.monotonic()
    [outcome] = around.pool.run([Job(around.sources[name])])
    assert time.monotonic() - began < LIMITS.wall_s + 1.0
    # No meter refuses anything here: a code that only a measurement can find would be forged.
    assert outcome.ok or (outcome.fault == "script" and outcome.code in SCRIPT_CODES - MEASURED_CODES), outcome
    assert TOKEN not in str(outcome)
    assert outcome.message.isprintable()
    assert len(outcome.message) <= 500
    # A zygote that a busy machine kept from its work may have been replaced; a process more would be a leak.
    assert soon(lambda: len(descendants(os.getpid())) <= len(around.processes))
    assert around.files() == files
    assert shared_places() == places
    assert select.select(around.listeners, [], [], 0)[0] == []
    [honest] = around.pool.run([HONEST])
    assert (honest.code, honest.measurements["text"], honest.measurements["request"]) == ("ok", "42", {"n": 1})
    return outcome


@pytest.mark.parametrize("name", ATTEMPTS)
def test_attempt_fails(around: Surroundings, name: str) -> None:
    if name in NEEDS_OWN_ROOT and OWN_ROOT not in around.pool.layers:
        pytest.skip("no own root here")
    outcome = run_alone(around, name)
    if outcome.ok:
        assert outcome.measurements["text"] == "'held'"
    else:
        # What kills the process, or cannot even be imported, holds as well; what times out has not been tried.
        assert outcome.code in {"crash", "exec_error", "import_denied", "memory"}, outcome


@pytest.mark.parametrize("name", [name for name in (*MISCHIEF, *INTERPRETER) if name not in UNENDING])
def test_mischief_hurts_nobody_else(around: Surroundings, name: str) -> None:
    outcome = run_alone(around, name)
    if outcome.ok:
        assert outcome.measurements["text"] == "'held'"
        assert outcome.measurements["length"] == len("'held'")


def test_endless_scripts_are_stopped(around: Surroundings) -> None:
    names = sorted(UNENDING)
    outcomes = around.pool.run([Job(around.sources[name]) for name in names] + [HONEST])
    assert outcomes.pop().ok
    for name, outcome in zip(names, outcomes, strict=True):
        assert outcome.code == "timeout", (name, outcome)
        assert outcome.seconds < LIMITS.wall_s + 1.0, (name, outcome)
    assert soon(lambda: len(descendants(os.getpid())) <= len(around.processes))


def test_the_layers_hold(around: Surroundings) -> None:
    assert {"rlimits", "landlock", "seccomp"} <= set(around.pool.layers)
