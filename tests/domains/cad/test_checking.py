"""Assertions of a spec over measured numbers: what is met, what is not, and the two kinds of error."""

from typing import Any

from domains.cad.checking import check, describe_spec, frame_error, parameter_error, spec_from, stated_numbers
from domains.cad.spec import HoleSpec, Spec

HOLE = {"d": 5.0, "axis": [0.0, 0.0, -1.0], "position": [20.0, 12.5, 3.0], "depth": 8.0, "through": True}
SPEC = Spec(
    (60.0, 40.0, 8.0),
    19042.9,
    holes=(HoleSpec(5.0, (0.0, 0.0, 1.0), (20.0, 12.5, 0.0), 8.0, True),),
    dimensions={"length": 60.0, "wall": 3.0},
)


def measured(box: tuple[float, ...] = (60.0, 40.0, 8.0), **changes: Any) -> dict[str, Any]:
    solid = {"n_solids": 1, "box": list(box), "volume": 19042.9}
    return {"solid": solid, "holes": [dict(HOLE)], "lengths": [60.0, 40.0, 8.0, 5.0, 3.02]} | changes


def unmet(found: dict[str, Any]) -> list[str]:
    return [assertion.name for assertion in check(SPEC, found) if not assertion.met]


def test_the_asked_part_meets_every_assertion() -> None:
    assert unmet(measured()) == []
    assert len(check(SPEC, measured())) == 1 + 3 + 1 + 1 + 1 + 2


def test_each_number_that_is_off_is_one_unmet_assertion() -> None:
    assert unmet(measured(box=(60.2, 40.0, 8.0))) == ["box.x"]
    assert unmet(measured(lengths=[60.0], reference={"lengths": [60.0, 3.0]})) == ["wall"]
    assert unmet(measured(holes=[])) == ["number of holes", "hole 1 (diameter, place or depth)"]
    for change in (
        {"d": 5.2},
        {"position": [20.2, 12.5, 0.0]},
        {"depth": 4.0},
        {"through": False},
        {"axis": [1, 0, 0]},
    ):
        assert unmet(measured(holes=[HOLE | change])) == ["hole 1 (diameter, place or depth)"], change


def test_a_dimension_that_the_reference_does_not_show_is_no_assertion() -> None:
    names = [a.name for a in check(SPEC, measured(lengths=[60.0], reference={"lengths": [60.0]}))]
    assert "length" in names
    assert "wall" not in names


def test_a_hole_is_matched_once() -> None:
    twice = Spec(SPEC.box, SPEC.volume, holes=SPEC.holes * 2)
    assert [a.met for a in check(twice, measured()) if a.name.startswith("hole ")] == [True, False]


def test_a_message_says_what_was_asked_and_found() -> None:
    wrong = next(a for a in check(SPEC, measured(box=(61.0, 40.0, 8.0))) if not a.met)
    assert str(wrong) == "box.x: asked 60, found 61"


def test_swapped_sizes_are_a_parameter_error_and_a_wrong_size_is_none() -> None:
    assert parameter_error(SPEC, measured(box=(40.0, 60.0, 8.0)))
    assert not parameter_error(SPEC, measured())
    assert not parameter_error(SPEC, measured(box=(50.0, 60.0, 8.0)))


def test_a_frame_is_misplaced_when_turning_gains_more_than_a_fifth() -> None:
    assert frame_error({"iou": {"value": 0.3}, "frame": {"value": 0.51}})
    assert not frame_error({"iou": {"value": 0.3}, "frame": {"value": 0.49}})
    assert not frame_error({"iou": {"value": 0.3}})


def test_a_part_meets_the_spec_taken_from_it() -> None:
    found = measured()
    assert [a for a in check(spec_from(found), found) if not a.met] == []


def test_a_spec_in_words_states_every_number() -> None:
    assert describe_spec(SPEC) == (
        "A part of 60 x 40 x 8 mm with a volume of 19042.9 mm^3. "
        "Hole: diameter 5 mm, depth 8 mm, through, at (20, 12.5, 0) along (0, 0, 1)."
    )


def test_stated_numbers_are_the_dimensions_or_box_and_holes() -> None:
    assert stated_numbers(SPEC) == [60.0, 3.0]
    assert stated_numbers(Spec((60.0, 40.0, 8.0), 1000.0, holes=SPEC.holes)) == [60.0, 40.0, 8.0, 5.0]
