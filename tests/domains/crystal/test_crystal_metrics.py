"""Diversity, divergences and stable-unique-novel rates on samples small enough to check by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.crystal.codec import WyText
from domains.crystal.metrics import (
    SunRow,
    diversity,
    effective_number,
    jensen_shannon,
    space_group_split,
    sun_rates,
    sun_rows,
    wasserstein,
)
from domains.crystal.novelty import TrainingSet
from sciRL.score import Score, Status

SALT = "Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b"


def parsed(sg: int, elements: list[str], **more: object) -> Score:
    measured = {
        "sg_written": sg,
        "template": f"{sg}:a",
        "elements": elements,
        "n_atoms": 4,
        "reduced_formula": "".join(elements),
        **more,
    }
    return Score(1.0, components={"novel": 1.0, "unique": 1.0}, measurements=measured)


def test_sun_counts_all_attempts_and_keeps_the_first_of_a_group() -> None:
    rows = [
        SunRow(-0.1, "A", True),
        SunRow(-0.1, "A", True),
        SunRow(0.0, "B", False),
        SunRow(0.2, "C", True),
        SunRow(None),
    ]
    found = sun_rates(rows)
    assert (found["stable"], found["stable_unique"], found["sun"]) == (3, 2, 1)
    assert found["sun_share"] == pytest.approx(1 / 5)
    assert found["stable_share"] == pytest.approx(3 / 5)
    assert sun_rates(rows, threshold=0.2)["sun"] == 2


def test_sun_rows_from_scores() -> None:
    scores = [
        Score(1.0, {"novel": 1.0}, measurements={"e_hull": -0.1, "identity": "NaCl#0"}),
        Score(0.5, {"novel": 1.0}, measurements={"e_hull": -0.1, "identity": "NaCl#0"}),
        Score.failed(Status.ERROR, "no energy"),
    ]
    assert sun_rates(sun_rows(scores))["sun"] == 1
    assert sun_rates(sun_rows(scores))["sun_share"] == pytest.approx(1 / 3)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_effective_number_lies_between_one_and_the_support(counts: list[int]) -> None:
    support = sum(count > 0 for count in counts)
    found = effective_number(counts)
    assert found == 0 if support == 0 else 1 - 1e-9 <= found <= support + 1e-9


def test_jensen_shannon_and_wasserstein() -> None:
    assert jensen_shannon({1: 3}, {2: 9}) == pytest.approx(1.0)
    assert jensen_shannon({1: 3, 2: 1}, {1: 30, 2: 10}) == pytest.approx(0.0)
    assert math.isnan(jensen_shannon({}, {1: 1}))
    assert wasserstein([0, 1], [2, 3]) == pytest.approx(2.0)
    assert wasserstein([1, 1, 4], [1, 4, 4]) == pytest.approx(1.0)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_wasserstein_equals_scipy(first: list[float], second: list[float]) -> None:
    from scipy.stats import wasserstein_distance

    assert wasserstein(first, second) == pytest.approx(wasserstein_distance(first, second), abs=1e-9)


def test_diversity_counts_attempts_and_reads_distributions() -> None:
    training = TrainingSet.from_rows([{"text": SALT}], WyText())
    scores = [parsed(225, ["Na", "Cl"]), parsed(225, ["Na", "Br"]), parsed(1, ["Na"]), Score.malformed("no")]
    found = diversity(scores, training)
    assert found["readable_share"] == 0.75
    assert found["novel_share"] == 0.75
    assert found["effective_space_groups"] == pytest.approx(math.exp(-(2 / 3 * math.log(2 / 3) + math.log(1 / 3) / 3)))
    assert found["share_top_space_group"] == pytest.approx(2 / 3)
    assert found["n_elements_wasserstein"] == pytest.approx(1 / 3)
    assert found["space_group_js"] > 0
    assert diversity([])["attempts"] == 0


def test_space_group_split_measures_frequent_and_rare_apart() -> None:
    training = TrainingSet.from_rows([{"text": SALT}], WyText())
    scores = [
        parsed(225, ["Na"], sg_measured=225),
        parsed(225, ["Na"], sg_measured=1),
        parsed(38, ["Na"], sg_measured=38),
    ]
    found = space_group_split(scores, [225, 225, 38], training)
    assert (found["sg_right_frequent"], found["sg_right_rare"], found["sg_asked_rare"]) == (0.5, 1.0, 1.0)
