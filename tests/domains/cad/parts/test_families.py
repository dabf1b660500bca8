"""Part families: what is drawn can be made, stays in its region, and its closed forms agree with its design."""

from __future__ import annotations

import ast
import random
import re
from dataclasses import replace

import pytest

from domains.cad.analytic import solids_of
from domains.cad.checking import stated_numbers
from domains.cad.design import parse_design
from domains.cad.literals import share_present
from domains.cad.parts.catalogue import FAMILIES, Part, make_part, rebuild_part
from domains.cad.parts.family import REGIONS, Sizes
from domains.cad.parts.rules import STEP
from domains.cad.spec import Spec
from sciRL.errors import UserError

EVERY = pytest.mark.parametrize("name", FAMILIES)
NO_SIMPLE_VOLUME = {"pillow_block", "pulley", "stepped_shaft"}


def drawn(name: str, count: int, seed: str = "families") -> list[Part]:
    rng = random.Random(f"{seed} {name}")
    return [make_part(name, rng, REGIONS[index % 3]) for index in range(count)]


def test_there_are_fifteen_families() -> None:
    assert len(FAMILIES) == 15
    assert all(name == family.name for name, family in FAMILIES.items())


@EVERY
def test_sampled_parts_can_be_made_in_half_millimetre_steps(name: str) -> None:
    """Parameters that break a rule cannot be constructed: 15 x 334 draws without an error are 5,010 sound parts."""
    family, rng = FAMILIES[name], random.Random(f"feasible {name}")
    for index in range(334):
        region = REGIONS[index % 3]
        parameters = family.sample(rng, region)
        assert all(length % STEP == 0 for length in parameters.lengths().values())
        assert family.sizes.region(parameters.lengths()[family.sizes.parameter]) == region


@EVERY
def test_regions_are_disjoint_and_all_reached(name: str) -> None:
    sizes = FAMILIES[name].sizes
    rng = random.Random(5)
    seen = {region: {sizes.draw(rng, region) for _ in range(600)} for region in REGIONS}
    assert not seen["train"] & seen["interpolation"]
    assert max(seen["train"]) < min(seen["extrapolation"])
    assert min(seen["train"]) < min(seen["interpolation"]) <= max(seen["interpolation"]) < max(seen["train"])


def test_a_region_is_drawn_to_its_ends() -> None:
    sizes, rng = Sizes("length", 10, 12, 13, 15, 16), random.Random(0)
    seen = {region: sorted({sizes.draw(rng, region) for _ in range(200)}) for region in REGIONS}
    assert seen["train"] == [10, 10.5, 11, 11.5, 13.5, 14, 14.5, 15]
    assert seen["interpolation"] == [12, 12.5, 13]
    assert seen["extrapolation"] == [15.5, 16]
    assert sizes.region(9) is None
    assert sizes.region(16.5) is None


@EVERY
def test_closed_forms_agree_with_the_design(name: str) -> None:
    for part in drawn(name, 40):
        solids = solids_of(part.design)
        low, high = solids.bounds
        assert high - low == pytest.approx(part.spec.box, rel=1e-12)
        assert [*low[:2], low[2]] == pytest.approx([-high[0], -high[1], 0], abs=1e-9)
        assert (solids.volume is None) == (name in NO_SIMPLE_VOLUME)
        if solids.volume is not None:
            assert solids.volume == pytest.approx(part.spec.volume, rel=1e-12)


@EVERY
def test_designs_and_specs_round_trip(name: str) -> None:
    for part in drawn(name, 20):
        assert parse_design(str(part.design)) == part.design
        assert Spec.from_json(part.spec.to_json()) == part.spec
        assert rebuild_part(name, part.parameters.values()) == part


@EVERY
def test_programs_state_the_lengths_of_the_spec(name: str) -> None:
    for part in drawn(name, 10):
        assert share_present(ast.parse(part.code), stated_numbers(part.spec)) == 1


@EVERY
def test_reasoning_is_right_and_leads_to_the_numbers_of_the_design(name: str) -> None:
    for part in drawn(name, 20):
        sums = re.findall(r"([-+*/().0-9]+)=(-?[.0-9]+)", part.reasoning)
        assert sums
        assert all(eval(left) == float(right) for left, right in sums), part.reasoning
        lines = part.reasoning.split("\n")
        assert [line.split(". ")[0] for line in lines] == [str(n) for n in range(1, len(lines) + 1)]
        given = {float(value) for value in part.parameters.values().values()}
        shown = given | {abs(float(found)) for found in re.findall(r"\d+(?:\.\d+)?", part.reasoning)} | {0.0}
        assert {abs(float(found)) for found in re.findall(r"\d+(?:\.\d+)?", str(part.design))} <= shown | {1, 2}


@EVERY
def test_equal_seeds_give_equal_parts(name: str) -> None:
    assert make_part(name, random.Random(3)) == make_part(name, random.Random(3))
    assert make_part(name, random.Random(3)) != make_part(name, random.Random(4))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("plate_grid", {"hole_d": 12.0}, "plate_grid: between the holes along x"),
        ("plate_grid", {"corner_r": 25.0}, "corner_r: found 25 mm; allowed is less than half"),
        ("plate_grid", {"thickness": 1.0}, "thickness: found 1 mm of material; allowed is at least 1.5 mm"),
        ("flange", {"bore_d": 39.0}, "flange: around the bore"),
        ("flange", {"circle_d": 78.0}, "between bolt holes and rim"),
        ("flange", {"count": 40}, "between the bolt holes"),
        ("flange", {"count": 0}, "count: found 0; allowed is a finite number > 0"),
        ("flange", {"count": 6.0}, "count: found 6.0; allowed is a whole number"),
        ("flange", {"bore_d": "12"}, "bore_d: found '12'; allowed is a length in millimetres"),
        ("flange", {"bore_d": float("nan")}, "bore_d: found nan"),
        ("flange", {"colour": 1.0}, "flange: unknown parameter 'colour'"),
        ("pulley", {"groove_depth": 30.0}, "pulley: below the groove"),
        ("stepped_shaft", {"key_depth": 0.25}, "depth of the keyway at its sides"),
    ],
)
def test_parts_that_cannot_be_made_are_refused(name: str, change: dict, message: str) -> None:
    known = {
        "plate_grid": dict(length=60.0, width=40.0, thickness=8.0, corner_r=3.0, hole_d=5.0, columns=3, rows=2,
                           pitch_x=13.0, pitch_y=20.0),
        "flange": dict(outer_d=80.0, thickness=8.0, hub_d=40.0, hub_h=20.0, bore_d=25.0, hole_d=6.0, count=8,
                       circle_d=60.0),
        "pulley": dict(outer_d=60.0, width=20.0, groove_depth=8.0, land=3.0, bore_d=12.0),
        "stepped_shaft": dict(lower_d=16.0, lower_l=10.0, body_d=24.0, body_l=30.0, upper_d=18.0, upper_l=20.0,
                              key_w=5.0, key_depth=3.0, key_l=12.0),
    }[name]  # fmt: skip
    assert rebuild_part(name, known).spec.volume > 0
    with pytest.raises(UserError, match=message):
        rebuild_part(name, known | change)


def test_missing_parameters_and_unknown_names() -> None:
    with pytest.raises(UserError, match="spacer: missing parameter 'height'; needed are outer_d, inner_d, height"):
        rebuild_part("spacer", {"outer_d": 20, "inner_d": 8})
    with pytest.raises(UserError, match="unknown part family 'cog'; allowed are plate_grid"):
        make_part("cog", random.Random(0))
    with pytest.raises(UserError, match="unknown region 'test'; allowed are train, interpolation, extrapolation"):
        make_part("spacer", random.Random(0), "test")  # type: ignore[arg-type]


def test_known_volumes() -> None:
    flange = rebuild_part("flange", dict(outer_d=80, thickness=8, hub_d=40, hub_h=20, bore_d=25, hole_d=6, count=8,
                                         circle_d=60))  # fmt: skip
    assert flange.spec.volume == pytest.approx(49791.1, abs=0.1)
    assert len(flange.spec.holes) == 9
    nut = rebuild_part("hex_nut", dict(flats=10, height=5, bore_d=6))
    assert nut.spec.box == pytest.approx((10, 11.5470053837925, 5))
    with pytest.raises(UserError, match="impossible spec: volume"):
        replace(nut.spec, volume=600)
