"""Specs: JSON round trip, and impossible ones refused by the key that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domains.cad.spec import HoleSpec, Spec
from sciRL.errors import UserError

HOLE = HoleSpec(5, (0, 0, 1), (20, 12.5, 4), 8, True)
SPEC = Spec((60, 40, 8), 18000, 1, (HOLE,), {"length": 60, "hole_d": 5}, 0.02)


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    data = SPEC.to_json()
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


def test_json_round_trip() -> None:
    assert Spec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


def test_defaults_of_json() -> None:
    assert Spec.from_json({"box": [1, 2, 3], "volume": 6}) == Spec((1, 2, 3), 6)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("box", 1), -40, r"impossible spec: box\.y: found -40"),
        (("box", 0), float("inf"), r"impossible spec: box\.x"),
        (("volume",), 19200.1, "volume: found 19200.1 .* at most that of the box, 19200"),
        (("volume",), 0, "impossible spec: volume: found 0"),
        (("volume",), float("nan"), "impossible spec: volume"),
        (("n_solids",), 0, "n_solids: found 0; allowed is at least 1"),
        (("n_solids",), 1.0, "n_solids: found 1.0; allowed is a whole number"),
        (("tolerance",), -0.1, "tolerance: found -0.1"),
        (("dimensions", "length"), -1, r"impossible spec: dimensions\.length"),
        (("dimensions",), [1], "dimensions: found .* a mapping"),
        (("holes", 0, "d"), 40.5, r"impossible spec: holes\[0\]\.d: found 40.5 mm; the box is only 40 mm"),
        (("holes", 0, "depth"), 8.5, r"impossible spec: holes\[0\]\.depth: found 8.5 mm"),
        (("holes", 0, "d"), 0, r"impossible spec: holes\[0\]\.d: found 0"),
        (("holes", 0, "axis"), [0, 0, 2], r"impossible spec: holes\[0\]\.axis: .* unit vector"),
        (("holes", 0, "axis"), [0, 1], r"holes\[0\]\.axis: found \[0, 1\]; allowed is a list of three numbers"),
        (("holes", 0, "through"), "yes", r"holes\[0\]\.through: found 'yes'"),
        (("holes",), {"d": 5}, "holes: found .* a list of holes"),
        (("volume",), "18000", "volume: found '18000'; allowed is a number"),
        (("volume",), True, "volume: found True"),
        (("colour",), "red", "unknown field 'colour'"),
    ],
)
def test_impossible_specs_name_the_key(path: tuple[str | int, ...], value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Spec.from_json(changed(path, value))


def test_missing_fields_name_the_key() -> None:
    with pytest.raises(UserError, match="missing field 'volume'; required are box, volume"):
        Spec.from_json({"box": [1, 1, 1]})
    with pytest.raises(UserError, match=r"holes\[0\]: missing field 'd'"):
        Spec.from_json({"box": [1, 1, 1], "volume": 1, "holes": [{}]})
    with pytest.raises(UserError, match="spec: found list"):
        Spec.from_json([1, 1, 1])


def test_a_hole_on_a_slant_needs_less_room() -> None:
    half = 2**-0.5
    slanted = HoleSpec(9, (half, 0, half), (0, 0, 0), 10, True)
    assert Spec((20, 9, 7), 100, holes=(slanted,)).holes == (slanted,)
    with pytest.raises(UserError, match="the box is only 6 mm there"):
        Spec((20, 9, 6), 100, holes=(slanted,))
    with pytest.raises(UserError, match="depth: found 20 mm; the box is not that deep"):
        Spec((20, 9, 7), 100, holes=(HoleSpec(9, (half, 0, half), (0, 0, 0), 20, True),))
