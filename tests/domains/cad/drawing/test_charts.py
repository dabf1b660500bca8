"""Charts say what their numbers say, count failures as attempts, and refuse numbers that cannot be."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from domains.cad.drawing.charts import (
    FAILURE_ORDER,
    failure_histogram,
    overlap_curves,
    reward_bars,
    size_error_chart,
)
from sciRL.errors import UserError

HOSTILE = '<b>&"arm'


def tips(svg: str) -> list[str]:
    """The exact values that marks carry; reading them checks that the SVG is well-formed."""
    return [title.text or "" for title in ElementTree.fromstring(svg).iter("title")]


def polyline(svg: str, name: str) -> list[tuple[float, float]]:
    for line in ElementTree.fromstring(svg).iter("polyline"):
        if (line.findtext("title") or "").startswith(name):
            return [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
    raise AssertionError(name)


def test_failures_are_shares_of_all_attempts() -> None:
    svg = failure_histogram({"before": {"syntax": 3, "ok": 1}, "after": {"ok": 4, "invalid": 0}})
    assert tips(svg) == [
        "ok, before (n = 4): 25", "ok, after (n = 4): 100", "syntax, before (n = 4): 75", "syntax, after (n = 4): 0",
    ]  # fmt: skip
    assert "share of attempts (%)" in svg


def test_codes_stand_in_the_order_of_the_pipeline() -> None:
    svg = failure_histogram({"a": {"novel": 1, **dict.fromkeys(reversed(FAILURE_ORDER), 1)}})
    assert [tip.split(",")[0] for tip in tips(svg)] == [*FAILURE_ORDER, "novel"]


def test_an_arm_keeps_its_colour_whatever_the_others_did() -> None:
    svg = failure_histogram({"empty": {}, "full": {"ok": 2}})
    bars = [rect for rect in ElementTree.fromstring(svg).iter("rect") if rect.find("title") is not None]
    assert [bar.get("fill") for bar in bars] == ["var(--series-2)"]


def test_longer_bars_for_larger_values() -> None:
    svg = reward_bars({"a": {"iou": 0.25, "solid": 1.0}, "b": {"iou": 0.5}})
    widths = {
        rect.findtext("title"): float(rect.get("width", ""))
        for rect in ElementTree.fromstring(svg).iter("rect")
        if rect.find("title") is not None
    }
    assert widths["iou, b: 0.5"] == pytest.approx(2 * widths["iou, a: 0.25"], abs=0.2)
    assert widths["solid, a: 1"] == pytest.approx(4 * widths["iou, a: 0.25"], abs=0.4)
    assert len(widths) == 3


def test_overlap_curves_count_failures() -> None:
    svg = overlap_curves({"a": [0.5, 1.0]}, {"a": 4})
    heights = dict(polyline(svg, "a (n = 4)"))
    left, right = min(heights), max(heights)

    def share(overlap: float) -> float:
        x = left + overlap * (right - left)
        y = heights[min(heights, key=lambda place: abs(place - x))]
        bottom, top = (
            polyline(overlap_curves({"a": [0.0]}), "a")[-1][1],
            polyline(overlap_curves({"a": [1.0]}), "a")[0][1],
        )
        return (bottom - y) / (bottom - top)

    assert share(0.0) == pytest.approx(0.5, abs=0.01)
    assert share(0.5) == pytest.approx(0.5, abs=0.01)
    assert share(0.51) == pytest.approx(0.25, abs=0.01)
    assert share(1.0) == pytest.approx(0.25, abs=0.01)


def test_size_errors_are_counted_within_tolerances() -> None:
    svg = size_error_chart("volume", {"a": [0.0, 0.01, 0.2]}, {"a": 4})
    assert tips(svg) == [
        f"≤ {step} %, a (n = 4): {share}" for step, share in (("0.1", 25), ("1", 50), ("5", 50), ("10", 50), ("50", 75))
    ]
    assert "Error of volume" in svg


@pytest.mark.parametrize(
    "svg",
    [
        failure_histogram({HOSTILE: {HOSTILE: 1}}, HOSTILE),
        overlap_curves({HOSTILE: [0.5]}, title=HOSTILE),
        size_error_chart(HOSTILE, {HOSTILE: [0.5]}),
        reward_bars({HOSTILE: {HOSTILE: 0.5}}, HOSTILE),
    ],
)
def test_names_are_only_text(svg: str) -> None:
    assert not list(ElementTree.fromstring(svg).iter("b"))
    assert any(HOSTILE in (text or "") for text in ElementTree.fromstring(svg).itertext())


@pytest.mark.parametrize(
    "svg", [failure_histogram({}), overlap_curves({}), size_error_chart("x", {"a": []}), reward_bars({"a": {}})]
)
def test_no_numbers_give_a_chart_that_says_so(svg: str) -> None:
    assert "no values" in "".join(ElementTree.fromstring(svg).itertext())


def test_colours_are_the_pages() -> None:
    svg = failure_histogram({str(arm): {"ok": 1} for arm in range(9)})
    assert set(re.findall(r'fill="([^"]+)"', svg)) == {f"var(--series-{index})" for index in range(1, 9)}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: failure_histogram({"a": {"ok": -1}}), "'ok' in 'a'.*-1"),
        (lambda: overlap_curves({"a": [0.1, 0.2]}, {"a": 1}), "2 values of 1 attempts"),
        (lambda: overlap_curves({"a": [1.5]}), "0 ... 1"),
        (lambda: size_error_chart("x", {"a": [-0.1]}), ">= 0"),
        (lambda: size_error_chart("x", {"a": [float("nan")]}), ">= 0"),
    ],
)
def test_impossible_numbers_are_refused(make, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()
