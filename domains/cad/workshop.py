"""Workshop: where answers become measured parts. One trip to the sandbox for each new pair of program and reference.

Every geometric verifier of a rubric asks the same workshop, so a program runs once however many of them judge it, and
equal programs for one reference are built and measured once.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from domains.cad.reading import read_code
from domains.cad.screen import Refusal, screen
from sciRL.errors import UserError
from sciRL.task import Task
from sciRL.verification.base import Item
from sciRL.verification.sandbox.failure import MEASURED_CODES
from sciRL.verification.sandbox.outcome import Job, Outcome
from sciRL.verification.sandbox.pool import SandboxPool, shared_pool

CACHE_SIZE = 50_000
REFERENCE_CACHE = 4_096

SHAPE_FILES = {".step": "step", ".stp": "step", ".brep": "brep", ".stl": "stl"}
"""Kinds of shape files by ending."""
COMPARISONS = ("iou", "aligned", "frame", "chamfer")
"""Measures that need a reference."""

Fault = Literal["none", "script", "sandbox"]


@dataclass(frozen=True)
class PartReport:
    """What became of one answer.

    `code` is "ok" or a failure code; `fault` says whose failure it is: the program's ("script", which scores 0) or
    ours ("sandbox", which is no score). `measurements` are the meter's numbers, in millimetres.
    """

    code: str
    fault: Fault = "none"
    message: str = ""
    measurements: Mapping[str, Any] = field(default_factory=dict)

    @property
    def executed(self) -> bool:
        """Whether the program ran to its end and gave a shape, sound or not."""
        return self.fault == "none" or self.code in SHAPE_CODES


SHAPE_CODES = MEASURED_CODES
"""Failures that are found by measuring: the program itself ran."""


@dataclass(frozen=True)
class Reference:
    """The shape an answer is compared with: its file format and bytes, and a key that names its content."""

    kind: str
    content: bytes
    key: str


class Workshop:
    """Builds and measures the parts of answers in a pool of sandboxed processes.

    Args:
        data: the dataset folder that reference files are relative to.
        want: measures to take ("solid", "iou", "aligned", "chamfer", "holes", ...).
        bare: whether a text without a code block is itself the program.
        single: whether a part must be one solid.
        iou_budget_s: seconds an exact overlap may take.
        workers, wall_limit_s, unsafe: of the sandbox.
    """

    def __init__(
        self,
        data: Path | None,
        want: Sequence[str],
        *,
        bare: bool = False,
        single: bool = True,
        iou_budget_s: float = 5.0,
        workers: int = 2,
        wall_limit_s: float = 20.0,
        unsafe: bool = False,
    ) -> None:
        self.data, self.want, self.bare, self.single = data, tuple(sorted(want)), bare, single
        self.iou_budget_s = iou_budget_s
        self._pool_settings = {"workers": workers, "wall_limit_s": wall_limit_s, "unsafe": unsafe}
        self._known: OrderedDict[str, PartReport] = OrderedDict()
        self._references: OrderedDict[str, Reference | PartReport] = OrderedDict()

    @property
    def pool(self) -> SandboxPool:
        """The sandbox pool, started when first used and shared by all workshops of equal settings.

        Raises:
            UserError: CadQuery is not installed, or the system offers no strong isolation.
        """
        from domains.cad.kernel.profile import cad_profile

        if find_spec("cadquery") is None:
            raise UserError("running CAD programs needs CadQuery: install it with pip install 'sciRL[cad]'")

        profile = cad_profile(self._pool_settings["wall_limit_s"])
        return shared_pool(profile, self._pool_settings["workers"], unsafe=bool(self._pool_settings["unsafe"]))

    def measure(self, items: Sequence[Item]) -> list[PartReport]:
        """Return one report for each (task, answer), in order."""
        reports: list[PartReport | None] = [None] * len(items)
        programs: dict[str, tuple[str, Task]] = {}
        keys: list[str] = [""] * len(items)
        for index, (task, answer) in enumerate(items):
            code = program(answer, self.bare)
            if isinstance(code, PartReport):
                reports[index] = code
            else:
                keys[index] = self._key(code, task)
                programs.setdefault(keys[index], (code, task))
        fresh = {key: pair for key, pair in programs.items() if key not in self._known}
        if fresh:
            self._build(fresh)
        for key in programs:
            self._known.move_to_end(key)
        found = [report or self._known[key] for report, key in zip(reports, keys, strict=True)]
        while len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return found

    def blobs(self, task: Task, answer: str, want: Sequence[str]) -> tuple[PartReport, dict[str, bytes]]:
        """Build one answer again and return its report with drawings or files ("mesh", "svg", "glb", "step", "stl")."""
        code = program(answer, self.bare)
        if isinstance(code, PartReport):
            return code, {}
        outcome = self.pool.run([self._job(code, self._resolved(task), want)])[0]
        report = _report(outcome)
        names = report.measurements.get("blobs", [])
        return report, dict(zip(names, outcome.blobs, strict=False))

    def reference_blobs(self, task: Task, want: Sequence[str]) -> dict[str, bytes]:
        """Return drawings or files of a task's reference; empty where it has none that is a solid."""
        shape = _shape(task)
        if shape is None or shape["kind"] != "code":
            return {}
        outcome = self.pool.run([self._job(shape["text"], None, want)])[0]
        return dict(zip(outcome.measurements.get("blobs", []), outcome.blobs, strict=False))

    def survey(self, parts: Sequence[tuple[str, Path | None]]) -> list[PartReport]:
        """Measure parts that are no answers: a shape file where there is one, else the part that a program builds.

        Example: `survey([("", Path("bracket.step")), ("result = ...", None)])`
        """
        reports: list[PartReport | None] = [None] * len(parts)
        jobs, waiting = [], []
        for index, (code, path) in enumerate(parts):
            if path is not None:
                kind = SHAPE_FILES[path.suffix.lower()]
                request = {**self._job("", None, self.want).request, "payload": kind}
                jobs.append(Job("", request, payload=path.read_bytes()))
            elif isinstance(judged := screen(code), Refusal):
                reports[index] = PartReport(judged.code, "script", judged.message)
                continue
            else:
                jobs.append(self._job(code, None, self.want))
            waiting.append(index)
        for index, outcome in zip(waiting, self.pool.run(jobs), strict=True):
            reports[index] = _report(outcome)
        return [report for report in reports if report is not None]

    def reference(self, task: Task) -> Reference | None:
        """Return the reference shape of a task, or None when it has none.

        Raises:
            UserError: the reference is broken: a program that fails, or a file that is missing or altered.
        """
        resolved = self._resolved(task)
        if isinstance(resolved, PartReport):
            raise UserError(f"task {task.id}: its reference cannot be used: {resolved.code}: {resolved.message}")
        return resolved

    def _build(self, programs: Mapping[str, tuple[str, Task]]) -> None:
        self._resolve_programs([task for _, task in programs.values()])
        jobs, waiting = [], []
        for key, (code, task) in programs.items():
            reference = self._resolved(task)
            if isinstance(reference, PartReport):
                self._known[key] = PartReport("sandbox_error", "sandbox", f"reference: {reference.message}")
            else:
                jobs.append(self._job(code, reference, self.want))
                waiting.append(key)
        for key, outcome in zip(waiting, self._run(jobs), strict=True):
            self._known[key] = _report(outcome)

    def _run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run jobs; where an exact overlap may have outlived or crashed the meter, estimate it on points."""
        outcomes = self.pool.run(jobs)
        late = [index for index, outcome in enumerate(outcomes) if outcome.fault == "sandbox"]
        quick = [replace(jobs[index], request={**jobs[index].request, "iou_budget_s": 0.0}) for index in late]
        for index, outcome in zip(late, self.pool.run(quick) if quick else (), strict=True):
            outcomes[index] = outcome
        return outcomes

    def _job(self, code: str, reference: Reference | PartReport | None, want: Sequence[str]) -> Job:
        compared = isinstance(reference, Reference)
        request = {
            "reference": {"kind": reference.kind, "blob": 0} if isinstance(reference, Reference) else None,
            "want": [name for name in want if compared or name not in COMPARISONS],
            "seed": int(hashlib.sha256(code.encode(errors="replace")).hexdigest()[:8], 16),
            "iou_budget_s": self.iou_budget_s,
            "single": self.single,
        }
        return Job(code, request, (reference.content,) if isinstance(reference, Reference) else ())

    def _key(self, code: str, task: Task) -> str:
        return hashlib.sha256(f"{_reference_key(task)}\0{code}".encode(errors="replace")).hexdigest()

    def _resolve_programs(self, tasks: Sequence[Task]) -> None:
        """Build the references that are programs, in one batch."""
        wanted: dict[str, str] = {}
        for task in tasks:
            shape, key = _shape(task), _reference_key(task)
            if shape and shape["kind"] == "code" and key not in self._references:
                wanted[key] = shape["text"]
        if not wanted:
            return
        request = {"reference": None, "want": ["brep"], "seed": 0, "iou_budget_s": 0.0, "single": False}
        outcomes = self.pool.run([Job(text, request) for text in wanted.values()])
        for key, outcome in zip(wanted, outcomes, strict=True):
            report = _report(outcome)
            self._references[key] = Reference("brep", outcome.blobs[0], key) if report.code == "ok" else report
        while len(self._references) > max(REFERENCE_CACHE, len(tasks)):
            self._references.popitem(last=False)

    def _resolved(self, task: Task) -> Reference | PartReport | None:
        shape = _shape(task)
        if shape is None:
            return None
        key = _reference_key(task)
        if key not in self._references:
            if shape["kind"] == "code":
                self._resolve_programs([task])
            else:
                self._references[key] = self._read_file(shape, key)
        return self._references[key]

    def _read_file(self, shape: Mapping[str, Any], key: str) -> Reference | PartReport:
        path = (self.data or Path()) / shape["path"]
        try:
            content = path.read_bytes()
        except OSError as error:
            return PartReport("sandbox_error", "sandbox", f"{path}: cannot be read: {error.strerror}")
        if hashlib.sha256(content).hexdigest() != shape["sha256"]:
            return PartReport("sandbox_error", "sandbox", f"{path}: is not the file the dataset was built with")
        return Reference(shape["kind"], content, key)


def program(answer: str, bare: bool) -> str | PartReport:
    """Return the program of an answer when it may run, or the report that says why not."""
    reading = read_code(answer, bare)
    if reading.code is None:
        return PartReport("no_code", "script", reading.problem)
    judged = screen(reading.code)
    return PartReport(judged.code, "script", judged.message) if isinstance(judged, Refusal) else reading.code


def _shape(task: Task) -> Mapping[str, Any] | None:
    reference = task.reference
    return reference.get("shape") if isinstance(reference, dict) else None


def _reference_key(task: Task) -> str:
    shape = _shape(task)
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest() if shape else ""


def _report(outcome: Outcome) -> PartReport:
    return PartReport(outcome.code, outcome.fault, outcome.message, outcome.measurements)
