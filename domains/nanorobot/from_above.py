"""Searches from above: one panel an arm, the same robots in each, played together."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from domains.nanorobot.embedding import embed
from domains.nanorobot.selection import Centres, Path, Runs, Selection, select
from sciRL.domain import Figure

ROBOTS = 12
MOST_PATHS = 96
TRAIL_SHARE = 0.12
"""Length of the bright trail as a share of the episode."""
PLAY_SECONDS = 12
SERIES = 8


def above_figure(runs: Runs) -> Figure:
    """Return the animation; box, tumours and obstacles are those of the records' tasks.

    Args:
        runs: valid searches by arm, in the order of the report.
    """
    selection = select(runs, ROBOTS, MOST_PATHS)
    scenario = scenario_of(runs)
    data = {
        "duration": scenario["duration"],
        "step": scenario["record_every"] * selection.stride,
        "trail": TRAIL_SHARE * scenario["duration"],
        "seconds": PLAY_SECONDS,
    }
    panels = "".join(_panel(selection, scenario, arm) for arm in range(len(selection.arms)))
    several = len({path.tumours for path in selection.paths}) > 1
    note = (
        f"{selection.describe(data['step'])} Seen along z; the bright end of a path is its last {data['trail']:.3g} s. "
        "Red: where a robot touches a tumour." + (" Every start has tumours of its own." if several else "")
    )
    grid = f'<div style="display:flex;flex-wrap:wrap;gap:14px 18px">{panels}</div>'
    return Figure("Searches from above", note, embed(_controls(data) + grid, data, "from_above"))


def scenario_of(runs: Runs) -> dict[str, Any]:
    """Return the reference of the first task: what all tasks of an evaluation share, and its tumours."""
    record = next(record for own in runs.values() for record, _ in own)
    assert isinstance(record.task.reference, dict)
    return record.task.reference


def _controls(data: Mapping[str, Any]) -> str:
    return (
        '<div style="display:flex;gap:12px;align-items:center;max-width:900px;margin:4px 0 10px">'
        '<button type="button" data-role="play" style="min-width:5em">Play</button>'
        '<input type="range" data-role="time" min="0" max="1000" value="1000" aria-label="time" style="flex:1">'
        '<output data-role="clock" style="font-variant-numeric:tabular-nums;min-width:5em">'
        f"{data['duration']:g} s</output></div>"
    )


def _panel(selection: Selection, scenario: Mapping[str, Any], arm: int) -> str:
    half, paths = scenario["wall"], [path for path in selection.paths if path.arm == arm]
    arrived = sum(path.found for path in paths)
    color = f"var(--series-{arm % SERIES + 1},#1f6fb2)"
    scenes = list(dict.fromkeys(path.tumours for path in paths))
    body = _surroundings(scenario, scenes) + "".join(_robot(path, half, color) for path in paths)
    return (
        f'<div data-role="panel" style="width:270px"><b>{escape(selection.arms[arm])}</b> '
        f'<span data-role="count" style="color:var(--soft,#5b6875)">{arrived} of {len(paths)} arrived</span>'
        f'<svg viewBox="{-half:g} {-half:g} {2 * half:g} {2 * half:g}" role="img" '
        f'aria-label="{escape(f"searches of {selection.arms[arm]} from above", quote=True)}" '
        f'style="width:100%;height:auto;display:block;border:1px solid var(--soft,#5b6875);border-radius:3px">'
        f"{body}</svg></div>"
    )


def _surroundings(scenario: Mapping[str, Any], scenes: list[Centres]) -> str:
    opacity = 0.8 if len(scenes) == 1 else 0.35
    parts = [
        f'<circle cx="{x:g}" cy="{0.0 - y:g}" r="{radius:g}" fill="var(--soft,#5b6875)" fill-opacity=".3"/>'
        for x, y, _, radius in scenario["obstacles"]
    ]
    parts += [
        f'<circle cx="{x:g}" cy="{0.0 - y:g}" r="{scenario["hit_distance"]:g}" fill="var(--series-6,#c0392b)" '
        f'fill-opacity="{opacity}"/>'
        for scene in scenes
        for x, y, _ in scene
    ]
    return "".join(parts) + _draw_scale_bar(scenario)


def scale_bar(scenario: Mapping[str, Any]) -> tuple[int, str]:
    """Return a round length for a scale bar, at most a quarter of the box, and how it is written."""
    longest = max(1.0, scenario["wall"] / 2)
    length = next(step for step in (500, 200, 100, 50, 20, 10, 5, 2, 1) if step <= longest)
    # Lengths of that preset have no unit.
    return length, f"{length}" if scenario["preset"] == "kavousinejad2024" else f"{length} µm"


def _draw_scale_bar(scenario: Mapping[str, Any]) -> str:
    half, (length, text) = scenario["wall"], scale_bar(scenario)
    x, y = -0.94 * half, 0.93 * half
    return (
        f'<path d="M{x:.1f} {y:.1f}h{length}" stroke="var(--ink,#1c2530)" stroke-width="2" '
        f'vector-effect="non-scaling-stroke"/><text x="{x:.1f}" y="{y - 0.03 * half:.1f}" '
        f'font-size="{0.085 * half:.1f}" fill="var(--ink,#1c2530)">{text}</text>'
    )


def _robot(path: Path, half: float, color: str) -> str:
    # The path stands in the markup, so that the picture is there without a script, which reads it back.
    points = " ".join(f"{x:.1f},{0.0 - y:.1f}" for x, y, _ in path.points)
    end_x, end_y = path.points[-1, 0], 0.0 - path.points[-1, 1]
    line = f'fill="none" stroke="{color}" stroke-linejoin="round" vector-effect="non-scaling-stroke"'
    return (
        f'<g data-end="{path.end:g}" data-found="{int(path.found)}">'
        f'<polyline data-role="path" points="{points}" {line} stroke-opacity=".28"/>'
        f'<polyline data-role="trail" points="" {line} stroke-width="2"/>'
        f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="{half / 45:.2f}" fill="{color}" stroke="var(--paper,#fff)" '
        'vector-effect="non-scaling-stroke"/></g>'
    )
