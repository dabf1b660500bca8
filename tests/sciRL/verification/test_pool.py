"""The pool: misbehaving verifiers cost their own item and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hostile_verifiers import Hostile, Loads, NoScore, Unique

from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import Item, PerItemVerifier
from sciRL.verification.pool import WorkerPool

TASK = Task("test", ({"role": "user", "content": "?"},))


def items_of(answers: Sequence[str]) -> list[Item]:
    return [(TASK, answer) for answer in answers]


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(workers=2, wall_limit_s=0.9, memory_limit_mb=256, chunk=8) as pool:
        yield pool


def gone(pid: int) -> bool:
    """Whether no process of this id is left, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("bad", "status", "reason"),
    [
        ("loop", Status.TIMEOUT, "over the wall limit of 0.9 s"),
        ("sleep 60", Status.TIMEOUT, "over the wall limit of 0.9 s"),
        ("segfault", Status.ERROR, "SIGSEGV"),
        ("exit", Status.ERROR, "exited with code 3"),
        ("sys-exit", Status.ERROR, "SystemExit: 3"),
        ("raise", Status.ERROR, "RuntimeError: cannot judge this"),
        ("memory", Status.ERROR, "MemoryError"),
        ("huge", Status.ERROR, "larger than 1048576 bytes"),
        ("unpicklable", Status.ERROR, "cannot be sent"),
    ],
)
def test_only_the_culprit_fails(pool: WorkerPool, bad: str, status: Status, reason: str) -> None:
    answers = ["good", "poor", "good", bad, "good", "poor", "good", "good", "good", "poor"] * 2
    answers[13] = "poor"
    began = time.monotonic()
    scores = pool.verify(Hostile(), items_of(answers))
    assert time.monotonic() - began < 6
    assert scores[3].status is status
    assert reason in scores[3].reason
    assert "hostile" in scores[3].reason or "result" in scores[3].reason
    assert scores[3].value is None
    others = [score for index, score in enumerate(scores) if index != 3]
    assert [score.value for score in others] == [float(a == "good") for i, a in enumerate(answers) if i != 3]
    assert all(score.status is Status.OK for score in others)
    assert [score.value for score in pool.verify(Hostile(), items_of(["good", "poor"]))] == [1.0, 0.0]


def test_many_culprits_in_one_batch(pool: WorkerPool) -> None:
    answers = ["good", "segfault", "exit", "loop", "raise", "good", "memory", "segfault", "loop", "good"]
    scores = pool.verify(Hostile(), items_of(answers))
    found = [score.status.value for score in scores]
    assert found == ["ok", "error", "error", "timeout", "error", "ok", "error", "error", "timeout", "ok"]
    assert all(score.value is None for score in scores if not score.scorable)


def test_a_flood_of_output_goes_nowhere(pool: WorkerPool, capfd: pytest.CaptureFixture[str]) -> None:
    scores = pool.verify(Hostile(), items_of(["print", "good"]))
    assert [score.status for score in scores] == [Status.OK, Status.OK]
    assert capfd.readouterr() == ("", "")


def test_what_took_time_is_not_judged_again(pool: WorkerPool) -> None:
    # Four slow items, then a loop in the same chunk: the slow results had been sent before the kill.
    with WorkerPool(workers=1, wall_limit_s=0.6, chunk=8) as single:
        single.verify(Hostile(), items_of(["good"]))
        began = time.monotonic()
        scores = single.verify(Hostile(), items_of(["sleep 0.3"] * 4 + ["loop"]))
        assert time.monotonic() - began < 4 * 0.3 + 0.6 + 1.0
    assert [score.status.value for score in scores] == ["ok"] * 4 + ["timeout"]


def test_a_worker_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with WorkerPool(workers=1, wall_limit_s=20) as pool:

        def kill_when_marked() -> None:
            while not (mark.exists() and mark.read_text()):
                time.sleep(0.01)
            os.kill(int(mark.read_text()), signal.SIGKILL)

        killer = threading.Thread(target=kill_when_marked)
        killer.start()
        scores = pool.verify(Hostile(), items_of(["good", f"once {mark}", "good", "poor"]))
        killer.join()
    assert [score.value for score in scores] == [1.0, 0.0, 1.0, 0.0]


def test_idle_workers_may_be_killed(pool: WorkerPool) -> None:
    pool.verify(Hostile(), items_of(["good"] * 20))
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    assert [score.value for score in pool.verify(Hostile(), items_of(["good"] * 20))] == [1.0] * 20


@pytest.mark.parametrize("chunk", [1, 16])
def test_what_one_item_leaks_is_not_missed_by_the_next(chunk: int) -> None:
    # 20 x 40 MiB against a limit of 256 MiB: a worker that is not replaced has no memory for the seventh item.
    with WorkerPool(workers=1, memory_limit_mb=256, chunk=chunk) as pool:
        scores = pool.verify(Hostile(), items_of(["leak 40"] * 20))
    assert {score.status for score in scores} == {Status.OK}


def test_recycling_and_loading_once_per_worker(tmp_path: Path) -> None:
    log = tmp_path / "log"
    verifier = Loads(log)
    with WorkerPool(workers=2, chunk=5) as pool:
        scores = [score for _ in range(3) for score in pool.verify(verifier, items_of(["x"] * 40))]
        pids = {score.measurements["pid"] for score in scores}
        assert len(pids) <= len(log.read_text().splitlines()) <= len(pool.pids) <= 2
    assert {score.measurements["threads"] for score in scores} == {"1"}
    with WorkerPool(workers=1, chunk=5, recycle_after=10) as pool:
        scores = pool.verify(verifier, items_of(["x"] * 40))
    assert len({score.measurements["pid"] for score in scores}) == 4


def test_programs_beyond_the_cache_are_loaded_again(tmp_path: Path) -> None:
    verifiers = [Loads(tmp_path / str(number)) for number in range(10)]
    with WorkerPool(workers=1) as pool:
        for verifier in [*verifiers, *verifiers]:
            assert pool.verify(verifier, items_of(["x"]))[0].value == 1.0


def test_works_in_another_thread_and_outlives_it() -> None:
    results: list[list[Score]] = []
    with WorkerPool(workers=1, wall_limit_s=0.5) as pool:
        thread = threading.Thread(target=lambda: results.append(pool.verify(Hostile(), items_of(["loop", "good"]))))
        thread.start()
        thread.join(20)
        pids = pool.pids
        assert [score.value for score in results[0]] == [None, 1.0]
        assert [score.value for score in pool.verify(Hostile(), items_of(["good"]))] == [1.0]
        assert pool.pids == pids


def test_nothing_is_left_behind() -> None:
    pool = WorkerPool(workers=2)
    pool.verify(Hostile(), items_of(["good"] * 16))
    pids = pool.pids
    assert pids
    pool.close()
    assert all(gone(pid) for pid in pids)
    pool.verify(Hostile(), items_of(["good"]))
    pids = pool.pids
    del pool
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, end: signal.Signals) -> None:
    script = textwrap.dedent(f"""
        import sys; sys.path[:] = {sys.path!r}
        from hostile_verifiers import Hostile
        from sciRL.task import Task
        from sciRL.verification.pool import WorkerPool
        task = Task("test", ({{"role": "user", "content": "?"}},))
        pool = WorkerPool(workers=1, wall_limit_s=60)
        try:
            pool.verify(Hostile(), [(task, "once {tmp_path}/pid")])
        except KeyboardInterrupt:
            assert pool.pids == []
            scores = pool.verify(Hostile(), [(task, "good")])
            print("usable", scores[0].value, flush=True)
    """)
    mark = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        while not (mark.exists() and mark.read_text()):
            assert parent.poll() is None
            time.sleep(0.01)
        parent.send_signal(end)
        output = parent.communicate(timeout=20)[0]
    assert output == ("usable 1.0\n" if end is signal.SIGINT else "")
    deadline = time.monotonic() + 5
    while not gone(int(mark.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_verifier_of_a_script_travels_by_value() -> None:
    script = textwrap.dedent(f"""
        import sys; sys.path[:] = {sys.path!r}
        from sciRL.score import Score
        from sciRL.task import Task
        from sciRL.verification.base import PerItemVerifier
        from sciRL.verification.pool import WorkerPool
        class Mine(PerItemVerifier):
            name = "mine"
            def verify_one(self, task, answer):
                return Score.ok(float(answer == "good"))
        task = Task("test", ({{"role": "user", "content": "?"}},))
        with WorkerPool(workers=1) as pool:
            print([score.value for score in pool.verify(Mine(), [(task, "good"), (task, "bad")])])
    """)
    pytest.importorskip("cloudpickle")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "[1.0, 0.0]\n", done.stderr


def test_a_verifier_that_cannot_be_sent_or_loaded_is_an_error_of_the_user(tmp_path: Path) -> None:
    class Local(PerItemVerifier):
        name = "local"

        def verify_one(self, task: Task, answer: str) -> Score:
            return Score.ok(1.0)

    with WorkerPool(workers=2) as pool:
        with pytest.raises(UserError, match="local cannot be sent to a worker process"):
            pool.verify(Local(), items_of(["x"]))
        with pytest.raises(UserError, match=r"loads cannot be loaded .*no module named 'science'"):
            pool.verify(Loads(tmp_path / "log", "raise"), items_of(["x"]))
        with pytest.raises(UserError, match="loads cannot be loaded: the worker process exited with code 7"):
            pool.verify(Loads(tmp_path / "log", "exit"), items_of(["x"]))
        assert [score.value for score in pool.verify(Hostile(), items_of(["good"]))] == [1.0]


@pytest.mark.parametrize("workers", [0, 1])
def test_no_score_and_batch_verifiers(workers: int) -> None:
    class Broken:
        name, cost = "broken", "inline"

        def verify(self, items: Sequence[Item]) -> list[Score]:
            raise ZeroDivisionError("empty batch")

    with WorkerPool(workers) as pool:
        assert pool.verify(Hostile(), []) == []
        score = pool.verify(NoScore(), items_of(["x"]))[0]
        assert (score.value, score.reason) == (None, "no-score: returned float instead of a Score")
        assert [s.value for s in pool.verify(Unique(), items_of(["a", "b", "a"]))] == [1.0, 1.0, 0.0]
        scores = pool.verify(Broken(), items_of(["a", "b"]))  # type: ignore[arg-type]
        assert [s.status for s in scores] == [Status.ERROR] * 2


def test_pool_and_inline_agree(pool: WorkerPool) -> None:
    answers = ["good", "poor", "raise", "sys-exit", "", "\ud800 half a surrogate", "x" * 10**6] * 5
    with WorkerPool(workers=0) as inline:
        expected = inline.verify(Hostile(), items_of(answers))
    found = pool.verify(Hostile(), items_of(answers))
    assert [(s.value, s.status, s.reason) for s in found] == [(s.value, s.status, s.reason) for s in expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": -1}, "workers must be at least 0; found -1"),
        ({"workers": 1, "chunk": 0}, "chunk must be at least 1; found 0"),
        ({"workers": 1, "recycle_after": 0}, "recycle_after must be at least 1; found 0"),
        ({"workers": 1, "wall_limit_s": 0}, "wall_limit_s must be above 0; found 0"),
        ({"workers": 1, "memory_limit_mb": 1}, "memory_limit_mb must be at least 16 or None; found 1"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WorkerPool(**arguments)  # type: ignore[arg-type]
