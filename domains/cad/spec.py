"""What a part must measure: overall size, volume, number of solids, holes and stated dimensions, in millimetres."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sciRL.errors import UserError

DEFAULT_TOLERANCE = 0.05
"""Millimetres that a measured length may differ from the stated one."""
_SLACK = 1e-9


@dataclass(frozen=True)
class HoleSpec:
    """A round hole.

    Attributes:
        d: diameter (mm).
        axis: unit vector along the hole; its sign means nothing.
        position: the middle of the hole (mm), a point on its axis.
        depth: length of the cylindrical wall (mm).
        through: whether it is open at both ends.

    Raises:
        UserError: a number that is not finite, a diameter or depth <= 0, or an axis that is no unit vector.
    """

    d: float
    axis: tuple[float, float, float]
    position: tuple[float, float, float]
    depth: float
    through: bool

    def __post_init__(self) -> None:
        _positive("d", self.d)
        _positive("depth", self.depth)
        length = math.sqrt(sum(part * part for part in self.axis))
        if not abs(length - 1) <= 1e-6:
            raise UserError(f"axis: found a vector of length {length:g}; allowed is a unit vector")
        if not all(map(math.isfinite, self.position)):
            raise UserError(f"position: found {list(self.position)}; allowed are three finite numbers")


@dataclass(frozen=True)
class Spec:
    """What a part must measure, in millimetres and cubic millimetres.

    Attributes:
        box: size along x, y and z of the axis-aligned bounding box.
        volume: volume of the material.
        n_solids: number of separate bodies.
        holes: its round holes.
        dimensions: lengths that its description states, by name.
        tolerance: how far a measured length may be off.

    Raises:
        UserError: an impossible spec (a negative size, a volume above that of the box, a hole wider or deeper than the
            box), naming the key.

    Example:
        >>> Spec(box=(60, 40, 8), volume=20000)
        Traceback (most recent call last):
        sciRL.errors.UserError: impossible spec: volume: found 20000 mm^3; allowed is at most that of the box, 19200
    """

    box: tuple[float, float, float]
    volume: float
    n_solids: int = 1
    holes: tuple[HoleSpec, ...] = ()
    dimensions: Mapping[str, float] = field(default_factory=dict)
    tolerance: float = DEFAULT_TOLERANCE

    def __post_init__(self) -> None:
        try:
            self._check()
        except UserError as error:
            raise UserError(f"impossible spec: {error}") from None

    def _check(self) -> None:
        for axis, size in zip("xyz", self.box, strict=True):
            _positive(f"box.{axis}", size)
        _positive("volume", self.volume)
        room = math.prod(self.box)
        if self.volume > room * (1 + _SLACK):
            raise UserError(f"volume: found {self.volume:.10g} mm^3; allowed is at most that of the box, {room:.10g}")
        if self.n_solids < 1:
            raise UserError(f"n_solids: found {self.n_solids}; allowed is at least 1")
        if not 0 <= self.tolerance < math.inf:
            raise UserError(f"tolerance: found {self.tolerance}; allowed is a finite number >= 0")
        for name, size in self.dimensions.items():
            _positive(f"dimensions.{name}", size)
        for index, hole in enumerate(self.holes):
            self._check_hole(f"holes[{index}]", hole)

    def _check_hole(self, key: str, hole: HoleSpec) -> None:
        """Refuse a hole that cannot lie in the box.

        Along an axis of the box at the cosine a to the hole, a disc of diameter d spans d sqrt(1 - a^2), and a wall of
        depth h, which a slanted end may lengthen on one side, at least h |a| less that span.
        """
        for size, part in zip(self.box, hole.axis, strict=True):
            span = hole.d * math.sqrt(max(0.0, 1 - part * part))
            if span > size * (1 + _SLACK):
                raise UserError(f"{key}.d: found {hole.d:.10g} mm; the box is only {size:.10g} mm there")
            if hole.depth * abs(part) - span > size * (1 + _SLACK):
                raise UserError(f"{key}.depth: found {hole.depth:.10g} mm; the box is not that deep")

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON; `from_json` reads it back."""
        data = asdict(self)
        data["box"] = list(self.box)
        data["dimensions"] = dict(self.dimensions)
        data["holes"] = [
            {**asdict(hole), "axis": list(hole.axis), "position": list(hole.position)} for hole in self.holes
        ]
        return data

    @classmethod
    def from_json(cls, data: Any) -> Spec:
        """Read a spec from parsed JSON.

        Raises:
            UserError: a field that is missing, unknown, of the wrong type or impossible, by its key.
        """
        row = _mapping("spec", data, required=("box", "volume"), allowed=tuple(f.name for f in fields(cls)))
        holes = row.get("holes", [])
        if not _is_list(holes):
            raise UserError(f"spec: holes: found {holes!r}; allowed is a list of holes")
        stated = row.get("dimensions", {})
        if not isinstance(stated, Mapping):
            raise UserError(f"spec: dimensions: found {stated!r}; allowed is a mapping from names to lengths")
        n_solids = row.get("n_solids", 1)
        if isinstance(n_solids, bool) or not isinstance(n_solids, int):
            raise UserError(f"spec: n_solids: found {n_solids!r}; allowed is a whole number >= 1")
        return cls(
            _vector("spec: box", row["box"]),
            _number("spec: volume", row["volume"]),
            n_solids,
            tuple(_read_hole(f"spec: holes[{index}]", hole) for index, hole in enumerate(holes)),
            {str(name): _number(f"spec: dimensions.{name}", size) for name, size in stated.items()},
            _number("spec: tolerance", row.get("tolerance", DEFAULT_TOLERANCE)),
        )


def _read_hole(key: str, data: Any) -> HoleSpec:
    names = tuple(f.name for f in fields(HoleSpec))
    row = _mapping(key, data, required=names, allowed=names)
    if not isinstance(row["through"], bool):
        raise UserError(f"{key}.through: found {row['through']!r}; allowed are true and false")
    numbers = {name: _number(f"{key}.{name}", row[name]) for name in ("d", "depth")}
    vectors = {name: _vector(f"{key}.{name}", row[name]) for name in ("axis", "position")}
    try:
        return HoleSpec(numbers["d"], vectors["axis"], vectors["position"], numbers["depth"], row["through"])
    except UserError as error:
        raise UserError(f"impossible {key}.{error}") from None


def _mapping(key: str, data: Any, required: Sequence[str], allowed: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise UserError(f"{key}: found {type(data).__name__}; allowed is a mapping with {', '.join(allowed)}")
    missing = [name for name in required if name not in data]
    if missing:
        raise UserError(f"{key}: missing field {missing[0]!r}; required are {', '.join(required)}")
    unknown = [name for name in data if name not in allowed]
    if unknown:
        raise UserError(f"{key}: unknown field {unknown[0]!r}; allowed are {', '.join(allowed)}")
    return data


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"{key}: found {value!r}; allowed is a number")
    return float(value)


def _vector(key: str, value: Any) -> tuple[float, float, float]:
    if not _is_list(value) or len(value) != 3:
        raise UserError(f"{key}: found {value!r}; allowed is a list of three numbers")
    x, y, z = (_number(f"{key}[{index}]", part) for index, part in enumerate(value))
    return x, y, z


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _positive(key: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise UserError(f"{key}: found {value}; allowed is a finite number > 0")
