"""Scenario folders: what a builder keeps, what it refuses, and how a scenario is laid over a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.nanorobot.datasets import STANDARD, build, check, load_scenario, with_scenario
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.scenario_file import Placed, Scenario, read_source
from sciRL.errors import UserError

CSV = """kind,x,y,z,radius
tumour,40,0,-5,
obstacle,-60,0,0,20
obstacle,-60,0,0,20
wall,1,2,3,
obstacle,100,0,0,0
tumour,far,0,0,

Tumor,-40,90,0,
obstacle,nan,0,0,5
"""


def folder(tmp_path: Path, text: str, name: str = "my.csv", **options: str) -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    build(str(tmp_path / name), tmp_path / "out", options)
    return tmp_path / "out"


def test_counts_and_reasons(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(CSV)
    report = build(str(tmp_path / "my.csv"), tmp_path / "out", {})
    assert (report.read, report.kept) == (8, 3)
    assert report.dropped == {
        "the same obstacle again": 1,
        "kind is neither tumour nor obstacle": 1,
        "no radius above 0": 1,
        "not 3 numbers": 1,
        "not finite, or beyond 1e+06 um": 1,
    }
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rows"] == {"tumours": 2, "obstacles": 1}
    assert {"where": "line 5", "reason": "kind is neither tumour nor obstacle"} in manifest["dropped"]
    assert check(tmp_path / "out") == []
    assert [entry.where for entry in load_scenario(tmp_path / "out").tumours] == ["line 2", "line 9"]
    assert not list(tmp_path.glob(".*"))


def test_json_source_is_the_same_scenario(tmp_path: Path) -> None:
    data = {"tumours": [[40, 0, -5], [-40, 90, 0]], "obstacles": [[-60, 0, 0, 20]], "box": 500}
    options = with_scenario(NanorobotOptions(speed=20.0), folder(tmp_path, json.dumps(data), "my.json"))
    assert options.tumour_positions == ((40.0, 0.0, -5.0), (-40.0, 90.0, 0.0))
    assert options.obstacles == ((-60.0, 0.0, 0.0, 20.0),)
    assert (options.box, options.speed) == (500.0, 20.0)


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("kind,x,y\ntumour,1,2\n", "a.csv", "no column 'z'"),
        ("kind,x,y,z\nobstacle,1,2,3\n", "a.csv", "at least one tumour"),
        ("", "a.csv", "no column 'kind'"),
        ("kind,x,y,z\n" + "".join(f"tumour,{40 * i},0,0\n" for i in range(4)), "a.csv", "line 5: at most 3 tumours"),
        ("[1, 2]", "a.json", "an object with the lists"),
        ('{"tumors": []}', "a.json", "unknown key 'tumors'"),
        ('{"tumours": [[0, 0, 0]], "box": -1}', "a.json", "box: a length"),
        ('{"tumours": [[0, 0, 0], [0, 0, 90]], "box": 100}', "a.json", "tumours[1]: the tumour at (0.0, 0.0, 90.0)"),
        ("{", "a.json", "not valid JSON"),
        ("x", "a.txt", "a .csv or a .json file"),
    ],
)
def test_sources_that_cannot_be_used(tmp_path: Path, text: str, name: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        folder(tmp_path, text, name)
    assert told in str(caught.value)
    assert name in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_builder_keeps_what_is_there_unless_told(tmp_path: Path) -> None:
    folder(tmp_path, CSV)
    with pytest.raises(UserError, match="exists already"):
        folder(tmp_path, CSV)
    folder(tmp_path, "kind,x,y,z\ntumour,0,0,0\n", overwrite="true")
    assert len(load_scenario(tmp_path / "out").tumours) == 1
    with pytest.raises(UserError, match="unknown build option 'colour'"):
        folder(tmp_path, CSV, colour="red")


def test_check_finds_a_changed_file(tmp_path: Path) -> None:
    out = folder(tmp_path, CSV)
    scenario = load_scenario(out)
    scenario.tumours.append(Placed("line 99", (0.0, 0.0, 0.0)))
    (out / "scenario.json").write_text(scenario.to_json())
    problems = check(out)
    assert any("sha256" in problem for problem in problems)
    assert any("3 tumours, the manifest says 2" in problem for problem in problems)
    with pytest.raises(UserError, match="not a nanorobot dataset folder"):
        check(tmp_path)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            "tumour,0,0,0,\ntumour,190,0,0,",
            "my.csv: line 3: tumour_positions: (190.0, 0.0, 0.0) with radius 15 um leaves",
        ),
        ("tumour,0,0,0,\ntumour,20,0,0,", "my.csv: line 3: tumour_positions: the tumours"),
        ("obstacle,150,0,0,9\nobstacle,30,0,0,20\ntumour,0,0,0,", "my.csv: line 3: obstacles: (30.0, 0.0, 0.0, 20.0)"),
        ("tumour,0,0,0,\nobstacle,300,0,0,9", "my.csv: line 3: obstacles: (300.0, 0.0, 0.0, 9.0)"),
    ],
)
def test_a_scenario_that_does_not_fit_names_its_line(tmp_path: Path, rows: str, told: str) -> None:
    out = folder(tmp_path, "kind,x,y,z,radius\n" + rows + "\n")
    with pytest.raises(UserError) as caught:
        with_scenario(NanorobotOptions(), out)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tumour_positions": ((0.0, 0.0, 0.0),)}, "domain.tumour_positions is set"),
        ({"obstacles": ()}, "domain.obstacles is set"),
        ({"placement": "random"}, "placement=random ignores"),
        ({"box": 300.0}, "domain.box=300, but"),
        ({"preset": "kavousinejad2024"}, "has fixed values"),
    ],
)
def test_a_recipe_that_places_things_itself(tmp_path: Path, settings: dict[str, object], told: str) -> None:
    boxed = "" if settings.get("preset") else '"box": 400, '
    out = folder(tmp_path, f'{{{boxed}"tumours": [[40, 0, 0]]}}', "my.json")
    with pytest.raises(UserError) as caught:
        with_scenario(NanorobotOptions.model_validate(settings), out)
    assert told in str(caught.value)


def test_standard_leaves_the_recipe_alone(tmp_path: Path) -> None:
    own = NanorobotOptions(tumour_positions=((50.0, 0.0, 0.0),), preset="strong")
    assert with_scenario(own, STANDARD) is own
    assert check(STANDARD) == []
    default = NanorobotOptions()
    assert tuple(entry.values for entry in load_scenario(STANDARD).tumours) == default.tumour_positions
    out = folder(tmp_path, '{"tumours": [[0, 0, 0]]}\n', "standard.json")
    assert (out / "scenario.json").read_bytes() == (STANDARD / "scenario.json").read_bytes()
    hashes = [json.loads((path / "manifest.json").read_text())["source"] for path in (out, STANDARD)]
    assert hashes[0] == hashes[1]


def test_presets_survive_a_scenario(tmp_path: Path) -> None:
    options = with_scenario(NanorobotOptions(preset="hard"), folder(tmp_path, "kind,x,y,z\ntumour,30,0,0\n"))
    assert (options.preset, options.robot_radius, options.tumour_positions) == ("hard", 0.5, ((30.0, 0.0, 0.0),))


lengths = st.floats(-1e5, 1e5, allow_nan=False)


@given(
    st.lists(st.tuples(lengths, lengths, lengths), max_size=4),
    st.lists(st.tuples(lengths, lengths, lengths, lengths), max_size=4),
    st.none() | st.floats(1, 1e5),
)
def test_scenarios_come_back_from_text(
    tumours: list[tuple[float, ...]], obstacles: list[tuple[float, ...]], box: float | None
) -> None:
    scenario = Scenario([Placed("a", t) for t in tumours], [Placed("b,\n", o) for o in obstacles], box)
    assert Scenario.from_json(scenario.to_json()) == scenario


@given(st.text() | st.lists(st.text(), max_size=5).map(lambda cells: "kind,x,y,z,radius\n" + ",".join(cells)))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    home = tmp_path_factory.getbasetemp()
    for name in ("any.csv", "any.json"):
        (home / name).write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            reading = read_source(home / name)
        except UserError:
            continue
        assert all(
            abs(value) < 1e7 for entries in reading.scenario.parts().values() for e in entries for value in e.values
        )


def test_an_integer_beyond_all_floats_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"tumours": [[0, 0, 0], [1' + "0" * 400 + ", 0, 0]]}")
    assert [where for where, _ in read_source(path).dropped] == ["tumours[1]"]
