"""The pool: what becomes of jobs, and of processes when things go wrong around them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import toy_sandbox
from processes import alive, descendants, parents, soon
from toy_sandbox import TOY

from sciRL.errors import UserError
from sciRL.verification.sandbox import flight, zygote_line
from sciRL.verification.sandbox.outcome import Job
from sciRL.verification.sandbox.pool import SandboxPool, shared_pool
from sciRL.verification.sandbox.profile import Limits, SandboxProfile
from sciRL.verification.sandbox.zygote_process import ZygoteProcess

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="the sandbox needs Linux")

LIMITS = Limits(cpu_s=1, wall_s=2, memory_mb=128, payload_mb=1, meter_cpu_s=1, meter_wall_s=2, meter_memory_mb=128)
PROFILE = replace(toy_sandbox.open_to_all(LIMITS, ("math", "time", "os", "signal")), name="limited")
ONE = Job("result = 1")


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(PROFILE, workers=2) as pool:
        yield pool


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("x = 1\nresult = 1 / 0", "exec_error", "ZeroDivisionError: division by zero (line 2)"),
        ("def f():\n    return [][1]\n\nresult = f()", "exec_error", "IndexError: list index out of range (line 2)"),
        (
            "import math\nimport json",
            "import_denied",
            "'json' is not allowed; allowed: math, os, signal, time",
        ),
        ("from os.path import join\nfrom json.decoder import x", "import_denied", "import of 'json'"),
        ("x = (", "syntax", "SyntaxError: '(' was never closed (line 1)"),
        ("y = 1", "no_result", "the script assigns no `result`"),
        ("raise SystemExit(3)", "exit", "SystemExit: 3"),
        ("import os\nos._exit(3)", "exit", "ended with code 3 without a result"),
        ("import os\nos.abort()", "crash", "SIGABRT"),
        ("result = bytearray(1 << 30)", "memory", "MemoryError (line 1)"),
        ("result = 'x' * (3 << 20)", "too_big", "larger than 1 MiB"),
        ("import time\ntime.sleep(60)", "timeout", "over the wall limit of 2 s"),
    ],
)
def test_failures_are_named(pool: SandboxPool, source: str, code: str, message: str) -> None:
    [outcome] = pool.run([Job(source)])
    assert (outcome.code, outcome.fault, outcome.ok) == (code, "script", False)
    assert message in outcome.message
    assert dict(outcome.measurements) == {}


def test_the_cpu_limit_cannot_be_ignored(pool: SandboxPool) -> None:
    [outcome] = pool.run([Job("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass")])
    assert outcome.code == "timeout"


def test_a_denied_import_can_be_caught_like_any_import_error(pool: SandboxPool) -> None:
    [outcome] = pool.run([Job("try:\n    import json\nexcept ImportError:\n    result = 'none'")])
    assert outcome.measurements["text"] == "'none'"


def test_measurements_and_blobs_come_back(pool: SandboxPool) -> None:
    request = {"n": 1, "list": [1.5, None, "ü"]}
    [outcome] = pool.run([Job("import math\nresult = math.floor(2.5) * 'ab'", request, (b"abc", b"", bytes(100_000)))])
    assert (outcome.code, outcome.fault, outcome.message) == ("ok", "none", "")
    assert outcome.measurements == {"length": 6, "text": "'abab'", "request": request}
    assert outcome.blobs == (b"cba", b"", bytes(100_000))
    assert 0 < outcome.seconds < 4


@pytest.mark.parametrize(
    ("request_", "code", "fault", "message"),
    [
        ({"do": "refuse"}, "invalid", "script", "the payload is no good"),
        ({"do": "raise"}, "sandbox_error", "sandbox", "RuntimeError: the meter is broken"),
        ({"do": "nan"}, "sandbox_error", "sandbox", "ValueError"),
        ({"do": "big", "bytes": 20 << 20}, "sandbox_error", "sandbox", "larger than 1 MiB"),
        ({"do": "big", "bytes": 1 << 30}, "sandbox_error", "sandbox", "MemoryError"),
        ({"do": "sleep"}, "meter_timeout", "sandbox", "more than 2 s"),
        ({"do": "loop"}, "meter_timeout", "sandbox", "more than"),
        ({"do": "crash"}, "sandbox_error", "sandbox", "SIGSEGV"),
        # What its own code raises, and what a sleep does, stays the meter's failure whatever it handles.
        ({"do": "raise", "alone": True}, "sandbox_error", "sandbox", "RuntimeError: the meter is broken"),
        ({"do": "sleep", "alone": True}, "meter_timeout", "sandbox", "more than 2 s"),
    ],
)
def test_a_meter_that_fails_is_not_the_scripts_fault(
    pool: SandboxPool, request_: dict[str, object], code: str, fault: str, message: str
) -> None:
    [outcome] = pool.run([Job("result = 1", request_)])
    assert (outcome.code, outcome.fault) == (code, fault)
    assert message in outcome.message


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"do": "crash", "alone": True}, "crash", "the process that read the result was ended by SIGSEGV"),
        ({"do": "loop", "alone": True}, "too_big", "CPU to measure"),
        ({"do": "refuse", "alone": True}, "invalid", "the payload is no good"),
    ],
)
def test_a_payload_that_ends_its_meter_is_the_scripts_fault(
    pool: SandboxPool, request_: dict[str, object], code: str, message: str
) -> None:
    [outcome] = pool.run([Job("result = 1", request_)])
    assert (outcome.code, outcome.fault) == (code, "script")
    assert message in outcome.message
    assert pool.run([Job("result = 1", {"alone": True})])[0].measurements["text"] == "1"


def test_outcomes_come_in_the_order_of_the_jobs(pool: SandboxPool) -> None:
    jobs = [Job(f"import time\ntime.sleep({0.05 * (n % 3)})\nresult = {n}" if n % 4 else "1 / 0") for n in range(24)]
    found = [outcome.measurements.get("text", outcome.code) for outcome in pool.run(jobs)]
    assert found == [str(n) if n % 4 else "exec_error" for n in range(24)]
    assert pool.run([]) == []


def test_several_threads_may_run_jobs(pool: SandboxPool) -> None:
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        found[number] = [o.measurements["text"] for o in pool.run([Job(f"result = {number}")] * 5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [str(number)] * 5 for number in range(4)}


def test_no_descriptor_and_no_process_is_lost(pool: SandboxPool) -> None:
    pool.run([ONE])
    before = len(os.listdir("/proc/self/fd")), descendants(os.getpid())
    pool.run([ONE, Job("1 / 0"), Job("import os\nos.closerange(0, 99)"), Job("import os\nos.abort()")] * 5)
    assert (len(os.listdir("/proc/self/fd")), descendants(os.getpid())) == before


def zygotes(pool: SandboxPool) -> set[int]:
    """The processes of a pool that hold the libraries: those at the bottom, whose parents only wait for them."""
    roots = {zygote.pid for line in pool._lines.values() for zygote in line.zygotes}
    ours, table = roots.union(*(descendants(root) for root in roots)), parents()
    return {pid for pid in ours if pid not in table.values()}


def later(delay_s: float, action: object, *arguments: object) -> threading.Timer:
    timer = threading.Timer(delay_s, action, arguments)  # type: ignore[arg-type]
    timer.start()
    return timer


@pytest.mark.parametrize("without", [(), ("namespaces", "own root")])
def test_a_job_whose_zygote_dies_is_done_by_the_next(without: tuple[str, ...]) -> None:
    others = descendants(os.getpid())
    with SandboxPool(PROFILE, workers=2, without=without) as pool:
        assert pool.run([ONE])[0].ok
        victims = zygotes(pool)
        before: set[int] = set()

        def kill_zygotes() -> None:
            before.update(descendants(os.getpid()) - others)
            for pid in victims:
                os.kill(pid, signal.SIGKILL)

        timer = later(0.3, kill_zygotes)
        outcomes = pool.run([Job("import time\ntime.sleep(0.6)\nresult = 1")] * 2)
        timer.join()
        assert [outcome.code for outcome in outcomes] == ["ok", "ok"]
        assert len(before) > len(victims)
        assert soon(lambda: not alive(before))


def test_a_job_that_loses_two_zygotes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    start_child = ZygoteProcess.start_child

    def start_child_and_die(zygote: ZygoteProcess, job: int, data: bytes) -> int:
        later(0.2, os.kill, zygote.pid, signal.SIGKILL)
        return start_child(zygote, job, data)

    with SandboxPool(PROFILE, workers=1) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(ZygoteProcess, "start_child", start_child_and_die)
            [outcome] = pool.run([Job("import time\ntime.sleep(1.5)\nresult = 1")])
        assert (outcome.code, outcome.fault) == ("sandbox_error", "sandbox")
        assert pool.run([ONE])[0].ok


def test_a_zygote_that_hangs_is_replaced(pool: SandboxPool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool.run([ONE])[0].ok
    monkeypatch.setattr(flight, "START_LIMIT_S", 0.5)
    stopped = zygotes(pool)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    assert pool.run([ONE])[0].ok
    assert stopped.isdisjoint(descendants(os.getpid()))


def test_worn_out_zygotes_are_replaced_while_they_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygote_line, "CHILDREN_PER_ZYGOTE", 10)
    others = descendants(os.getpid())
    with SandboxPool(TOY, workers=2) as pool:
        assert pool.run([ONE])[0].ok
        first = descendants(os.getpid()) - others
        outcomes = [outcome for _ in range(30) for outcome in pool.run([ONE] * 4)]
        assert {outcome.code for outcome in outcomes} == {"ok"}
        assert first.isdisjoint(descendants(os.getpid()))
    assert descendants(os.getpid()) == others


def test_interrupted_run_leaves_no_process_and_can_be_repeated() -> None:
    others = descendants(os.getpid())
    pool = SandboxPool(TOY, workers=2)
    assert pool.run([ONE])[0].ok

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            pool.run([Job("while True: pass")] * 4)
        assert descendants(os.getpid()) == others
        assert pool.run([ONE])[0].ok
    finally:
        signal.signal(signal.SIGALRM, previous)
        pool.close()
    assert descendants(os.getpid()) == others


def test_a_forgotten_pool_takes_its_processes_along() -> None:
    others = descendants(os.getpid())
    pool = SandboxPool(TOY)
    assert pool.run([ONE])[0].ok
    del pool
    gc.collect()
    assert descendants(os.getpid()) == others


def test_a_fork_of_the_trainer_gets_processes_of_its_own(pool: SandboxPool) -> None:
    assert pool.run([ONE])[0].ok
    before = descendants(os.getpid())
    child = os.fork()
    if child == 0:
        fine = pool.run([ONE])[0].ok
        pool.close()
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert descendants(os.getpid()) == before
    assert pool.run([ONE])[0].ok


_TRAINER = """
import sys
sys.path[:0] = {path!r}
from toy_sandbox import TOY
from sciRL.verification.sandbox.outcome import Job
from sciRL.verification.sandbox.pool import SandboxPool
pool = SandboxPool(TOY, workers=2, without={without!r})
pool.run([Job("result = 1")])
print("ready", flush=True)
pool.run([Job("while True: pass")] * 100)
"""


@pytest.mark.parametrize(
    ("number", "without"),
    [
        (signal.SIGINT, ()),
        (signal.SIGTERM, ()),
        (signal.SIGKILL, ()),
        (signal.SIGKILL, ("namespaces", "own root")),
    ],
)
def test_nothing_outlives_the_trainer(number: signal.Signals, without: tuple[str, ...]) -> None:
    path = [str(Path(toy_sandbox.__file__).parent), *sys.path]
    code = textwrap.dedent(_TRAINER.format(path=path, without=without))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == b"ready\n"
        assert soon(lambda: len(descendants(trainer.pid)) > (2 if without else 4))
        processes = descendants(trainer.pid)
        trainer.send_signal(number)
        trainer.wait(10)
    assert soon(lambda: not alive(processes))


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (replace(TOY, preload=("no_such_module",)), "No module named 'no_such_module'"),
        (replace(TOY, modules=("no_such_module",)), "No module named 'no_such_module'"),
        (replace(TOY, runner="toy_sandbox:no_such_function"), "no_such_function"),
        (replace(TOY, preload=("starts_a_thread",)), "started 1 threads"),
    ],
)
def test_a_profile_that_cannot_be_loaded_is_the_users_error(profile: SandboxProfile, message: str) -> None:
    others = descendants(os.getpid())
    with SandboxPool(profile) as pool, pytest.raises(UserError, match=message):
        pool.run([ONE])
    assert descendants(os.getpid()) == others


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SandboxPool(TOY, workers=0), "workers must be at least 1; found 0"),
        (lambda: SandboxPool(TOY, without=("chains",)), "layers are rlimits"),
        (lambda: Limits(wall_s=0), "wall_s must be a number above 0; found 0"),
        (lambda: Limits(cpu_s=float("nan")), "cpu_s must be a number above 0; found nan"),
        (lambda: Limits(memory_mb=1), "memory_mb must be at least 32; found 1"),
        (lambda: replace(TOY, runner="toy_sandbox"), 'runner must be "module:function"; found'),
        (lambda: replace(TOY, modules=("os.path",)), "top-level names such as 'math'; found 'os.path'"),
    ],
)
def test_bad_settings_are_named(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]


def test_a_request_that_is_no_json_is_named(pool: SandboxPool) -> None:
    with pytest.raises(UserError, match="the request of job 1 is no JSON"):
        pool.run([ONE, Job("result = 1", {"x": float("inf")})])
    assert pool.run([ONE])[0].ok


def test_the_shared_pool_is_one() -> None:
    pool = shared_pool(TOY, 1)
    assert shared_pool(TOY, 1) is pool
    assert pool.run([ONE])[0].ok
    pool.close()


def test_jobs_are_quick(pool: SandboxPool) -> None:
    pool.run([ONE])
    began = time.monotonic()
    outcomes = pool.run([ONE] * 50)
    assert {outcome.code for outcome in outcomes} == {"ok"}
    # About 4 ms of CPU for each of the two processes of a job; the rest is what a busy machine adds.
    assert (time.monotonic() - began) / 50 < 0.2


def test_a_payload_is_measured_without_a_script(pool: SandboxPool) -> None:
    jobs = [Job("", {"n": 1}, payload=b"bytes from elsewhere"), ONE, Job("", {"do": "refuse"}, payload=b"")]
    measured, script, refused = pool.run(jobs)
    assert measured.measurements["text"] == "bytes from elsewhere"
    assert script.measurements["text"] == "1"
    assert (refused.code, refused.fault) == ("invalid", "script")
