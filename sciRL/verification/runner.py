"""Around verification: stop a run whose verifier fails, and score a file of answers without a run."""

from __future__ import annotations

import json
import math
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciRL.errors import UserError
from sciRL.run.statistics import wilson_interval
from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import Item, Rubric
from sciRL.verification.pool import WorkerPool

MIN_SAMPLES = 100
ANSWER_KEYS = ("answer", "completion", "text", "response")
LISTED = 20


class VerifierFailure(UserError):  # noqa: N818
    """The verifier, not the policy, is at fault: training on would learn nothing or the wrong thing."""


class FailureMonitor:
    """Stops a run when the verifier fails too often, or when its score no longer says anything.

    Args:
        max_failure_share: largest share of `timeout` and `error` among the samples of the window.
        constant_steps: stop after this many steps in a row in which a domain's every score was one and the
            same value (0: never).
        window: number of steps over which failures are counted.

    The share is judged once the window holds `MIN_SAMPLES` samples, as one timeout in a first small step is no
    1 %; a step in which every sample failed stops the run at once.

    Example:
        >>> monitor = FailureMonitor(max_failure_share=0.01, constant_steps=3)
        >>> monitor.observe([Score.ok(0.0), Score.ok(1.0)])
        >>> monitor.observe([Score.failed(Status.TIMEOUT, "hull: over 10 s")])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        sciRL.verification.runner.VerifierFailure: the verifier failed on 1 of 1 samples of this step ...
    """

    def __init__(self, max_failure_share: float = 0.01, constant_steps: int = 50, window: int = 20) -> None:
        if not 0 <= max_failure_share <= 1:
            raise UserError(f"max_failure_share must be in [0, 1]; found {max_failure_share}")
        if constant_steps < 0 or window < 1:
            raise UserError(f"constant_steps must be >= 0 and window >= 1; found {constant_steps} and {window}")
        self.max_failure_share = max_failure_share
        self.constant_steps = constant_steps
        self.window = window
        self._steps: deque[dict[str, int]] = deque(maxlen=window)
        self._constant: dict[str, tuple[float, int]] = {}

    def observe(self, scores: Sequence[Score], domain: str = "") -> None:
        """Take note of the scores of one step.

        Raises:
            VerifierFailure: a limit is passed; the message gives counts and the most frequent reasons.
        """
        if not scores:
            return
        self._steps.append(dict(Counter(score.status.value for score in scores)))
        self._check_share(scores)
        self._check_constant(scores, domain)

    def _check_share(self, scores: Sequence[Score]) -> None:
        failed = [score for score in scores if not score.scorable]
        if len(failed) == len(scores):
            raise VerifierFailure(
                f"the verifier failed on {len(failed)} of {len(scores)} samples of this step ({_reasons(failed)}); "
                "no score can be trusted"
            )
        counts = self.counts
        total = sum(counts.values())
        lost = counts[Status.TIMEOUT] + counts[Status.ERROR]
        if total >= MIN_SAMPLES and lost > self.max_failure_share * total:
            raise VerifierFailure(
                f"the verifier failed on {lost} of {total} samples of the last {len(self._steps)} steps "
                f"({counts[Status.TIMEOUT]} timeout, {counts[Status.ERROR]} error; allowed: "
                f"{self.max_failure_share:.3g} of them); in this step: {_reasons(failed) or 'none'}. "
                "Raise the verifier's time limit, mend the verifier, or raise max_failure_share"
            )

    def _check_constant(self, scores: Sequence[Score], domain: str) -> None:
        values = {score.value for score in scores if score.value is not None}
        if not values:
            return
        if len(values) > 1:
            self._constant.pop(domain, None)
            return
        value = values.pop()
        before, steps = self._constant.get(domain, (value, 0))
        steps = steps + 1 if before == value else 1
        self._constant[domain] = (value, steps)
        if self.constant_steps and steps >= self.constant_steps:
            where = f" of domain {domain!r}" if domain else ""
            raise VerifierFailure(
                f"every score{where} has been {value:g} for {steps} steps ({_reasons(scores) or 'no reason given'}): "
                "there is nothing to learn from it. Check the rubric and the answer format, start from a policy that "
                "gets some answers right, or raise the number of steps allowed"
            )

    @property
    def counts(self) -> Counter[str]:
        """Samples of the window by status."""
        total: Counter[str] = Counter()
        for step in self._steps:
            total.update(step)
        return total

    def state_dict(self) -> dict[str, Any]:
        """Return the window and the constant streaks (JSON-compatible)."""
        return {"steps": list(self._steps), "constant": {name: list(pair) for name, pair in self._constant.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._steps = deque((dict(step) for step in state["steps"]), maxlen=self.window)
        self._constant = {name: (float(pair[0]), int(pair[1])) for name, pair in state["constant"].items()}


def verify_file(
    rubric: Rubric,
    tasks: Mapping[str, Task],
    answers: Path,
    out: Path,
    pool: WorkerPool | None = None,
    domain: str = "",
) -> dict[str, Any]:
    """Score a JSON-lines file of answers, write one score a line and return a summary.

    A row holds one answer (`answer`, `completion`, `text` or `response`; a string or chat messages, of which the
    last is taken) and its question: `task` (a whole task), `id` (of `tasks`), or `prompt` and `reference`.
    Rows that cannot be read are not scored and are listed by line in the summary. An output row is
    `{"line", "id", "value", "components", "status", "reason", "measurements"}`.

    Args:
        rubric: what scores the answers; all rows are one batch (uniqueness compares them).
        tasks: questions by id.
        answers: the file to read.
        out: the file to write (aside, then renamed).
        pool: where per-item stages run; None makes a pool of one worker if the rubric asks for one.
        domain: domain name of rows that bring their own prompt (default: that of `tasks`).

    Returns:
        `n` (answers scored), `mean_value` (over answers with a value), `pass_rate` and `pass_interval` (Wilson, 95 %,
        over all answers), `components` (mean of each stage), a count for each status, `reasons` (the most frequent),
        `bad_rows` and `problems`.

    Raises:
        UserError: the file cannot be read, holds no readable row, or is also the output.

    Example:
        the line `{"prompt": "6*7?", "reference": 42, "answer": "<answer>42</answer>"}`
    """
    if out.exists() and answers.exists() and out.samefile(answers):
        raise UserError(f"{out}: the scores would overwrite the answers; name another output file")
    name = domain or next((task.domain for task in tasks.values()), "")
    rows, problems = _read_rows(answers, tasks, name)
    if not rows:
        found = "; ".join(problems[:3]) or "the file is empty"
        raise UserError(f"{answers}: no row can be scored: {found}")
    items = [row.item for row in rows]
    if pool is not None:
        scores = pool.verify(rubric, items)
    else:
        with WorkerPool(workers=0 if rubric.cost == "inline" else 1) as own:
            scores = own.verify(rubric, items)
    _write_scores(out, rows, scores)
    return summarize_scores(scores) | {"bad_rows": len(problems), "problems": problems[:LISTED]}


def summarize_scores(scores: Sequence[Score]) -> dict[str, Any]:
    """Return count, mean value, pass rate with its Wilson interval, status counts and frequent reasons.

    A score passes when its rubric says so (`measurements["passed"]`), or, without a rubric, when its value is 1.
    """
    values = [score.value for score in scores if score.value is not None]
    passed = sum(bool(score.measurements.get("passed", score.value == 1.0)) for score in scores if score.scorable)
    reasons = Counter(score.reason for score in scores if score.reason)
    statuses = Counter(score.status for score in scores)
    return {
        "n": len(scores),
        "mean_value": math.fsum(values) / len(values) if values else None,
        "pass_rate": passed / len(scores) if scores else None,
        "pass_interval": wilson_interval(passed, len(scores)),
        "components": _component_means(scores),
        **{status.value: statuses[status] for status in Status},
        "reasons": dict(reasons.most_common(5)),
    }


def _component_means(scores: Sequence[Score]) -> dict[str, float]:
    """Return the mean of each component over the answers that have a value; a stage that was not reached is 0."""
    scored = [score for score in scores if score.value is not None]
    names = dict.fromkeys(name for score in scored for name in score.components)
    return {name: math.fsum(score.components.get(name, 0.0) for score in scored) / len(scored) for name in names}


@dataclass(frozen=True)
class _Row:
    line: int
    item: Item


def _read_rows(path: Path, tasks: Mapping[str, Task], domain: str) -> tuple[list[_Row], list[str]]:
    rows, problems = [], []
    for number, line in _lines(path):
        try:
            data = json.loads(line.decode("utf-8-sig"))
            rows.append(_Row(number, (_task(data, tasks, domain), _answer(data))))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            problems.append(f"line {number}: {str(error)[:300]}")
    return rows, problems


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _task(data: Any, tasks: Mapping[str, Task], domain: str) -> Task:
    if not isinstance(data, dict):
        raise ValueError(f"needs a JSON object; found {type(data).__name__}")
    if "task" in data:
        return Task.from_dict(data["task"])
    if data.get("id") in tasks:
        return tasks[data["id"]]
    if "prompt" in data:
        if "reference" not in data:
            raise ValueError("a row with 'prompt' needs 'reference' too (null where the domain has none)")
        prompt = data["prompt"]
        messages = ({"role": "user", "content": prompt},) if isinstance(prompt, str) else tuple(prompt)
        return Task(domain, messages, reference=data["reference"], inputs=data.get("inputs") or {})
    if "id" in data:
        raise ValueError(f"no task has the id {data['id']!r} ({len(tasks)} tasks are known)")
    raise ValueError(f"needs 'task', 'id', or 'prompt' and 'reference'; found the keys {sorted(data)}")


def _answer(data: Mapping[str, Any]) -> str:
    found = [key for key in ANSWER_KEYS if key in data]
    if len(found) != 1:
        raise ValueError(f"needs exactly one of {', '.join(ANSWER_KEYS)}; found {', '.join(found) or 'none'}")
    answer = data[found[0]]
    if isinstance(answer, list) and answer and isinstance(answer[-1], dict):
        answer = answer[-1].get("content")
    if not isinstance(answer, str):
        raise ValueError(f"{found[0]!r} must be a string or chat messages; found {type(answer).__name__}")
    return answer


def _write_scores(out: Path, rows: Sequence[_Row], scores: Sequence[Score]) -> None:
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out.parent}: is no folder and cannot be made one: {error.strerror}") from error
    try:
        with aside.open("w") as file:
            for row, score in zip(rows, scores, strict=True):
                record = {"line": row.line, "id": row.item[0].id, **score.to_dict()}
                file.write(json.dumps(_plain(record), allow_nan=False) + "\n")
        os.replace(aside, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Return what JSON can hold: numpy values as Python's, what is not finite as null, other objects as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _reasons(scores: Sequence[Score]) -> str:
    counted = Counter(score.reason for score in scores if score.reason).most_common(3)
    return "; ".join(f"{count}x {reason[:200]}" for reason, count in counted)
