"""From a design to a CadQuery program: one statement a feature, numbers as they are stated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from domains.cad.analytic import PLANE, Csg, Step, solids_of
from domains.cad.design import Design
from domains.cad.design_features import (
    ORIGIN,
    Axis,
    Block,
    Box,
    Circle,
    Cylinder,
    Feature,
    Grid,
    Hexagon,
    Hole,
    Places,
    Point3,
    Prism,
    Revolve,
    Ring,
    Shell,
    Slot,
    number,
)

HEADER = "import cadquery as cq\n\n"
SIDES: dict[Axis, tuple[str, str]] = {"x": (">X", "YZ"), "y": ("<Y", "XZ"), "z": (">Z", "XY")}
"""The side that holes along an axis start at, and the plane that looks out of it."""


def design_to_code(design: Design) -> str:
    """Return a program whose `result` is the part of a design.

    Example:
        >>> from domains.cad.design import parse_design
        >>> plate = "base: box x=60 y=40 z=8 at (0,0,0) centred\\nhole: d=5 through n=3x2 pitch=(20,25)"
        >>> print(design_to_code(parse_design(plate)))
        import cadquery as cq
        <BLANKLINE>
        result = cq.Workplane("XY").rect(60, 40).extrude(8)
        result = result.faces(">Z").workplane().rarray(20, 25, 3, 2).hole(5)
        <BLANKLINE>
    """
    statements = []
    for index, feature in enumerate(design.features):
        if isinstance(feature, (Hole, Slot, Shell)):
            call = _machining(feature, design.features[:index])
        elif feature.role == "base":
            statements.append(f"result = {_solid(feature)}")
            continue
        else:
            call = f".{'cut' if feature.role == 'cut' else 'union'}({_solid(feature)})"
        statements.append(f"result = result{call}")
    return HEADER + "\n".join(statements) + "\n"


def _machining(feature: Hole | Slot | Shell, before: tuple[Feature, ...]) -> str:
    if isinstance(feature, Shell):
        return f'.faces(">Z").shell({number(-feature.t)})'
    if isinstance(feature, Slot):
        length, width = max(feature.x, feature.y), min(feature.x, feature.y)
        turn = ", 90" if feature.y > feature.x else ""
        slot = f".slot2D({number(length)}, {number(width)}{turn}).cutThruAll()"
        return f"{_start('z', before)}{_places(feature.places)}{slot}"
    depth = "" if feature.depth is None else f", {number(feature.depth)}"
    return f"{_start(feature.axis, before)}{_places(feature.places)}.hole({number(feature.d)}{depth})"


def _places(places: Places) -> str:
    if isinstance(places, Grid):
        return f".rarray({_list(places.pitch)}, {places.columns}, {places.rows})"
    if isinstance(places, Circle):
        return f".polarArray({number(places.d)} / 2, 0, 360, {places.n})"
    if places.at == ((0.0, 0.0),):
        return ""
    return f".pushPoints([{', '.join(f'({_list(point)})' for point in places.at)}])"


def _start(axis: Axis, before: tuple[Feature, ...]) -> str:
    """Return the work plane on the outermost side of the part, by its face where there is a flat one."""
    side, plane = SIDES[axis]
    if _has_flat_side(axis, before):
        return f'.faces("{side}").workplane({"" if _looks_from_origin(axis, before) else "origin=(0, 0, 0)"})'
    bounds = solids_of(Design(before)).bounds
    along = "xyz".index(axis)
    origin = [0.0, 0.0, 0.0]
    origin[along] = float(bounds[0 if axis == "y" else 1][along])
    return f'.copyWorkplane(cq.Workplane("{plane}", origin=({_list(origin)})))'


def _looks_from_origin(axis: Axis, before: tuple[Feature, ...]) -> bool:
    """Return whether CadQuery puts the origin of a new work plane opposite that of the frame.

    It projects the origin of the last plane, which is that of the base, or of the side that was machined last.
    """
    start = ORIGIN if isinstance(before[0], (Revolve, Prism, Hole, Slot, Shell)) else before[0].at
    machined = {
        feature.axis if isinstance(feature, Hole) else "z" for feature in before if isinstance(feature, (Hole, Slot))
    }
    return machined <= {axis} and not any(start[index] for index in PLANE[axis])


def _has_flat_side(axis: Axis, before: tuple[Feature, ...]) -> bool:
    """Return whether a flat face surely lies on the outermost side: one that no single cut takes away whole."""
    along, row = "xyz".index(axis), 0 if axis == "y" else 1
    parts = solids_of(Design(before))
    outermost = parts.bounds[row][along]
    flat = [
        step
        for feature, step in _blocks(before, parts)
        if step.adds and abs(step.solid.bounds[row][along] - outermost) < 1e-9 and _is_flat(feature, axis)
    ]
    cuts = [step for step in parts.steps if not step.adds]
    return any(not any(_takes_side(cut, step, axis, outermost) for cut in cuts) for step in flat)


def _blocks(before: tuple[Feature, ...], parts: Csg) -> list[tuple[Block, Step]]:
    """Pair the blocks of a design with their steps; holes and slots make several steps, all of them cuts."""
    blocks = [f for f in before if not isinstance(f, (Hole, Slot, Shell))]
    added = [block for block in blocks if block.role != "cut"]
    return list(zip(added, (step for step in parts.steps if step.adds), strict=True))


def _is_flat(block: Block, axis: Axis) -> bool:
    if isinstance(block, Box):
        return True
    if isinstance(block, Cylinder):
        return block.axis == axis
    if isinstance(block, Prism):
        return axis == "y"
    if isinstance(block, Revolve):
        top = max(z for _, z in block.outline)
        return axis == "z" and sum(z == top for _, z in block.outline) > 1
    return axis == "z" or (isinstance(block, Hexagon) and axis == "x")


def _takes_side(cut: Step, step: Step, axis: Axis, side: float) -> bool:
    """Return whether a cut may take away the whole face that a step has on the plane `side` across the axis."""
    low, high = cut.solid.bounds
    along, plane = "xyz".index(axis), list(PLANE[axis])
    reaches = low[along] <= side <= high[along] and cut.core is None
    covers = np.all(low[plane] <= step.solid.bounds[0, plane]) and np.all(high[plane] >= step.solid.bounds[1, plane])
    return bool(reaches and covers)


def _solid(block: Block) -> str:
    return _WRITERS[type(block)](block)


def _workplane(plane: str, at: Point3) -> str:
    return f'cq.Workplane("{plane}")' if at == ORIGIN else f'cq.Workplane("{plane}", origin=({_list(at)}))'


def _box(box: Box) -> str:
    corner = "" if box.frame == "centred" else ", centered=False"
    rounded = f'.edges("|Z").fillet({number(box.r)})' if box.r else ""
    sketch = f".rect({number(box.x)}, {number(box.y)}{corner})"
    return f"{_workplane('XY', box.at)}{sketch}.extrude({number(box.z)}){rounded}"


def _cylinder(cylinder: Cylinder) -> str:
    # The normal of "XZ" is -Y, so a cylinder towards +y is extruded backwards.
    plane, height = SIDES[cylinder.axis][1], -cylinder.h if cylinder.axis == "y" else cylinder.h
    return f"{_workplane(plane, cylinder.at)}.circle({number(cylinder.d)} / 2).extrude({number(height)})"


def _hexagon(hexagon: Hexagon) -> str:
    sketch = f".polygon(6, {number(hexagon.flats)}, circumscribed=True)"
    return f"{_workplane('XY', hexagon.at)}{sketch}.extrude({number(hexagon.h)})"


def _ring(ring: Ring) -> str:
    circles = f".circle({number(ring.outer)} / 2).circle({number(ring.inner)} / 2)"
    return f"{_workplane('XY', ring.at)}{circles}.extrude({number(ring.h)})"


def _revolve(revolve: Revolve) -> str:
    return f"{_outline(revolve.outline)}.revolve()"


def _prism(prism: Prism) -> str:
    return f"{_outline(prism.outline)}.extrude({number(prism.w)} / 2, both=True)"


_WRITERS: dict[type, Callable[..., str]] = {
    Box: _box,
    Cylinder: _cylinder,
    Hexagon: _hexagon,
    Ring: _ring,
    Revolve: _revolve,
    Prism: _prism,
}


def _outline(points: Sequence[Sequence[float]]) -> str:
    return f'cq.Workplane("XZ").polyline([{", ".join(f"({_list(point)})" for point in points)}]).close()'


def _list(numbers: Sequence[float]) -> str:
    return ", ".join(map(number, numbers))
