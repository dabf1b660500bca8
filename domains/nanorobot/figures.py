"""Report figures of the nanorobot domain: what the arms' searches look like, and how soon they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from domains.nanorobot.datasets import with_scenario
from domains.nanorobot.export import export_samples
from domains.nanorobot.metrics import read_search
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.q_table import q_table_figure
from domains.nanorobot.success_curves import curve_of, success_figure
from sciRL.domain import Figure, Record

__all__ = ["export_samples", "make_figures", "q_table_figure"]


def make_figures(arms: Mapping[str, Sequence[Record]], data: Path, options: NanorobotOptions) -> list[Figure]:
    """Return the figures for the arms of a run, as self-contained inline SVG, HTML and JavaScript.

    Args:
        arms: evaluation records by arm name, in the order of the report.
        data: scenario folder.
        options: the recipe's, without the scenario's tumours and obstacles.
    """
    options = with_scenario(options, data)
    searches = {name: [read_search(record) for record in records] for name, records in arms.items()}
    duration = options.steps * options.dt
    return [success_figure([curve_of(name, found) for name, found in searches.items()], duration)]
