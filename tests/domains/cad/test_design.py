"""The design language: text to features and back, and bad lines refused by number."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.cad.design import Design, parse_design
from domains.cad.design_features import (
    Box,
    Circle,
    Cylinder,
    Grid,
    Hexagon,
    Hole,
    Points,
    Prism,
    Revolve,
    Ring,
    Shell,
    Slot,
    number,
)
from sciRL.errors import UserError

PLATE = """base: box x=60 y=40 z=8 r=3 at (0,0,0) centred
add: cylinder d=20 h=12 at (0,0,8)
hole: d=10 through at (0,0)
hole: d=4 through n=4x2 pitch=(12,28)"""

LENGTH = st.floats(1e-6, 1e5)
COORDINATE = st.floats(-1e5, 1e5)
POINT2 = st.tuples(COORDINATE, COORDINATE)
POINT3 = st.tuples(COORDINATE, COORDINATE, COORDINATE)
ROLE = st.sampled_from(["add", "cut"])
AXIS = st.sampled_from(["x", "y", "z"])
OUTLINE = st.lists(POINT2, min_size=3, max_size=6, unique=True).map(tuple)
RADIAL = st.lists(st.tuples(st.floats(0, 1e5), COORDINATE), min_size=3, max_size=6, unique=True).map(tuple)
POINTS = st.lists(POINT2, min_size=1, max_size=4).map(lambda at: Points(tuple(at)))
COUNT = st.integers(1, 1000)
PLACES = st.one_of(
    POINTS,
    st.builds(Grid, COUNT, COUNT, st.one_of(st.tuples(LENGTH, LENGTH), LENGTH.map(lambda p: (p, p)))),
    st.builds(Circle, COUNT, LENGTH),
)


@st.composite
def boxes(draw: st.DrawFn, role: st.SearchStrategy[str] = ROLE) -> Box:
    x, y = draw(LENGTH), draw(LENGTH)
    r = draw(st.sampled_from([0.0, min(x, y) / 3]))
    return Box(draw(role), x, y, draw(LENGTH), draw(POINT3), r, draw(st.sampled_from(["centred", "corner"])))


@st.composite
def rings(draw: st.DrawFn) -> Ring:
    outer = draw(LENGTH)
    return Ring(draw(ROLE), outer, outer * draw(st.floats(0.1, 0.9)), draw(LENGTH), draw(POINT3))


FEATURES = st.one_of(
    boxes(),
    st.builds(Cylinder, ROLE, LENGTH, LENGTH, POINT3, AXIS),
    st.builds(Hexagon, ROLE, LENGTH, LENGTH, POINT3),
    rings(),
    st.builds(Revolve, ROLE, RADIAL),
    st.builds(Prism, ROLE, OUTLINE, LENGTH),
    st.builds(Hole, LENGTH, PLACES, st.one_of(st.none(), LENGTH), AXIS),
    st.builds(lambda x, places: Slot(x, x / 2, places), LENGTH, POINTS),
)


def test_the_printed_plate_is_the_plate() -> None:
    assert str(parse_design(PLATE)) == PLATE


@given(boxes(st.just("base")), st.lists(FEATURES, max_size=5))
def test_designs_round_trip(base: Box, features: list) -> None:
    design = Design((base, *features))
    assert parse_design(str(design)) == design


def test_shells_round_trip() -> None:
    text = "base: box x=60 y=40 z=20 r=4 at (0,0,0) corner\nshell: t=2.5 open=top"
    assert parse_design(text).features[1] == Shell(2.5)
    assert str(parse_design(text)) == text


@given(st.floats(-1e12, 1e12))
def test_numbers_are_plain_and_exact(value: float) -> None:
    assert float(number(value)) == value
    assert set(number(value)) <= set("-.0123456789")


def test_spaces_comments_and_long_forms() -> None:
    loose = parse_design(
        "\n# a disc\n base :  cylinder d=20.0 h=04 at ( 0 , 0,0.0 ) # flat\nhole: through d=3 at (1,2)"
    )
    assert str(loose) == "base: cylinder d=20 h=4 at (0,0,0)\nhole: d=3 through at (1,2)"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("drill: d=5", "line 3: found the feature 'drill'; allowed are base, add, cut, hole, slot, shell"),
        ("add: cone d=5 h=3 at (0,0,0)", "found the shape 'cone'; allowed are box, cylinder"),
        ("a plate", "found 'a plate'; allowed is 'feature: ...'"),
        ("base: box x=1 y=1 z=1 at (0,0,0) centred", "line 3: a second base; use add"),
        ("add: box x=1 y=1 at (0,0,0) centred", "z= is missing"),
        ("add: box x=1 y=1 z=1 at (0,0,0)", "the frame is missing; allowed are centred and corner"),
        ("add: box x=1 y=1 z=1 at (0,0,0) centred corner", "found .* and .*; allowed is one"),
        ("add: box x=1 y=1 z=1 at (0,0) centred", r"found the point \(0,0\); allowed here are 3 numbers"),
        ("add: box x=1 y=1 z=1 centred", "'at' with its point is missing"),
        ("add: box x=1 y=1 z=1 at (0,0,0) (1,1,1) centred", "found 2 points after 'at'; allowed is one"),
        ("add: box x=-1 y=1 z=1 at (0,0,0) centred", "x=-1: allowed is more than 0"),
        ("add: box x=1e9 y=1 z=1 at (0,0,0) centred", "x=1e9: allowed is a number in plain notation"),
        ("add: box x=200000 y=1 z=1 at (0,0,0) centred", "x=200000: allowed is more than 0 and at most 100000"),
        ("add: box x=1 x=2 y=1 z=1 at (0,0,0) centred", "'x' stands twice"),
        ("add: box x=4 y=2 z=1 r=1 at (0,0,0) centred", "r=1: allowed is 0 to less than half the shorter side, 1"),
        ("add: box x=1 y=1 z=1 colour=2 at (0,0,0) centred", "box takes no colour="),
        ("add: cylinder d=5 h=3 axis=w at (0,0,0)", "axis=w: allowed are x, y and z"),
        ("add: ring outer=5 inner=5 h=3 at (0,0,0)", "inner=5: allowed is less than outer, 5"),
        ("add: revolve (0,0) (1,0)", "found an outline of 2 points; allowed are at least 3"),
        ("add: revolve (0,0) (1,0) (-1,2)", "negative radius"),
        ("hole: d=5 at (0,0)", "a hole is either through or has depth="),
        ("hole: d=5 through depth=3 at (0,0)", "a hole is either through or has depth="),
        ("hole: d=5 through", "no place; allowed are at"),
        ("hole: d=5 through at", "no point after 'at'"),
        ("hole: d=5 through n=3 pitch=4", "n=3: without circle=, n is COLUMNSxROWS"),
        ("hole: d=5 through n=0x3 pitch=4", "n=0: allowed is 1 to 1000"),
        ("hole: d=5 through n=9999x9999 pitch=4", "n=9999: allowed is 1 to 1000"),
        ("hole: d=5 through n=axb pitch=4", "n=a: allowed is a whole number"),
        ("hole: d=5 through n=4 circle=30 at (0,0)", "hole takes no n="),
        ("slot: x=5 y=5 at (0,0)", "a slot is longer than wide"),
        ("hole: d=5 through at (0,0) [1]", r"cannot read '\[1\]'"),
        ("shell: t=2 open=top", "line 3: a shell must directly follow a base box"),
        ("shell: t=2 open=side", "open=: allowed is top"),
    ],
)
def test_bad_lines_are_named(line: str, message: str) -> None:
    text = f"base: box x=60 y=40 z=8 at (0,0,0) centred\nhole: d=3 through at (9,9)\n{line}"
    with pytest.raises(UserError, match=message) as raised:
        parse_design(text, "plate.sdl")
    assert str(raised.value).startswith("plate.sdl: line 3: ")


def test_designs_that_cannot_stand() -> None:
    with pytest.raises(UserError, match="an empty design"):
        parse_design("# nothing")
    with pytest.raises(UserError, match="design: line 2: the first line must be a base"):
        parse_design("\nhole: d=3 through at (0,0)")
    with pytest.raises(UserError, match="line 2: shell t=8: this box allows less than 8"):
        parse_design("base: box x=60 y=40 z=8 at (0,0,0) centred\nshell: t=8 open=top")
    with pytest.raises(UserError, match="feature 1: the first line must be a base"):
        Design((Hole(3, Points(((0, 0),))),))


def problem(text: str) -> str:
    """Return what is wrong with a design, "" for a sound one."""
    try:
        parse_design(text)
    except UserError as error:
        return str(error)
    return ""


@settings(max_examples=300)
@given(st.text(alphabet="basehol:dcutringxyz=(),.-+0123456789 \n#é½", max_size=80))
def test_any_text_gives_a_design_or_one_clear_error(text: str) -> None:
    assert "\n" not in problem(text)


@settings(max_examples=200)
@given(st.integers(0, len(PLATE) - 1), st.characters(codec="utf-8"))
def test_a_spoilt_character_gives_a_design_or_an_error_with_its_line(at: int, character: str) -> None:
    found = problem(PLATE[:at] + character + PLATE[at + 1 :])
    assert not found or found.startswith("design: line ")
