"""Trajectories in the concentration field: a three-dimensional picture that turns by dragging and runs through time."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from domains.nanorobot.embedding import embed
from domains.nanorobot.field_view import LEVELS, FieldView
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.selection import Path, Runs, select
from sciRL.domain import Figure

STARTS = 12
MOST_PATHS = 96
SCALE = 1000
"""Coordinates are whole numbers from -SCALE to SCALE, the walls of the box."""
SLICE_CELLS = 48
"""Cells along an edge of the field's slice; half as many where every start has tumours of its own."""


def trajectory_figure(runs: Runs, options: NanorobotOptions) -> Figure:
    """Return the viewer.

    Args:
        runs: valid searches by arm, in the order of the report.
        options: with the scenario's tumours and obstacles.
    """
    data, told = viewer_data(runs, options)
    note = (
        f"{told} The plane shows the concentration at the height of the first tumour; from contour to contour it "
        "doubles. Rings: starts. Dots: robots, at the end those that reached a tumour; crosses: searches that ran out "
        "of time. Drag or use the arrow keys to turn, Ctrl and the wheel to zoom."
    )
    return Figure("Trajectories in the biomarker field", note, embed(_markup(data), data, "trajectory_view"))


def viewer_data(runs: Runs, options: NanorobotOptions) -> tuple[dict[str, Any], str]:
    """Return what the viewer draws, and which searches these are in words.

    `runs` holds for each path its arm, start, scene (tumours and slice), end in s, whether it found a tumour, and its
    positions as x, y, z in 1/1000 of half the box and the concentration's level.
    """
    field, selection = FieldView(options), select(runs, STARTS, MOST_PATHS)
    scenes = list(dict.fromkeys(path.tumours for path in selection.paths))
    cells = SLICE_CELLS if len(scenes) == 1 else SLICE_CELLS // 2
    step = options.record_stride * options.dt * selection.stride
    data = {
        "arms": list(selection.arms),
        "starts": selection.starts,
        "half": field.half,
        "duration": options.steps * options.dt,
        "step": step,
        "field": {"unit": field.unit, "low": field.low, "high": field.high, "levels": LEVELS, "cells": cells},
        "radius": field.tumour_radius,
        "obstacles": [list(sphere) for sphere in options.obstacles],
        "scenes": [
            {"tumours": [list(centre) for centre in scene], "slice": field.slice(np.array(scene), cells)}
            for scene in scenes
        ],
        "runs": [
            {
                "arm": path.arm,
                "start": path.start,
                "scene": scenes.index(path.tumours),
                "end": path.end,
                "found": path.found,
                "path": _packed(path, field),
            }
            for path in selection.paths
        ],
    }
    return data, selection.describe(step)


def _packed(path: Path, field: FieldView) -> list[int]:
    scaled = np.rint(path.points / field.half * SCALE).astype(int)
    levels = np.array(field.levels(path.points, np.array(path.tumours)))[:, None]
    return [int(number) for number in np.concatenate([scaled, levels], axis=1).ravel()]


def _markup(data: Mapping[str, Any]) -> str:
    arms = "".join(f'<option value="{index}">{escape(name)}</option>' for index, name in enumerate(data["arms"]))
    starts = "".join(f'<option value="{index}">{index + 1}</option>' for index in range(data["starts"]))
    if len(data["scenes"]) == 1 and data["starts"] > 1:
        starts += '<option value="-1">all</option>'
    style = "display:flex;flex-wrap:wrap;gap:6px 18px;align-items:center;margin:4px 0"
    return (
        f'<div style="{style}">'
        f'<label>Arm <select data-role="arm"><option value="-1">all</option>{arms}</select></label>'
        f'<label>Start <select data-role="start">{starts}</select></label>'
        '<label>Colour <select data-role="colour"><option value="arm">arm</option>'
        '<option value="concentration">concentration</option></select></label>'
        '<label><input type="checkbox" data-role="field" checked> field</label></div>'
        '<canvas data-role="view" tabindex="0" role="img" aria-label="trajectories in three dimensions; '
        'turn with the arrow keys" style="width:100%;max-width:900px;height:560px;display:block;'
        'touch-action:none;cursor:grab"></canvas>'
        f'<div style="{style};max-width:900px"><button type="button" data-role="play" '
        'style="min-width:5em">Play</button>'
        '<input type="range" data-role="time" min="0" max="1000" value="1000" aria-label="time" '
        'style="flex:1;min-width:160px"><output data-role="clock" style="font-variant-numeric:tabular-nums;'
        'min-width:5em"></output></div>'
        f'<div data-role="legend" style="{style}"></div>'
        "<noscript>This figure needs JavaScript; nothing is fetched.</noscript>"
    )
