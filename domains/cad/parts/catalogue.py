"""Catalogue of part families: drawing parts, making them again from parameters, and describing them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domains.cad.design import Design
from domains.cad.design_features import number
from domains.cad.parts.blocks import PillowBlock, TBlock
from domains.cad.parts.brackets import LBracket, RibBracket
from domains.cad.parts.discs import Flange, HexNut, Spacer
from domains.cad.parts.family import LEVELS, REGIONS, Family, Level, Parameters, Region
from domains.cad.parts.hollow import Enclosure, PocketBox, UChannel
from domains.cad.parts.plates import PlateGrid, SlottedPlate
from domains.cad.parts.wheels import GearBlank, Pulley, SteppedShaft
from domains.cad.parts.wording import UNITS, Units, distraction, fields_of, fill
from domains.cad.spec import Spec
from sciRL.errors import UserError

FAMILIES: Mapping[str, Family[Any]] = {
    family.name: family
    for family in (
        PlateGrid(),
        SlottedPlate(),
        LBracket(),
        RibBracket(),
        UChannel(),
        PocketBox(),
        Enclosure(),
        TBlock(),
        PillowBlock(),
        Spacer(),
        HexNut(),
        Flange(),
        GearBlank(),
        Pulley(),
        SteppedShaft(),
    )
}

FRAME = "The part is centred on the origin in x and y, its bottom is at z = 0 and z is up."
"""Where every part of the catalogue stands."""


@dataclass(frozen=True)
class Part:
    """One part: its parameters and all that follows from them."""

    family: str
    parameters: Parameters
    spec: Spec
    design: Design
    code: str
    reasoning: str


def family_named(name: str) -> Family[Any]:
    """Return a family; an unknown name raises `UserError`."""
    if name not in FAMILIES:
        raise UserError(f"unknown part family {name!r}; allowed are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def make_part(family: str, rng: random.Random, region: Region = "train") -> Part:
    """Draw a part of a family.

    Args:
        family: a key of `FAMILIES`.
        rng: what is drawn from; equal states give equal parts.
        region: range of the family's splitting parameter: "train", "interpolation" (a gap within it) or
            "extrapolation" (above it).

    Raises:
        UserError: an unknown family or region.
    """
    chosen = family_named(family)
    if region not in REGIONS:
        raise UserError(f"unknown region {region!r}; allowed are {', '.join(REGIONS)}")
    return _part(chosen, chosen.sample(rng, region))


def rebuild_part(family: str, parameters: Mapping[str, Any]) -> Part:
    """Make the part of given parameters.

    Raises:
        UserError: an unknown family, a missing, unknown or badly typed parameter, or a part that cannot be made.

    Example:
        >>> rebuild_part("spacer", {"outer_d": 20, "inner_d": 10, "height": 5}).design.features[0].line()
        'base: cylinder d=20 h=5 at (0,0,0)'
    """
    chosen = family_named(family)
    return _part(chosen, chosen.parameters(parameters))


def _part(family: Family[Any], parameters: Parameters) -> Part:
    return Part(
        family.name,
        parameters,
        family.spec(parameters),
        family.design(parameters),
        family.code(parameters),
        family.reasoning(parameters),
    )


def parameter_line(part: Part) -> str:
    """Return the shortest statement of a part: its family and its numbers (mm) by name, on one line.

    Example: ``spacer outer_d=20 inner_d=10 height=5``
    """
    return " ".join([part.family, *(f"{name}={number(value)}" for name, value in part.parameters.values().items())])


def describe(part: Part, level: Level, units: Units, rng: random.Random) -> str:
    """Return a description of a part, one of several wordings.

    Args:
        part: what is described.
        level: "abstract" (no numbers), "beginner" (some), "intermediate" (sizes, no exact places) or "expert" (every
            number).
        units: "mm" and "cm" are exact; "inch" gives fractions to the nearest 1/64, and says so.
        rng: what the wording is drawn from.

    Raises:
        UserError: an unknown level or unit.
    """
    _check_wording(level, units)
    return fill(rng.choice(FAMILIES[part.family].texts[level]), part.parameters.values(), units)


@dataclass(frozen=True)
class Ambiguous:
    """A description that lacks the number of one parameter."""

    text: str
    missing: str


def describe_ambiguous(part: Part, units: Units, rng: random.Random) -> Ambiguous:
    """Return an expert's description with one number left out: whoever builds it must ask."""
    _check_wording("expert", units)
    template = rng.choice(FAMILIES[part.family].texts["expert"])
    missing = rng.choice(fields_of(template))
    return Ambiguous(fill(template, part.parameters.values(), units, missing), missing)


def describe_distracted(part: Part, level: Level, units: Units, rng: random.Random) -> str:
    """Return a description beside a sentence whose number says nothing of the part."""
    text = describe(part, level, units, rng)
    aside = distraction(part.parameters.values(), units, rng)
    return f"{aside} {text}" if rng.random() < 0.5 else f"{text} {aside}"


def _check_wording(level: str, units: str) -> None:
    if level not in LEVELS:
        raise UserError(f"unknown level {level!r}; allowed are {', '.join(LEVELS)}")
    if units not in UNITS:
        raise UserError(f"unknown units {units!r}; allowed are {', '.join(UNITS)}")
