"""The report of a run: whether it got better, beside the controls that would show if it did not.

write_report(run.path, arms, figures)      # keeps the results in the run folder and writes report.html
rewrite_report(run.path)                   # the same page again from what the folder holds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from sciRL.domain import Figure, Record
from sciRL.run.charts import Bar, bar_chart, line_chart
from sciRL.run.directory import RunDirectory, write_text
from sciRL.run.display import PART_PREFIX
from sciRL.run.findings import PASS_RATE, collapsed_metrics, find_warnings, measure_of, verdict
from sciRL.run.metrics import read_jsonl
from sciRL.run.page import Cell, facts, format_number, number_cell, page, section, table, text_cell
from sciRL.run.results import ArmResult, has_passed, load_arms, load_figures, save_arms, save_figures

ROLE_NAMES = {
    "untrained": "before training",
    "reference": "reference",
    "control": "control",
    "trained": "trained",
    "warning": "warning example",
    "bound": "upper bound",
}
CURVES = {
    "held_out/pass_rate": "Held-out pass rate",
    "reward/mean": "Reward",
    "kl": "KL to the reference",
    "entropy": "Entropy (nats per token)",
    "length/mean": "Answer length (tokens)",
    "logp_gap": "Sampler / trainer log-prob gap",
    "loss": "Loss",
}
SAMPLES_PER_ARM = 8
LONGEST_TEXT = 4000


def write_report(
    run_dir: Path, arms: Mapping[str, ArmResult], figures: Sequence[Figure] = (), notes: Sequence[str] = ()
) -> Path:
    """Keep the results of every arm in the run folder and write its `report.html`.

    Args:
        run_dir: a run folder; its manifest gives the title (`title`), the facts and a `disclaimer`.
        arms: by name, in the order to be shown; roles say which are controls.
        figures: the domain's figures.
        notes: warnings of the run itself (a stage that was cut short), shown with those found here.
    """
    run = RunDirectory.open(run_dir)
    save_arms(run.results, arms)
    save_figures(run.results, figures)
    run.update_manifest(notes=list(notes))
    return rewrite_report(run_dir)


def rewrite_report(run_dir: Path) -> Path:
    """Write `report.html` from the results, metrics and manifest in a run folder; return its path."""
    run = RunDirectory.open(run_dir)
    arms = list(load_arms(run.results).values())
    manifest = run.read_manifest()
    title = str(manifest.get("title") or run.path.resolve().name)
    warnings = [*manifest.get("notes", []), *find_warnings(arms)]
    body = "".join(
        [
            _header(title, manifest),
            f'<div class="verdict">{escape(verdict(arms))}</div>',
            "".join(f'<div class="warning">{escape(text)}</div>' for text in warnings),
            _headline(arms),
            _component_table(arms),
            _curves(read_jsonl(run.metrics)),
            _metrics_table(arms),
            _status_table(arms),
            _figures(load_figures(run.results)),
            _samples(arms),
            _origin(manifest),
        ]
    )
    write_text(run.report, page(title, body))
    return run.report


def _header(title: str, manifest: Mapping[str, Any]) -> str:
    names = {"model": "Model", "data": "Data", "data_hash": "Data hash", "seed": "Seed", "device": "Device"}
    items = [(name, str(manifest[key])) for key, name in names.items() if manifest.get(key) not in (None, "")]
    items.append(("Command", str(manifest.get("command", ""))))
    disclaimer = manifest.get("disclaimer")
    note = f'<p class="note">{escape(disclaimer)}</p>' if disclaimer else ""
    return f"<h1>{escape(title)}</h1><p class=lead>sciRL training report</p>{note}{facts(items)}"


def _headline(arms: Sequence[ArmResult]) -> str:
    rows = []
    for arm in arms:
        label = f"{escape(arm.name)} <span class=tag>{ROLE_NAMES[arm.role]}</span><br><small>{escape(arm.description)}"
        rows.append(
            [
                Cell(label + "</small>"),
                text_cell(arm.compute),
                number_cell(arm.pass_rate, *arm.pass_interval),
                number_cell(arm.mean_score, *arm.score_interval),
                number_cell(float(arm.n)),
            ]
        )
    strong = [index for index, arm in enumerate(arms) if arm.role == "trained"]
    colours = {"trained": 0, "untrained": 7, "reference": 4, "control": 6, "warning": 5, "bound": 3}
    measure = measure_of(arms)
    bars = [Bar(arm.name, measure.value(arm), *measure.interval(arm), series=colours[arm.role]) for arm in arms]
    x_range = (0.0, 1.0) if measure is PASS_RATE else None
    chart = bar_chart(f"{measure.title} with 95 % interval", bars, x_range, width=900)
    note = (
        "Every arm answered the same held-out tasks and was judged by the same rubric. Pass rate: the answer met every "
        "requirement, over all attempts (95 % Wilson interval). Mean score: over the answers the verifiers could judge "
        "(95 % bootstrap interval)."
    )
    head = ["Arm", "Compute", "Pass rate", "Mean score", "Attempts"]
    return section("Did it get better?", table(head, rows, strong) + f"<figure>{chart}</figure>", note)


def _component_table(arms: Sequence[ArmResult]) -> str:
    parts = {arm.name: arm.components for arm in arms}
    names = list(dict.fromkeys(name for values in parts.values() for name in values))
    rows = [[text_cell(name), *(number_cell(parts[arm.name].get(name)) for arm in arms)] for name in names]
    note = "Mean of each part of the rubric. A part behind a failed gate does not run and counts as 0."
    return section("Where the score comes from", _by_arm("Part", arms, rows), note)


def _by_arm(corner: str, arms: Sequence[ArmResult], rows: Sequence[Sequence[Cell]]) -> str:
    return table([corner, *(arm.name for arm in arms)], rows) if rows else ""


def _curves(rows: Sequence[Mapping[str, Any]]) -> str:
    stages = list(dict.fromkeys(str(row["stage"]) for row in rows))
    charts = []
    for key, title in CURVES.items():
        series = {stage: _points(rows, stage, key) for stage in stages}
        series = {stage: points for stage, points in series.items() if len(points) > 1}
        if series:
            charts.append(line_chart(title, series, "step of the stage"))
    for stage in stages:
        names = dict.fromkeys(
            key for row in rows if row["stage"] == stage for key in row if key.startswith(PART_PREFIX)
        )
        parts = {key.removeprefix(PART_PREFIX): _points(rows, stage, key) for key in names}
        if any(len(points) > 1 for points in parts.values()):
            charts.append(line_chart(f"Reward parts: {stage}", parts, "step of the stage"))
    body = "".join(f"<figure>{chart}</figure>" for chart in charts)
    return section("Training", f'<div class="charts">{body}</div>' if charts else "", "Point at a curve for its value.")


def _points(rows: Sequence[Mapping[str, Any]], stage: str, key: str) -> list[tuple[float, float]]:
    own = [row for row in rows if row["stage"] == stage]
    # Steps count through the whole run; stages are laid over each other by counting from their own start.
    return [
        (float(row["step"] - own[0]["step"] + 1), float(row[key]))
        for row in own
        if isinstance(row.get(key), int | float)
    ]


def _metrics_table(arms: Sequence[ArmResult]) -> str:
    names = list(dict.fromkeys(name for arm in arms for name in arm.metrics))
    collapsed = collapsed_metrics(arms)
    rows = [
        [
            text_cell(name.replace("_", " ")),
            *(number_cell(arm.metrics.get(name), alarm=(arm.name, name) in collapsed) for arm in arms),
        ]
        for name in names
    ]
    note = (
        "The domain's own measures over the same answers. Red: diversity fell below 70 % of the reference arm, which "
        "a better score can hide."
    )
    return section("Diversity and other measures", _by_arm("Measure", arms, rows), note)


def _status_table(arms: Sequence[ArmResult]) -> str:
    rows = [
        [
            text_cell(status),
            *(
                number_cell(
                    float(arm.statuses[status]), alarm=status in ("timeout", "error") and arm.statuses[status] > 0
                )
                for arm in arms
            ),
        ]
        for status in ("ok", "malformed", "timeout", "error")
    ]
    note = (
        "malformed: the answer could not be read and scores 0. timeout and error: the verifier failed; such answers "
        "have no score, count as attempts, and are never trained on."
    )
    return section("Answers by status", _by_arm("Status", arms, rows), note)


def _figures(figures: Sequence[Figure]) -> str:
    return "".join(
        section(figure.title, f"<figure>{figure.html}<figcaption>{escape(figure.caption)}</figcaption></figure>")
        for figure in figures
    )


def _samples(arms: Sequence[ArmResult]) -> str:
    blocks = []
    for arm in arms:
        rows = [_sample_row(record) for record in arm.records[:SAMPLES_PER_ARM]]
        if rows:
            head = ["Prompt", "Answer", "Score", "Status", "Reason"]
            opened = " open" if arm.role == "trained" else ""
            blocks.append(f"<details{opened}><summary>{escape(arm.name)}</summary>{table(head, rows)}</details>")
    note = f"The first {SAMPLES_PER_ARM} answers of each arm, in the order of the tasks: not chosen."
    return section("Samples", "".join(blocks), note)


def _sample_row(record: Record) -> list[Cell]:
    score = record.score
    passed = " (passed)" if has_passed(score) else ""
    value = "none" if score.value is None else f"{format_number(score.value)}{passed}"
    return [
        Cell(f"<pre>{escape(_shortened(record.task.text))}</pre>"),
        Cell(f"<pre>{escape(_shortened(record.answer))}</pre>"),
        text_cell(value),
        Cell(escape(score.status.value), alarm=not score.scorable),
        text_cell(_shortened(score.reason)),
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ... ({len(text)} characters)"


def _origin(manifest: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in manifest.get("versions", {}).items())
    items = [
        ("Versions", f"Python {manifest.get('python', '?')}, {versions}"),
        ("Code", str(manifest.get("git_commit") or "not from a checkout")),
        ("Platform", str(manifest.get("platform", "?"))),
    ]
    return section("How to get the same", facts(items), "The folder of this run holds the resolved configuration.")
