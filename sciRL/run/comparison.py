"""Several runs in one table: mean and spread over seeds, and paired differences where the seeds match."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sciRL.config import read_recipe
from sciRL.errors import UserError
from sciRL.run.directory import RunDirectory
from sciRL.run.page import Cell, page, section, table, text_cell
from sciRL.run.results import load_arms
from sciRL.task import canonical_json

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NORMAL = 1.960
PAIRED_METRICS = ("pass_rate", "mean_score")
HEADLINE = (*PAIRED_METRICS, "verifier_failures")


@dataclass(frozen=True)
class RunSummary:
    """The final figures of one run, by arm and metric."""

    method: str
    path: Path
    seed: int
    data_hash: str
    roles: dict[str, str]
    arms: dict[str, dict[str, float]]
    disclaimer: str = ""

    @property
    def trained(self) -> list[str]:
        """The names of the arms of role "trained"."""
        return [name for name, role in self.roles.items() if role == "trained"]


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (ddof = 1; nan for one seed) over `n` seeds."""

    mean: float
    sd: float
    n: int


@dataclass(frozen=True)
class Difference:
    """A paired difference over the seeds that both sides have, with its 95 % t interval."""

    what: str
    metric: str
    spread: Spread
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """`figures[metric][(method, arm)]`, the paired differences, and what makes the runs hard to compare."""

    runs: list[RunSummary]
    figures: dict[str, dict[tuple[str, str], Spread]]
    differences: list[Difference]
    warnings: list[str]

    @property
    def disclaimers(self) -> list[str]:
        """What the runs' domains must not be taken for, each once."""
        return list(dict.fromkeys(run.disclaimer for run in self.runs if run.disclaimer))


def parse_run(text: str) -> tuple[str | None, Path]:
    """Read `[METHOD=]RUN` as the command line gives it."""
    method, equals, rest = text.partition("=")
    return (method, Path(rest)) if equals and not Path(text).exists() else (None, Path(text))


def compare_runs(runs: Sequence[tuple[str | None, Path]]) -> Comparison:
    """Read finished runs and compare them.

    Args:
        runs: (method, run folder); runs without a method are grouped by equal configuration but for the seed,
            and named after the first folder of their group.

    Raises:
        UserError: a folder that is not a finished run, or one given twice.
    """
    paths = [path.resolve() for _, path in runs]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise UserError(f"run {twice} is given twice: it would count as two seeds")
    names: dict[str, str] = {}
    summaries = [_read_run(method, path, names) for method, path in runs]
    _reject_repeated_seeds(summaries)
    keys = dict.fromkeys((run.method, arm) for run in summaries for arm in run.arms)
    metrics = dict.fromkeys(metric for run in summaries for arm in run.arms.values() for metric in arm)
    figures = {
        metric: {
            (method, arm): spread(
                [run.arms[arm][metric] for run in summaries if run.method == method and metric in run.arms.get(arm, {})]
            )
            for method, arm in keys
        }
        for metric in metrics
    }
    return Comparison(summaries, figures, _differences(summaries), _warnings(summaries))


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation.

    Example:
        >>> spread([1.0, 3.0])
        Spread(mean=2.0, sd=1.4142135623730951, n=2)
    """
    n = len(values)
    if n == 0:
        return Spread(math.nan, math.nan, 0)
    mean = math.fsum(values) / n
    if n == 1:
        return Spread(mean, math.nan, 1)
    return Spread(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)), n)


def paired_difference(what: str, metric: str, pairs: Sequence[tuple[float, float]]) -> Difference:
    """Return the mean of first - second with a 95 % t interval (nan bounds for one pair)."""
    found = spread([first - second for first, second in pairs])
    freedom = found.n - 1
    t = _T[max(freedom, 1) - 1] if freedom <= len(_T) else _NORMAL
    half = t * found.sd / math.sqrt(found.n)
    return Difference(what, metric, found, found.mean - half, found.mean + half)


def comparison_text(comparison: Comparison) -> str:
    """Return the comparison for a terminal."""
    lines = [*comparison.disclaimers, *(f"warning: {text}" for text in comparison.warnings)]
    lines.append(f"\n{'method':20s} {'arm':20s} " + " ".join(f"{name:>26s}" for name in HEADLINE))
    for method, arm in next(iter(comparison.figures.values()), {}):
        cells = [_spread_text(comparison.figures[name][method, arm]) for name in HEADLINE]
        lines.append(f"{method:20s} {arm:20s} " + " ".join(f"{cell:>26s}" for cell in cells))
    if comparison.differences:
        lines.append("\npaired differences, mean (95 % t interval) over seeds")
        lines += [f"  {item.what:52s} {item.metric:12s} {_difference_text(item)}" for item in comparison.differences]
    return "\n".join(lines)


def comparison_html(comparison: Comparison) -> str:
    """Return the comparison as one self-contained page."""
    keys = list(next(iter(comparison.figures.values()), {}))
    rows = [
        [text_cell(method), text_cell(arm), *(_spread_cell(comparison, name, (method, arm)) for name in HEADLINE)]
        for method, arm in keys
    ]
    trained = [key for key in keys if key in {(run.method, arm) for run in comparison.runs for arm in run.trained}]
    others = [
        [text_cell(_plain(metric)), *(_spread_cell(comparison, metric, key) for key in trained)]
        for metric in comparison.figures
        if metric not in HEADLINE
    ]
    differences = [
        [text_cell(item.what), text_cell(item.metric), Cell(_difference_text(item), number=True)]
        for item in comparison.differences
    ]
    runs = [[text_cell(run.method), text_cell(str(run.seed)), text_cell(str(run.path))] for run in comparison.runs]
    body = "<h1>Comparison of runs</h1>"
    body += "".join(f'<p class="note">{text_cell(text).html}</p>' for text in comparison.disclaimers)
    body += "".join(f'<div class="warning">{text_cell(text).html}</div>' for text in comparison.warnings)
    heads = ["Method", "Arm", *map(_plain, HEADLINE)]
    body += section("Final figures", table(heads, rows), "Mean ± sample standard deviation over seeds.")
    if others and trained:
        names = [f"{method}: {arm}" for method, arm in trained]
        body += section("Other measures of the trained arms", table(["Measure", *names], others))
    if differences:
        note = "Over the seeds that both sides have; 95 % interval by Student's t."
        body += section("Paired differences", table(["Difference", "Metric", "Mean"], differences), note)
    body += section("Runs", table(["Method", "Seed", "Folder"], runs))
    return page("Comparison of runs", body)


def _read_run(method: str | None, path: Path, names: dict[str, str]) -> RunSummary:
    run = RunDirectory.open(path)
    manifest = run.read_manifest()
    arms = load_arms(run.results)
    config, _ = read_recipe(run.config)
    config.pop("seed", None)
    key = canonical_json(config)
    return RunSummary(
        method=method or names.setdefault(key, path.resolve().name),
        path=path,
        seed=int(manifest["seed"]),
        data_hash=str(manifest["data_hash"]),
        roles={arm.name: arm.role for arm in arms.values()},
        arms={arm.name: arm.summary() for arm in arms.values()},
        disclaimer=str(manifest.get("disclaimer", "")),
    )


def _reject_repeated_seeds(runs: Sequence[RunSummary]) -> None:
    seen: dict[tuple[str, int], Path] = {}
    for run in runs:
        first = seen.setdefault((run.method, run.seed), run.path)
        if first != run.path:
            raise UserError(f"{first} and {run.path} are the same method {run.method!r} with the same seed {run.seed}")


def _differences(runs: Sequence[RunSummary]) -> list[Difference]:
    """Trained against every other arm within each method, then each method's trained arm against the first's."""
    found = []
    methods = list(dict.fromkeys(run.method for run in runs))
    by_method = {method: {run.seed: run for run in runs if run.method == method} for method in methods}
    for method, seeds in by_method.items():
        first = next(iter(seeds.values()))
        for own in first.trained:
            for other in (arm for arm in first.arms if arm != own):
                found += _paired(f"{method}: {own} - {other}", [(run, own, run, other) for run in seeds.values()])
    base = by_method[methods[0]]
    for method in methods[1:]:
        shared = sorted(set(base) & set(by_method[method]))
        found += _paired(
            f"{method} - {methods[0]}", [(by_method[method][seed], None, base[seed], None) for seed in shared]
        )
    return found


def _paired(what: str, sides: Sequence[tuple[RunSummary, str | None, RunSummary, str | None]]) -> list[Difference]:
    found = []
    for metric in PAIRED_METRICS:
        values = [(_figure(a, arm_a, metric), _figure(b, arm_b, metric)) for a, arm_a, b, arm_b in sides]
        pairs = [(x, y) for x, y in values if math.isfinite(x) and math.isfinite(y)]
        if pairs:
            found.append(paired_difference(what, metric, pairs))
    return found


def _figure(run: RunSummary, arm: str | None, metric: str) -> float:
    """The metric of an arm; of the (first) trained arm when none is named; nan when there is none."""
    name = arm if arm is not None else next(iter(run.trained), "")
    return run.arms.get(name, {}).get(metric, math.nan)


def _warnings(runs: Sequence[RunSummary]) -> list[str]:
    found = []
    if len({run.data_hash for run in runs}) > 1:
        found.append("the runs used different data (their hashes differ): their figures are not comparable")
    for method in dict.fromkeys(run.method for run in runs):
        count = sum(run.method == method for run in runs)
        if count < 3:
            found.append(f"{method} has {count} seed{'s' if count > 1 else ''}: too few to tell method from luck")
    return found


def _spread_cell(comparison: Comparison, metric: str, key: tuple[str, str]) -> Cell:
    return Cell(_spread_text(comparison.figures[metric][key]), number=True)


def _plain(metric: str) -> str:
    return metric.replace("_", " ")


def _spread_text(cell: Spread) -> str:
    if cell.n == 0:
        return "-"
    return f"{cell.mean:.4g}" if math.isnan(cell.sd) else f"{cell.mean:.4g} ± {cell.sd:.2g} (n={cell.n})"


def _difference_text(item: Difference) -> str:
    if math.isnan(item.low):
        return f"{item.spread.mean:+.4g} (one seed)"
    return f"{item.spread.mean:+.4g} ({item.low:+.3g} to {item.high:+.3g}, n={item.spread.n})"
