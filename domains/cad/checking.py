"""A measured part against its spec: one assertion for each number, and two kinds of error that CAD-RL names.

An assertion is met when the measured length differs by at most the spec's tolerance (mm), the volume by at most 1 %.
A stated dimension must be found among the lengths of the part (see `kernel.lengths`); one that the reference itself
does not show, such as the diameter of a circle of five holes, cannot be checked and is no assertion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domains.cad.spec import HoleSpec, Spec

VOLUME_TOLERANCE = 0.01
PARALLEL = 1e-3
"""Largest difference from 1 of the cosine of two axes that count as parallel."""
FRAME_GAIN = 0.2
"""Overlap that turning and moving a part must gain before its frame counts as misplaced (CAD-RL card)."""
SAME_SIZE = 0.01


@dataclass(frozen=True)
class Assertion:
    """One number of a spec and what was found in its place."""

    name: str
    wanted: float
    found: float | None
    met: bool

    def __str__(self) -> str:
        found = "nothing" if self.found is None else f"{self.found:.6g}"
        return f"{self.name}: asked {self.wanted:.6g}, found {found}"


def check(spec: Spec, measured: Mapping[str, Any]) -> list[Assertion]:
    """Return every assertion of a spec over a measured part.

    Args:
        spec: what was asked.
        measured: the meter's measurements "solid", "holes" and "lengths", with the "reference"'s if there is one.

    Example: a 60 x 40 x 8 plate that should have one 5 mm hole and has none meets box, bodies, not the hole, and its
    volume only when the hole takes less than 1 % of it.
    """
    solid = measured["solid"]
    assertions = [Assertion("bodies", spec.n_solids, solid["n_solids"], solid["n_solids"] == spec.n_solids)]
    for axis, wanted, found in zip("xyz", spec.box, solid["box"], strict=True):
        assertions.append(Assertion(f"box.{axis}", wanted, found, abs(found - wanted) <= spec.tolerance))
    volume = solid["volume"]
    close = abs(volume - spec.volume) <= VOLUME_TOLERANCE * spec.volume
    assertions.append(Assertion("volume", spec.volume, volume, close))
    # A mesh shows no holes that could be counted: a spec taken from one says nothing of them.
    if "holes" in measured.get("reference", measured):
        holes = measured["holes"]
        assertions.append(Assertion("number of holes", len(spec.holes), len(holes), len(spec.holes) == len(holes)))
        assertions += _check_holes(spec, holes)
    lengths = measured.get("lengths", ())
    shown = measured.get("reference", {}).get("lengths", lengths)
    named = ((name, size) for name, size in spec.dimensions.items() if _nearest(name, size, shown, spec.tolerance).met)
    return assertions + [_nearest(name, size, lengths, spec.tolerance) for name, size in named]


def frame_error(measured: Mapping[str, Any]) -> bool:
    """Whether the part fits its reference much better when it is turned and moved: its frame is misplaced."""
    if "frame" not in measured or "iou" not in measured:
        return False
    return measured["frame"]["value"] - measured["iou"]["value"] > FRAME_GAIN


def parameter_error(spec: Spec, measured: Mapping[str, Any]) -> bool:
    """Whether the sizes of the box are the asked ones in another order: parameters bound to the wrong feature.

    Example: 40 x 60 x 8 where 60 x 40 x 8 was asked.
    """
    found, wanted = measured["solid"]["box"], spec.box
    return _agree(sorted(found), sorted(wanted)) and not _agree(found, wanted)


def spec_from(measured: Mapping[str, Any]) -> Spec:
    """Return the spec that a measured part meets, for parts that come without one: box, volume, bodies and holes."""
    solid = measured["solid"]
    box = solid["box"]
    holes = tuple(
        HoleSpec(hole["d"], _triple(hole["axis"]), _triple(hole["position"]), hole["depth"], hole["through"])
        for hole in measured.get("holes", ())
        if hole["depth"] > 0
    )
    # A part of a few micrometres cannot be judged with the tolerance of one of centimetres.
    tolerance = min(Spec.tolerance, 1e-3 * max(box))
    return Spec(_triple(box), min(solid["volume"], math.prod(box)), solid["n_solids"], holes, {}, tolerance)


def describe_spec(spec: Spec) -> str:
    """Return a spec in words, in millimetres.

    Example: ``A part of 60 x 40 x 8 mm with a volume of 19042.9 mm^3. Hole: diameter 5 mm, depth 8 mm, through, at
    (20, 12.5, 0) along (0, 0, 1).``
    """
    size = " x ".join(f"{length:.6g}" for length in spec.box)
    solids = "" if spec.n_solids == 1 else f" in {spec.n_solids} solids"
    sentences = [f"A part of {size} mm{solids} with a volume of {spec.volume:.6g} mm^3."]
    for hole in spec.holes:
        end = "through" if hole.through else "blind"
        place, axis = (", ".join(f"{part:.6g}" for part in vector) for vector in (hole.position, hole.axis))
        sentences.append(
            f"Hole: diameter {hole.d:.6g} mm, depth {hole.depth:.6g} mm, {end}, at ({place}) along ({axis})."
        )
    return " ".join(sentences)


def stated_numbers(spec: Spec) -> list[float]:
    """Return the lengths a description states: its dimensions, or box and hole diameters where it names none."""
    numbers = list(spec.dimensions.values()) or [*spec.box, *(hole.d for hole in spec.holes)]
    return list(dict.fromkeys(numbers))


def _check_holes(spec: Spec, holes: Sequence[Mapping[str, Any]]) -> list[Assertion]:
    """Match each asked hole with the nearest measured one that nobody has taken; diameter, place and depth must fit."""
    left = list(range(len(holes)))
    assertions = []
    for index, wanted in enumerate(spec.holes):
        fitting = [i for i in left if _fits(wanted, holes[i], spec.tolerance)]
        if fitting:
            left.remove(fitting[0])
            assertions.append(Assertion(f"hole {index + 1}", wanted.d, holes[fitting[0]]["d"], True))
        else:
            nearest = min(left, key=lambda i: abs(holes[i]["d"] - wanted.d), default=None)
            found = None if nearest is None else holes[nearest]["d"]
            assertions.append(Assertion(f"hole {index + 1} (diameter, place or depth)", wanted.d, found, False))
    return assertions


def _fits(wanted: HoleSpec, hole: Mapping[str, Any], tolerance: float) -> bool:
    cosine = abs(sum(a * b for a, b in zip(wanted.axis, hole["axis"], strict=True)))
    if cosine < 1 - PARALLEL or abs(hole["d"] - wanted.d) > tolerance or hole["through"] != wanted.through:
        return False
    if abs(hole["depth"] - wanted.depth) > tolerance:
        return False
    offset = [a - b for a, b in zip(hole["position"], wanted.position, strict=True)]
    along = sum(a * b for a, b in zip(offset, wanted.axis, strict=True))
    across = math.sqrt(max(0.0, sum(part * part for part in offset) - along * along))
    return across <= tolerance


def _nearest(name: str, wanted: float, lengths: Sequence[float], tolerance: float) -> Assertion:
    found = min(lengths, key=lambda length: abs(length - wanted), default=None)
    return Assertion(name, wanted, found, found is not None and abs(found - wanted) <= tolerance)


def _agree(found: Sequence[float], wanted: Sequence[float]) -> bool:
    return all(abs(a - b) <= SAME_SIZE * b for a, b in zip(found, wanted, strict=True))


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)
