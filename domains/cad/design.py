"""The structured design language: a part as a few lines, one feature a line, with explicit frames and millimetres.

A 60 x 40 x 8 plate with rounded corners, a boss, a bore and eight bolt holes::

    base: box x=60 y=40 z=8 r=3 at (0,0,0) centred
    add: cylinder d=20 h=12 at (0,0,8)
    hole: d=10 through at (0,0)
    hole: d=4 through n=4x2 pitch=(12,28)

The first line is the base; each later line adds to, or takes from, what stands so far. Z is up. `at` of a box is the
centre of its bottom (`centred`) or its lowest corner (`corner`); of a round shape, the centre of its first face.

=============  ==========================================================================================
line           meaning
=============  ==========================================================================================
box            x, y, z sizes; r rounds the four vertical edges
cylinder       d, h; axis=x, y or z (default) from `at` onwards
hexagon        prism of height h, `flats` across flats, two of which face +x and -x
ring           tube of height h between the diameters outer and inner
revolve        outline of (r,z) points turned about the z axis
prism          outline of (x,z) points, width w centred on y = 0
hole           d; through or depth=; axis; at points, n=COLUMNSxROWS pitch=(x,y) or one for both, or n= circle=
slot           through z; x, y overall sizes, the shorter sides round; at points
shell          wall t, open at the top; directly after a base box
=============  ==========================================================================================

`base`, `add` and `cut` take any of the first six. Points of a hole are (x,y) along z, (y,z) along x, (x,z) along y. A
through hole passes all that stands so far; a blind one starts at the far +z, +x or -y side of it. `#` starts a comment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from domains.cad.design_features import (
    Axis,
    Block,
    Box,
    Circle,
    Cylinder,
    Feature,
    Frame,
    Grid,
    Hexagon,
    Hole,
    Places,
    Points,
    Prism,
    Revolve,
    Ring,
    Role,
    Shell,
    Slot,
    number,
)
from sciRL.errors import UserError

_HEAD = re.compile(r"\s*([a-z]+)\s*:(.*)")
_ITEM = re.compile(
    r"\s*(?:(?P<key>[a-z]+)=(?P<value>\([^()]*\)|[^\s()]+)|(?P<point>\([^()]*\))|(?P<word>[a-z]+)(?=\s|\(|$))"
)
_NUMBER = re.compile(r"[+-]?([0-9]{1,12}(\.[0-9]{0,400})?|\.[0-9]{1,400})")
_EXAMPLE = "base: box x=60 y=40 z=8 at (0,0,0) centred"


@dataclass(frozen=True)
class Design:
    """A part as features in order; `str` of it is its text, which `parse_design` reads.

    Raises:
        UserError: no base at the front, a second base, or a shell that does not follow a large enough base box.
    """

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        _check_order(self.features, lambda index: f"feature {index + 1}")

    def __str__(self) -> str:
        return "\n".join(feature.line() for feature in self.features)


def parse_design(text: str, source: str = "design") -> Design:
    """Read the text of a design.

    Args:
        text: the lines; empty lines and comments are skipped.
        source: the file's name, for messages.

    Raises:
        UserError: a line that cannot be read or that cannot stand where it does, with its number, what was found and
            what is allowed.

    Example:
        >>> str(parse_design("base: cylinder d=20.0 h=4 at (0, 0, 0)  # a disc"))
        'base: cylinder d=20 h=4 at (0,0,0)'
    """
    features: list[Feature] = []
    lines: list[int] = []
    for index, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0]
        if not line.strip():
            continue
        try:
            features.append(_read_line(line))
        except UserError as error:
            raise UserError(f"{source}: line {index}: {error}") from None
        lines.append(index)
    _check_order(tuple(features), lambda at: f"{source}: line {lines[at]}")
    return Design(tuple(features))


def _check_order(features: tuple[Feature, ...], where: Callable[[int], str]) -> None:
    """Raise `UserError` where a feature cannot stand; `where` names a feature by its index."""
    if not features:
        raise UserError(f"an empty design; the first line must be a base, as in {_EXAMPLE}")
    for index, feature in enumerate(features):
        is_base = isinstance(feature, get_args(Block)) and feature.role == "base"
        if is_base != (index == 0):
            problem = "a second base; use add" if is_base else f"the first line must be a base, as in {_EXAMPLE}"
            raise UserError(f"{where(index)}: {problem}")
        if isinstance(feature, Shell):
            _check_shell(features[index - 1], feature, index, where(index))


def _check_shell(base: Feature, shell: Shell, index: int, where: str) -> None:
    if index != 1 or not isinstance(base, Box):
        raise UserError(f"{where}: a shell must directly follow a base box")
    limit = min(base.x / 2, base.y / 2, base.z, base.r or math.inf)
    if shell.t >= limit:
        raise UserError(f"{where}: shell t={number(shell.t)}: this box allows less than {number(limit)}")


class _Items:
    """What stands after the colon of a line; a reader takes what it knows, and `close` refuses the rest."""

    def __init__(self, text: str) -> None:
        self.numbers: dict[str, str] = {}
        self.words: list[str] = []
        self.outline: list[str] = []
        self.places: list[str] | None = None
        at = 0
        while text[at:].strip():
            item = _ITEM.match(text, at)
            if item is None:
                raise UserError(
                    f"cannot read {text[at:].strip()[:40]!r}; allowed are key=number, (x,y) points and words"
                )
            self._sort(item)
            at = item.end()

    def _sort(self, item: re.Match[str]) -> None:
        key, value, point, word = item.group("key", "value", "point", "word")
        if key in self.numbers or (word == "at" and self.places is not None) or (word and word in self.words):
            raise UserError(f"{key or word!r} stands twice; allowed is once")
        if key:
            self.numbers[key] = value
        elif word == "at":
            self.places = []
        elif word:
            self.words.append(word)
        elif self.places is not None:
            self.places.append(point)
        else:
            self.outline.append(point)

    def has(self, key: str) -> bool:
        return key in self.numbers

    def text(self, key: str) -> str:
        if key not in self.numbers:
            raise UserError(f"{key}= is missing")
        return self.numbers.pop(key)

    def length(self, key: str) -> float:
        return _read_number(self.text(key), f"{key}=")

    def word(self, *allowed: str) -> str | None:
        """Take the one word of `allowed` that stands here, if any."""
        found = [word for word in self.words if word in allowed]
        if len(found) > 1:
            raise UserError(f"found {' and '.join(found)}; allowed is one of them")
        if found:
            self.words.remove(found[0])
        return found[0] if found else None

    def axis(self) -> Axis:
        axis = self.text("axis") if self.has("axis") else "z"
        if axis not in get_args(Axis):
            raise UserError(f"axis={axis}: allowed are x, y and z")
        return axis  # type: ignore[return-value]

    def point(self) -> tuple[float, float, float]:
        """Take the one (x,y,z) point after `at`."""
        places = self._points(3)
        if len(places) != 1:
            raise UserError(f"found {len(places)} points after 'at'; allowed is one, as in at (0,0,0)")
        return places[0]

    def outline_points(self) -> tuple[tuple[float, float], ...]:
        found, self.outline = self.outline, []
        return tuple(_read_point(point, 2) for point in found)

    def places_of_holes(self) -> Places:
        if self.places is not None:
            return self.points()
        count = self.text("n") if self.has("n") else None
        if count is None:
            raise UserError(
                "no place; allowed are at (x,y) ..., n=COLUMNSxROWS pitch=(x,y), and n=COUNT circle=DIAMETER"
            )
        if self.has("circle"):
            return Circle(_read_count(count), self.length("circle"))
        columns, by, rows = count.partition("x")
        if not by:
            raise UserError(f"n={count}: without circle=, n is COLUMNSxROWS, as in n=3x2 pitch=(20,15)")
        pitch = self.text("pitch")
        both = _read_point(pitch, 2) if pitch.startswith("(") else (_read_number(pitch, "pitch="),) * 2
        return Grid(_read_count(columns), _read_count(rows), both)

    def points(self) -> Points:
        """Take the (x,y) points after `at`."""
        return Points(self._points(2))

    def _points(self, size: int) -> Any:
        found, self.places = self.places, None
        if found is None:
            raise UserError(f"'at' with its point is missing, as in at ({','.join('0' * size)})")
        return tuple(_read_point(point, size) for point in found)

    def close(self, shape: str) -> None:
        """Refuse what no reader took."""
        left = [f"{key}=" for key in self.numbers] + self.words + self.outline
        left += ["at"] if self.places is not None else []
        if left:
            raise UserError(f"{shape} takes no {left[0]}; see the table of the design language")


def _read_line(line: str) -> Feature:
    head = _HEAD.fullmatch(line)
    if head is None:
        raise UserError(f"found {line.strip()[:40]!r}; allowed is 'feature: ...', as in {_EXAMPLE}")
    name, rest = head.groups()
    if name in get_args(Role):
        shape, _, rest = rest.strip().partition(" ")
        block = _BLOCKS.get(shape)
        if block is None:
            raise UserError(f"found the shape {shape!r}; allowed are {', '.join(_BLOCKS)}")
        items = _Items(rest)
        feature: Feature = block(name, items)
    elif name in _CUTS:
        shape, items = name, _Items(rest)
        feature = _CUTS[name](items)
    else:
        raise UserError(f"found the feature {name!r}; allowed are {', '.join((*get_args(Role), *_CUTS))}")
    items.close(shape)
    return feature


def _read_box(role: Role, items: _Items) -> Box:
    x, y, z = (items.length(key) for key in "xyz")
    radius = items.length("r") if items.has("r") else 0.0
    frame = items.word(*get_args(Frame))
    if frame is None:
        raise UserError("the frame is missing; allowed are centred and corner")
    return Box(role, x, y, z, items.point(), radius, frame)  # type: ignore[arg-type]


def _read_cylinder(role: Role, items: _Items) -> Cylinder:
    return Cylinder(role, items.length("d"), items.length("h"), items.point(), items.axis())


def _read_hexagon(role: Role, items: _Items) -> Hexagon:
    return Hexagon(role, items.length("flats"), items.length("h"), items.point())


def _read_ring(role: Role, items: _Items) -> Ring:
    return Ring(role, items.length("outer"), items.length("inner"), items.length("h"), items.point())


def _read_revolve(role: Role, items: _Items) -> Revolve:
    return Revolve(role, items.outline_points())


def _read_prism(role: Role, items: _Items) -> Prism:
    return Prism(role, items.outline_points(), items.length("w"))


def _read_hole(items: _Items) -> Hole:
    through = items.word("through") is not None
    if through == items.has("depth"):
        raise UserError("a hole is either through or has depth=")
    depth = None if through else items.length("depth")
    return Hole(items.length("d"), items.places_of_holes(), depth, items.axis())


def _read_slot(items: _Items) -> Slot:
    return Slot(items.length("x"), items.length("y"), items.points())


def _read_shell(items: _Items) -> Shell:
    if items.text("open") != "top":
        raise UserError("open=: allowed is top")
    return Shell(items.length("t"))


_BLOCKS: dict[str, Callable[[Any, _Items], Block]] = {
    "box": _read_box,
    "cylinder": _read_cylinder,
    "hexagon": _read_hexagon,
    "ring": _read_ring,
    "revolve": _read_revolve,
    "prism": _read_prism,
}
SHAPES = tuple(_BLOCKS)
"""Shapes that a base, an addition or a cut may have."""
_CUTS: dict[str, Callable[[_Items], Feature]] = {"hole": _read_hole, "slot": _read_slot, "shell": _read_shell}


def _read_number(text: str, key: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise UserError(f"{key}{text}: allowed is a number in plain notation, as 12.5")
    return float(text)


def _read_count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise UserError(f"n={text}: allowed is a whole number")
    return int(text)


def _read_point(text: str, size: int) -> Any:
    parts = text.strip("()").split(",")
    if len(parts) != size or not text.startswith("("):
        raise UserError(f"found the point {text}; allowed here are {size} numbers in parentheses")
    return tuple(_read_number(part, "coordinate ") for part in parts)
