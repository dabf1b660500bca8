"""Generated parts as dataset rows."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence

from domains.cad.parts.catalogue import FAMILIES, FRAME, Part, describe, family_named, make_part, parameter_line
from domains.cad.parts.family import LEVELS, Region
from domains.cad.parts.wording import Units
from domains.cad.rows import CadRow
from sciRL.errors import UserError

EXACT_UNITS: tuple[Units, ...] = ("mm", "cm")
"""Inches are written as fractions to the nearest 1/64, which the tolerance of a spec does not allow for."""
DRAWS = 200
"""Draws for each wanted row after which the ranges of the families count as used up."""


def generate_rows(families: Sequence[str], region: Region, count: int, seed: str, taken: set[str]) -> list[CadRow]:
    """Return `count` different parts, dealt to the families in turn.

    Args:
        families: names of part families; empty takes all.
        region: parameter ranges to draw from.
        count: rows to make.
        seed: what the draws follow from.
        taken: groups (family and parameters) that may not be made again; those made are added.

    Raises:
        UserError: an unknown family, or ranges that hold fewer different parts than asked for.
    """
    names = [family_named(name).name for name in families] or list(FAMILIES)
    generator = random.Random(seed)
    rows: list[CadRow] = []
    for index in range(count):
        name = names[index % len(names)]
        for _ in range(DRAWS):
            part = make_part(name, generator, region)
            group = _group(part)
            if group not in taken:
                break
        else:
            raise UserError(
                f"family {name!r}: no new part of region {region!r} in {DRAWS} draws after {index} rows; ask for fewer"
            )
        taken.add(group)
        rows.append(_row(part, group, generator))
    return rows


def _group(part: Part) -> str:
    text = json.dumps([part.family, dict(part.parameters.values())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _row(part: Part, group: str, generator: random.Random) -> CadRow:
    """Return the row of a part, with one wording of each level; the expert's carries the frame it stands in."""
    texts = {"parameters": parameter_line(part)}
    for level in LEVELS:
        text = describe(part, level, generator.choice(EXACT_UNITS), generator)
        texts[level] = f"{text} {FRAME}" if level == "expert" else text
    return CadRow(
        id=f"{part.family}-{group}",
        family=part.family,
        group=group,
        shape={"kind": "code", "text": part.code},
        spec=part.spec.to_json(),
        texts=texts,
        design=str(part.design),
        think=part.reasoning,
        code=part.code,
        source="part generator",
        licence="Apache-2.0",
    )
