"""Reports: every arm with its interval, the controls beside the claim, warnings that cannot be missed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sciRL.domain import Figure, Record
from sciRL.errors import UserError
from sciRL.run.charts import Bar, bar_chart, grouped_bars, histogram, line_chart, ticks
from sciRL.run.directory import RunDirectory
from sciRL.run.findings import find_warnings, verdict
from sciRL.run.metrics import MetricsLog
from sciRL.run.report import rewrite_report, write_report
from sciRL.run.results import ArmResult, ArmRole, load_arms
from sciRL.run.statistics import wilson_interval
from sciRL.score import Score, Status
from sciRL.task import Task


def records(passed: int, n: int, failed: int = 0, answer: str = "<script>alert(1)</script>") -> list[Record]:
    task = Task("toy", ({"role": "user", "content": "1 < 2 & 3?"},), reference=1)
    good, bad = Score(1.0, {"parse": 1.0, "right": 1.0}), Score(0.5, {"parse": 1.0, "right": 0.0}, reason="right: no")
    scores = [good] * passed + [bad] * (n - passed - failed) + [Score.failed(Status.TIMEOUT, "slow")] * failed
    return [Record(task, answer, score) for score in scores]


def arm(
    name: str, role: ArmRole, passed: int, n: int = 200, failed: int = 0, effective: float | None = None
) -> ArmResult:
    metrics = {} if effective is None else {"effective_templates": effective}
    return ArmResult(name, role, f"about {name}", "10 steps", records(passed, n, failed), metrics)


ARMS = [
    arm("untrained", "untrained", 2, effective=50.0),
    arm("SFT", "reference", 60, effective=40.0),
    arm("SFT continued", "control", 66),
    arm("shuffled reward", "control", 50),
    arm("naive reward", "warning", 30),
    arm("RL", "trained", 120, failed=3, effective=20.0),
]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    manifest = {"seed": 3, "data_hash": "abcd", "model": "tiny", "device": "cpu", "command": "scirl train toy"}
    directory = RunDirectory.create(tmp_path / "run", "seed: 3\n", manifest)
    log = MetricsLog(directory.path)
    for step in range(1, 21):
        stage = "sft" if step <= 10 else "grpo"
        log.write(step, stage, {"reward/mean": step / 20, "kl": math.nan, "reward/part/parse": 0.5})
    return directory


class Links(HTMLParser):
    """Collects everything a page could fetch, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset", "action")]


def written(run: RunDirectory, arms: Sequence[ArmResult] = ARMS) -> str:
    figure = Figure("A figure", "what it shows", line_chart("curve", {"a": [(0, 1), (1, 2)]}))
    return write_report(run.path, {item.name: item for item in arms}, [figure], notes=["stage cut short"]).read_text()


def test_every_arm_stands_with_its_interval(run: RunDirectory) -> None:
    page = written(run)
    for item in ARMS:
        low, high = wilson_interval(item.passed, item.n)
        assert f"about {item.name}" in page
        assert f"{low:.3g} to {high:.3g}" in page
    assert item.pass_interval == wilson_interval(120, 200)
    for text in ("abcd", "scirl train toy", "A figure", "what it shows", "Reward parts: grpo", "stage cut short"):
        assert text in page


def test_the_page_fetches_nothing_and_runs_nothing_of_an_answer(run: RunDirectory) -> None:
    page = written(run)
    parser = Links()
    parser.feed(page)
    assert parser.links == []
    assert "script" not in parser.tags
    assert "&lt;script&gt;" in page
    assert not re.search(r"https?://|@import|url\(", page)


def test_the_report_can_be_made_again(run: RunDirectory) -> None:
    first = written(run)
    assert list(load_arms(run.results)) == [item.name for item in ARMS]
    assert rewrite_report(run.path).read_text() == first


def test_a_run_without_results_has_no_report(run: RunDirectory) -> None:
    with pytest.raises(UserError, match="holds no evaluation results"):
        rewrite_report(run.path)


def test_failures_of_the_verifier_count_as_attempts_and_not_as_zeros() -> None:
    item = arm("RL", "trained", passed=50, n=100, failed=50)
    assert item.mean_score == 1.0
    assert item.pass_rate == 0.5
    assert item.summary()["verifier_failures"] == 50.0


@pytest.mark.parametrize(
    ("passed", "rival", "message"),
    [(120, 60, "it got better"), (70, 60, "does not show that it got better"), (20, 60, "it got worse")],
)
def test_the_verdict_compares_with_the_strongest_other_arm(passed: int, rival: int, message: str) -> None:
    arms = [arm("start", "untrained", 0), arm("SFT", "reference", rival), arm("RL", "trained", passed)]
    assert message in verdict(arms)
    assert "SFT, the strongest other arm" in verdict(arms)


def scored(name: str, role: ArmRole, value: float, passed: int = 0) -> ArmResult:
    task = Task("toy", ({"role": "user", "content": "?"},))
    values = [value + 0.001 * (i % 5) for i in range(200 - passed)]
    return ArmResult(name, role, "", "", [Record(task, "", Score(v, {})) for v in [*values, *[1.0] * passed]])


def test_where_hardly_any_attempt_passes_mean_scores_are_compared(run: RunDirectory) -> None:
    arms = [scored("start", "untrained", 0.0), scored("SFT", "reference", 0.2), scored("shuffled", "control", 0.1)]
    arms.append(scored("RL", "trained", 0.3, passed=1))
    said = verdict(arms)
    assert said.startswith("No arm compared passes 1% of its attempts, so mean scores decide: RL scores 0.305")
    assert "SFT, the strongest other arm, scores 0.202" in said
    assert said.endswith("it got better.")
    assert find_warnings(arms) == []
    assert "Mean score with 95 % interval" in written(run, arms)
    # Two of 200 are enough to be the measure.
    assert "RL passes 1.0% of 200" in verdict([*arms[:-1], scored("RL", "trained", 0.3, passed=2)])
    worse = [*arms[:-1], scored("RL", "trained", 0.1)]
    assert "it got worse" in verdict(worse)
    assert find_warnings(worse) == ["shuffled (a control) does as well as RL: the reward is not what helped."]


def test_an_upper_bound_that_passes_leaves_the_measure_to_the_others() -> None:
    arms = [arm("oracle", "bound", 200), scored("SFT", "reference", 0.2), scored("RL", "trained", 0.3)]
    assert "RL scores 0.302" in verdict(arms)


def test_an_arm_whose_answers_no_verifier_could_judge_is_no_rival() -> None:
    lost = arm("SFT", "reference", 0, n=200, failed=200)
    assert "no other arm to compare it with" in verdict([lost, scored("RL", "trained", 0.3)])


def test_a_warning_example_is_no_rival_and_an_empty_report_says_so() -> None:
    assert "nothing about training" in verdict([arm("naive", "warning", 100), arm("RL", "trained", 50)])
    assert "No trained arm" in verdict([arm("SFT", "reference", 100)])


def test_warnings_name_collapse_failures_and_missing_or_winning_controls() -> None:
    found = "\n".join(find_warnings(ARMS))
    assert "RL collapsed: effective templates is 20, 50% of the reference arm's 40" in found
    assert "failed on 3 of 200 answers of RL" in found
    assert "No control arm" not in found
    kept = [arm("SFT", "reference", 60, effective=40.0), arm("RL", "trained", 90, n=90, effective=28.0)]
    assert [text.split(" ")[0] for text in find_warnings(kept)] == ["RL", "No"]
    beaten = find_warnings([arm("shuffled", "control", 120), arm("RL", "trained", 120)])
    assert beaten == ["shuffled (a control) does as well as RL: the reward is not what helped."]


@pytest.mark.parametrize(
    "chart",
    [
        line_chart("a < b", {"x & y": [(0, math.nan), (1, 1.0), (2, 1.0)], "empty": []}),
        line_chart("none", {}),
        bar_chart("bars", [Bar("one", 0.5, 0.25, 0.75), Bar("nan", math.nan), Bar("low", -1.0)]),
        histogram("counts", {"a": [1.0, 2.0, 2.0], "b": [5.0] * 9, "none": []}),
        histogram("one value", {"a": [3.0]}),
        grouped_bars("groups", {"g": {"a": 1.0, "b": math.nan}, "h": {"a": -2.0}}),
        grouped_bars("none", {}),
    ],
)
def test_charts_are_well_formed_and_stay_inside(chart: str) -> None:
    root = ElementTree.fromstring(chart)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for line in root.iter("polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    for box in root.iter("rect"):
        assert 0 <= float(box.attrib["x"]) <= width
        assert float(box.attrib["width"]) >= 0


def test_ticks_are_round_and_within() -> None:
    assert ticks(0, 1) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-3e-15, 2e-15) == [-3e-15, -2e-15, -1e-15, 0.0, 1e-15, 2e-15]
    assert ticks(99_000, 101_000) == [99_000, 99_500, 100_000, 100_500, 101_000]
