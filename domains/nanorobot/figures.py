"""Report figures of the nanorobot domain: what the arms' searches look like, and how soon they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from domains.nanorobot.animation import write_animation
from domains.nanorobot.datasets import with_scenario
from domains.nanorobot.export import export_samples
from domains.nanorobot.from_above import above_figure
from domains.nanorobot.metrics import read_search
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.q_table import q_table_figure
from domains.nanorobot.success_curves import curve_of, success_figure
from domains.nanorobot.trajectory_view import trajectory_figure
from sciRL.domain import Figure, Record

__all__ = ["export_samples", "make_figures", "q_table_figure", "write_animation"]


def make_figures(arms: Mapping[str, Sequence[Record]], data: Path, options: NanorobotOptions) -> list[Figure]:
    """Return the figures for the arms of a run, as self-contained inline SVG, HTML and JavaScript.

    Args:
        arms: evaluation records by arm name, in the order of the report.
        data: scenario folder.
        options: the recipe's, without the scenario's tumours and obstacles.
    """
    options = with_scenario(options, data)
    searches = {name: [(record, read_search(record)) for record in records] for name, records in arms.items()}
    curves = [curve_of(name, [search for _, search in own]) for name, own in searches.items()]
    figures = [success_figure(curves, options.steps * options.dt)]
    runs = {
        name: [(record, search) for record, search in own if search is not None and search.valid]
        for name, own in searches.items()
    }
    runs = {name: own for name, own in runs.items() if own}
    if runs:
        figures += [trajectory_figure(runs, options), above_figure(runs)]
    return figures
