"""Report figures: what they show is what the records say, and nothing is fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from domains.nanorobot import make_environment
from domains.nanorobot.datasets import STANDARD
from domains.nanorobot.field_view import MOLECULES_PER_NM, FieldView
from domains.nanorobot.figures import make_figures, q_table_figure, write_animation
from domains.nanorobot.metrics import read_search, summarize
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.q_table import grid_of
from domains.nanorobot.rubric import make_rubric
from domains.nanorobot.selection import select
from domains.nanorobot.success_curves import curve_of, spread_labels, success_figure
from domains.nanorobot.tasks import make_tasks
from domains.nanorobot.trajectory_view import viewer_data
from sciRL.control.episodes import play
from sciRL.domain import Figure, Record
from sciRL.environments.vector import VectorEnvironment
from sciRL.errors import UserError
from sciRL.run.statistics import wilson_interval

HOSTILE = '</script><b>run & "tumble"</b>'
LIMIT = 400_000


class Always:
    """Takes one action in every step."""

    def __init__(self, action: int) -> None:
        self.action = action

    def begin(self, environment: VectorEnvironment) -> None:
        pass

    def act(self, observation: Tensor, environment: VectorEnvironment) -> Tensor:
        return torch.full((environment.n,), self.action, dtype=torch.int64)


def searched(options: NanorobotOptions, action: int) -> list[Record]:
    tasks = make_tasks(options, "test")
    environment = make_environment(options, len(tasks), torch.device("cpu"))
    answers = play(environment, Always(action), tasks, range(len(tasks)))
    scores = make_rubric().verify(list(zip(tasks, answers, strict=True)))
    return [Record(*each) for each in zip(tasks, answers, scores, strict=True)]


# Action 0 swims as it happens to point, action 1 along the true gradient.
OPTIONS = NanorobotOptions(
    actions="scripted",
    test_tasks=20,
    duration=12.0,
    start_min=60.0,
    start_max=150.0,
    obstacles=((90.0, 0.0, 0.0, 25.0),),
)


@pytest.fixture(scope="module")
def arms() -> dict[str, list[Record]]:
    return {HOSTILE: searched(OPTIONS, 0), "oracle": searched(OPTIONS, 1)}


@pytest.fixture(scope="module")
def figures(arms: dict[str, list[Record]]) -> list[Figure]:
    return make_figures(arms, STANDARD, OPTIONS)


def valid(records: Sequence[Record]) -> list[tuple[Record, object]]:
    return [(record, search) for record in records if (search := read_search(record)) is not None]


def test_nothing_is_fetched_and_no_name_breaks_out(figures: list[Figure]) -> None:
    assert [figure.title for figure in figures] == [
        "Success over time", "Trajectories in the biomarker field", "Searches from above",
    ]  # fmt: skip
    for figure in figures:
        text = figure.html.lower()
        assert not re.search(r"https?:|src=|href=|@import|fetch\(|url\((?!#)", text), figure.title
        assert "<b>run" not in text
        assert text.count("<script>") == text.count("</script>") <= 1
        assert len(figure.html) < LIMIT


def test_a_curve_ends_at_the_success_share(arms: dict[str, list[Record]], figures: list[Figure]) -> None:
    for name, records in arms.items():
        share = summarize(records)["success_share"]
        curve = curve_of(name, [read_search(record) for record in records])
        assert curve.share(12.0) == share
        assert f"{share:.3f}</text>" in figures[0].html
        arrivals = sorted(json.loads(r.answer)["hit_time"] for r in records if json.loads(r.answer)["hit"])
        assert list(curve.times) == arrivals
        if arrivals:
            assert curve.share(arrivals[0] - 1e-6) == 0
            assert curve.share(arrivals[0]) >= 1 / 20
    assert summarize(arms["oracle"])["success_share"] > 0.5


def test_the_band_is_the_wilson_interval() -> None:
    searches = [read_search(record) for record in searched(OPTIONS.model_copy(update={"test_tasks": 10}), 1)]
    curve = curve_of("a", searches)
    figure = success_figure([curve], 12.0)
    low, high = wilson_interval(len(curve.times), 10)
    band = re.search(r'<path d="([^"]*)Z" fill=', figure.html)
    assert band is not None
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", band.group(1))]
    # The chart reaches from 1 (y = 18) to 0 (y = 354).
    assert min(heights) == pytest.approx(354 - 336 * high, abs=0.06)
    last = [float(y) for y in re.findall(r"L[\d.]+ ([\d.]+)H", band.group(1))]
    assert any(y == pytest.approx(354 - 336 * low, abs=0.06) for y in last)


def test_labels_keep_apart() -> None:
    placed = spread_labels([350.0, 352.0, 354.0, 40.0])
    assert min(abs(a - b) for i, a in enumerate(placed) for b in placed[:i]) >= 17
    assert max(placed) <= 354
    assert placed[3] == 40.0


def test_viewer_holds_the_paths_and_their_concentrations(arms: dict[str, list[Record]]) -> None:
    data, _ = viewer_data({name: valid(records) for name, records in arms.items()}, OPTIONS)  # type: ignore[misc]
    assert len(data["runs"]) == 24
    run = next(run for run in data["runs"] if run["arm"] == 1 and run["start"] == 3)
    record = arms["oracle"][3]
    answer = json.loads(record.answer)
    packed = np.array(run["path"]).reshape(-1, 4)
    assert packed[:, :3] / 1000 * 200 == pytest.approx(np.array(answer["path"])[:, 1:], abs=0.11)
    assert (run["end"], run["found"]) == (answer["path"][-1][0], answer["hit"])
    # c(50 um) = 1.95051 + 0.6 molecules/um^3 (Q = 2e5 from a sphere of 15 um, D = 100, k = 0.01, background 0.6).
    field = FieldView(OPTIONS)
    points, tumours = np.array([[50.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 0.0]])
    assert field.values(points, tumours)[0] * MOLECULES_PER_NM == pytest.approx(2.55051, rel=1e-5)
    level = field.levels(points, tumours)[0]
    assert field.low * (field.high / field.low) ** (level / 4095) * MOLECULES_PER_NM == pytest.approx(2.55051, rel=1e-3)
    cells = data["field"]["cells"]
    plane = np.array(data["scenes"][0]["slice"]).reshape(cells, cells)
    assert plane[cells // 2, cells // 2] == plane.max() > plane[0, 0]
    # The concentration rises along an oracle's way.
    assert packed[-1, 3] > packed[0, 3]


def test_many_arms_with_tumours_of_their_own_stay_small() -> None:
    options = NanorobotOptions(
        actions="scripted", test_tasks=12, duration=60.0, placement="random", record_every=0.2, start_max=150.0,
        tumour_positions=((0.0, 0.0, 0.0), (100.0, 0.0, 0.0)),
    )  # fmt: skip
    records = searched(options, 0)
    figures = make_figures({f"arm {index}": records for index in range(12)}, STANDARD, options)
    assert max(len(figure.html) for figure in figures) < LIMIT
    selection = select({"a": valid(records)}, 12, 96)  # type: ignore[dict-item]
    first = json.loads(records[0].answer)["path"]
    assert selection.paths[0].points[0] == pytest.approx(first[0][1:])
    assert selection.paths[0].points[-1] == pytest.approx(first[-1][1:])
    assert len({path.tumours for path in selection.paths}) == 12


def test_from_above_counts_arrivals_and_draws_each_robot(arms: dict[str, list[Record]], figures: list[Figure]) -> None:
    html = figures[2].html
    found = sum(json.loads(record.answer)["hit"] for record in arms["oracle"][:12])
    assert f"{found} of 12 arrived" in html
    assert html.count("<g data-end=") == 24
    assert html.count('data-found="1"') == found + sum(json.loads(r.answer)["hit"] for r in arms[HOSTILE][:12])
    # The obstacle acts on the robot's centre with the body's radius added.
    assert 'cx="90" cy="0" r="26"' in html


def test_the_2024_preset_has_figures() -> None:
    options = NanorobotOptions(preset="kavousinejad2024", test_tasks=4)
    figures = make_figures({"to the cell": searched(options, 1)}, STANDARD, options)
    assert len(figures) == 3
    assert "to the cell  1.000" in figures[0].html
    # Its lengths have no unit.
    assert "µm" not in figures[2].html
    assert ">20</text>" in figures[2].html


def test_unreadable_answers_leave_the_curves_alone(arms: dict[str, list[Record]]) -> None:
    broken = [Record(record.task, "?", record.score) for record in arms["oracle"]]
    figures = make_figures({"broken": broken}, STANDARD, OPTIONS)
    assert [figure.title for figure in figures] == ["Success over time"]
    assert "broken  0.000" in figures[0].html


def texts(html: str) -> dict[int, str]:
    cells = re.findall(r'data-cell="(\d+)"><title>.*?</title>.*?<text[^>]*>([^<]*)</text>', html)
    return {int(cell): name for cell, name in cells}


def test_q_table_names_the_greedy_action() -> None:
    q = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))
    q[5] = 1.0
    named = texts(q_table_figure(q, "tabular Q").html)
    assert named == {cell: "tumble" if q[cell, 1] > q[cell, 0] else "run" for cell in range(24)}
    assert named[5] == "run"
    assert f"{q[7, 1] - q[7, 0]:+.3f}".replace("-", "−") in q_table_figure(q, "tabular Q").html


def test_q_table_lies_as_the_observations_do() -> None:
    environment = make_environment(OPTIONS, 1, torch.device("cpu"))
    grid = grid_of(OPTIONS)
    # Falling steeply at a low reading, and rising gently at a high one.
    for change, reading, row, column in ((-0.5, 0.7, 3, 0), (0.03, 6.0, 0, 3)):
        cell = environment.cell(torch.tensor([[0.0, np.log(reading), change, 0.0]]))
        assert grid.cells[row][column] == int(cell)
    assert (grid.rows[0], grid.rows[3], grid.columns[0], grid.columns[3]) == ("> 4", "≤ 1", "≤ −0.2", "0 to 0.05")


def test_q_table_shows_what_was_never_visited() -> None:
    visits = torch.ones(24, 2)
    visits[4] = 0
    html = q_table_figure(torch.zeros(24, 2), "a", visits=visits * 1234).html
    assert html.count("never visited") == 1
    assert html.count("n = 2,468") == 23
    assert 4 not in texts(html)


def test_q_table_of_other_actions_and_bad_tables() -> None:
    options = NanorobotOptions(actions="turn6", observation="spatial")
    q = torch.zeros(24, 6)
    q[:, 3] = 0.25
    assert set(texts(q_table_figure(q, "a", options).html).values()) == {"-y"}
    with pytest.raises(UserError, match=r"\[24, 2\] are needed; found \(24, 6\)"):
        q_table_figure(q, "a")
    with pytest.raises(UserError, match="finite"):
        q_table_figure(torch.full((24, 2), torch.nan), "a")


def test_animations_as_files(arms: dict[str, list[Record]], tmp_path: Path) -> None:
    page = write_animation(arms["oracle"], tmp_path / "a.html", "oracle").read_text()
    assert 'data-role="play"' in page
    assert "http" not in page
    with pytest.raises(UserError, match=r"\.gif or a \.html"):
        write_animation(arms["oracle"], tmp_path / "a.mp4")
    with pytest.raises(UserError, match="none of the 0 records"):
        write_animation([], tmp_path / "b.html")


def test_gif(arms: dict[str, list[Record]], tmp_path: Path) -> None:
    image, sequence = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageSequence")
    path = write_animation(arms["oracle"], tmp_path / "a.gif", "oracle")
    with image.open(path) as gif:
        frames = [
            (np.asarray(frame.convert("RGB"), dtype=int), frame.info["duration"]) for frame in sequence.Iterator(gif)
        ]
    # Equal frames, once all have arrived, become one that lasts longer.
    assert sum(duration for _, duration in frames) == 59 * 100 + 1800
    first, last = frames[0][0], frames[-1][0]
    assert (first[36 + 30, 30] == 255).all()
    # The tumour is red in the middle, and robots have come to it.
    assert first[36 + 220, 220, 0] > first[36 + 220, 220, 2] + 80
    assert (first != last).any(axis=2).mean() > 0.01
    assert not list(tmp_path.glob(".*"))
