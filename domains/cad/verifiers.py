"""CAD verifiers: each judges one property of the part an answer builds; `domains.cad.rubrics` puts them in order.

None of them scores without a sound solid, except `Executable`, which rubrics use as a gate. A failure of the sandbox is
status `error` or `timeout`, never a zero.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from domains.cad.checking import check, frame_error, parameter_error, stated_numbers
from domains.cad.literals import share_present
from domains.cad.screen import Refusal, screen
from domains.cad.spec import Spec
from domains.cad.workshop import PartReport, Workshop, program
from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import Cost, Item


class PartVerifier(ABC):
    """Base of the verifiers that judge the measured part of an answer; the workshop builds a batch in one trip."""

    name: str
    cost: Cost = "sandbox"
    needs_solid = True

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def verify(self, items: Sequence[Item]) -> list[Score]:
        """Return one score per item, in order."""
        reports = self.workshop.measure(items)
        return [self._score(task, answer, report) for (task, answer), report in zip(items, reports, strict=True)]

    def _score(self, task: Task, answer: str, report: PartReport) -> Score:
        if report.fault == "sandbox":
            status = Status.TIMEOUT if report.code == "meter_timeout" else Status.ERROR
            return Score.failed(status, f"{report.code}: {report.message}")
        if report.code == "no_code":
            return Score.malformed(report.message, code=report.code)
        if self.needs_solid and report.code != "ok":
            return Score.ok(0.0, f"{report.code}: {report.message}", code=report.code)
        try:
            return self.judge(task, answer, report)
        except (KeyError, TypeError, ValueError) as error:
            return Score.failed(Status.ERROR, f"{self.name}: {type(error).__name__}: {error}")

    @abstractmethod
    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Return the score of a part that was built (and, unless `needs_solid` is off, is sound)."""


class Executable(PartVerifier):
    """1 when the program runs to its end and gives a shape, sound or not (CAD-RL's R_exec, arXiv 2508.10118)."""

    name = "executable"
    needs_solid = False

    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Accept what ran; the failure code says what did not."""
        if report.executed:
            return Score.ok(1.0, code=report.code)
        return Score.ok(0.0, f"{report.code}: {report.message}", code=report.code)


class Solid(PartVerifier):
    """1 when the shape is a sound solid: closed, valid, finite, of positive volume, and one unless several may be."""

    name = "solid"

    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Accept, and record what reports need of every part."""
        solid = report.measurements["solid"]
        kept = {name: solid[name] for name in ("volume", "area", "box", "n_solids", "n_faces")}
        return Score.ok(1.0, code="ok", **kept)


class Overlap(PartVerifier):
    """Volumetric intersection over union with the reference, both as they stand: no shift, turn or scale."""

    name = "iou"

    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Return the overlap; a part without a reference cannot be judged and is an error."""
        overlap = report.measurements["iou"]
        value = min(1.0, max(0.0, float(overlap["value"])))
        return Score.ok(value, f"overlap {value:.3f}", iou=value, iou_method=overlap["method"])


class AlignedOverlap(PartVerifier):
    """Overlap after the best of 24 rotations about the centres of mass: a diagnostic of misplaced frames."""

    name = "aligned"

    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Return the aligned overlap."""
        value = min(1.0, max(0.0, float(report.measurements["aligned"]["value"])))
        return Score.ok(value, f"aligned overlap {value:.3f}", aligned_iou=value)


class Sizes(PartVerifier):
    """Agreement of box (each axis), volume and area with the reference: 1 minus the largest relative error."""

    name = "sizes"

    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Return the agreement and record the errors."""
        errors = size_errors(report.measurements)
        worst = max(errors, key=lambda name: errors[name])
        value = max(0.0, 1.0 - errors[worst])
        return Score.ok(value, f"{worst} off by {errors[worst]:.1%}" if value < 1 else "", size_errors=errors)


class Chamfer(PartVerifier):
    """Piecewise chamfer score of CAD-Coder (NeurIPS 2025): 1 up to `best`, 0 from `worst` on, linear between.

    The distance is that of cadrille's evaluation over a shared frame (see `kernel.chamfer`), here not times 1,000.
    """

    name = "chamfer"

    def __init__(self, workshop: Workshop, best: float = 1e-5, worst: float = 0.5) -> None:
        super().__init__(workshop)
        self.best, self.worst = best, worst

    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Return the piecewise score; distances below the sampling noise count as 0."""
        measured = report.measurements["chamfer"]
        distance, floor = measured["value"] / 1000, measured["floor"] / 1000
        excess = max(0.0, distance - floor)
        value = min(1.0, max(0.0, (self.worst - excess) / (self.worst - self.best)))
        return Score.ok(value, f"chamfer {distance:.4g}, floor {floor:.4g}", chamfer=distance, chamfer_floor=floor)


class SpecCheck(PartVerifier):
    """Share of the spec's assertions that the measured part meets, less 0.5 for each of two kinds of error.

    The kinds are CAD-RL's (section 3.2): a misplaced frame and parameters bound to the wrong feature. They are
    measured, not guessed by a language model: see `checking`.
    """

    name = "spec"

    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Return the share with its deductions; the reason names the first assertion that is not met."""
        spec = spec_of(task)
        if spec is None:
            raise ValueError("the task has no spec")
        assertions = check(spec, report.measurements)
        met = sum(assertion.met for assertion in assertions) / len(assertions)
        kinds = [
            name
            for name, found in (
                ("frame", frame_error(report.measurements)),
                ("parameters", parameter_error(spec, report.measurements)),
            )
            if found
        ]
        reason = next((str(assertion) for assertion in assertions if not assertion.met), "")
        value = max(0.0, met - 0.5 * len(kinds))
        return Score.ok(value, reason, spec_met=met, spec_errors=kinds)


class LiteralPrecision(PartVerifier):
    """Share of the spec's numbers that stand in the program as literals or constants made of them; never paid alone."""

    name = "literals"

    def judge(self, task: Task, answer: str, report: PartReport) -> Score:
        """Return the share; only a sound solid gets here."""
        spec = spec_of(task)
        if spec is None:
            raise ValueError("the task has no spec")
        code = program(answer, self.workshop.bare)
        tree = screen(code) if isinstance(code, str) else None
        if tree is None or isinstance(tree, Refusal):
            raise ValueError("a part without a program")
        return Score.ok(share_present(tree, stated_numbers(spec)), "share of the asked numbers in the code")


def spec_of(task: Task) -> Spec | None:
    """Return the spec of a task, or None."""
    reference = task.reference
    data = reference.get("spec") if isinstance(reference, dict) else None
    return None if data is None else Spec.from_json(data)


def size_errors(measurements: Mapping[str, Any]) -> dict[str, float]:
    """Return the relative errors of box axes, volume and area against the reference, by name.

    Example: a 10.1 x 5 x 2 part against 10 x 5 x 2 gives x 0.01, y 0, z 0, volume 0.01.
    """
    found, wanted = measurements["solid"], measurements["reference"]["solid"]
    pairs = {axis: (found["box"][i], wanted["box"][i]) for i, axis in enumerate("xyz")}
    pairs |= {name: (found[name], wanted[name]) for name in ("volume", "area")}
    return {name: _relative(a, b) for name, (a, b) in pairs.items()}


def _relative(found: float, wanted: float) -> float:
    error = abs(found - wanted) / abs(wanted) if wanted else math.inf
    return error if math.isfinite(error) else 1.0
