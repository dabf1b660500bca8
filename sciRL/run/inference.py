"""Asking a policy outside a run: `scirl evaluate` and `scirl sample` on a run, a model folder or a hub id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sciRL.config import load_config
from sciRL.dataset_folder import refuse_below_file
from sciRL.domain import Domain, load_domain
from sciRL.errors import UserError
from sciRL.families import load_family
from sciRL.run.directory import RunDirectory
from sciRL.run.evaluation import evaluate_policy
from sciRL.run.pipeline import dataset_folder, make_setting
from sciRL.run.results import ArmResult, save_arms
from sciRL.run.settings import PolicyConfig, for_domain
from sciRL.verification.pool import WorkerPool


def evaluate(
    policy: str,
    domain: str | Domain,
    data: Path | None = None,
    split: str = "test",
    n: int = 500,
    out: Path | None = None,
    overrides: Sequence[str] = (),
) -> ArmResult:
    """Draw `n` answers of a policy for the tasks of a split, and judge them.

    Args:
        policy: a run folder (its final policy, with the run's own settings), a model folder, or a hub id.
        domain: an installed domain's name, or a Domain object.
        data: a dataset; None takes the run's, or the embedded one.
        out: a folder for the scored answers; None writes nothing.
        overrides: `key=value` texts for the sections seed, model, compute, evaluation and domain.

    Raises:
        UserError: bad input.
    """
    domain = load_domain(domain) if isinstance(domain, str) else domain
    if out is not None:
        _need_place(out)
    config, folder, weights = _prepare(policy, domain, data, overrides)
    with WorkerPool(config.compute.workers, config.compute.verifier_limit_s) as pool:
        setting = make_setting(domain, config, folder, pool)
        if weights is not None:
            setting.policy.load(weights)
        rubric = domain.rubric(folder, setting.options, config.evaluation.rubric)
        records = evaluate_policy(setting, config.evaluation, rubric, n, split)
    metrics = domain.summarize(records, folder, setting.options)
    arm = ArmResult(Path(policy).name, "trained", policy, "", records, metrics)
    if out is not None:
        save_arms(out, {arm.name: arm})
    return arm


def sample(
    policy: str,
    domain: str | Domain,
    data: Path | None = None,
    n: int = 20,
    out: Path = Path("samples"),
    overrides: Sequence[str] = (),
) -> list[Path]:
    """Draw `n` answers and write them in the field's file format; return the files.

    The arguments are those of `evaluate`; `out` is the folder to write into.
    """
    domain = load_domain(domain) if isinstance(domain, str) else domain
    _need_place(out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"samples folder {out} exists and is not empty; choose another --out")
    arm = evaluate(policy, domain, data, "test", n, None, overrides)
    return domain.export_samples(arm.records, out)


def _need_place(out: Path) -> None:
    """Raise `UserError` when no folder can be made at `out`: before hours of sampling, not after."""
    refuse_below_file(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; a folder is needed")


def _prepare(
    policy: str, domain: Domain, data: Path | None, overrides: Sequence[str]
) -> tuple[PolicyConfig, Path, Path | None]:
    """Return configuration, dataset, and the folder to load into the policy that the configuration makes, if any."""
    config_class = for_domain(PolicyConfig, domain)
    family = load_family(domain.family)
    path = Path(policy)
    if not (path / "manifest.json").is_file():
        if family.reopen is None:
            raise UserError(f"{policy} is not a run folder; policies of domain {domain.name!r} live in runs")
        config = load_config(config_class, None, [f"model.path={policy}", *overrides])
        return config, dataset_folder(domain, data, Path("runs") / path.name), None
    run = RunDirectory.open(path)
    manifest = run.read_manifest()
    if manifest.get("domain") != domain.name:
        raise UserError(f"run {path} is of domain {manifest.get('domain')!r}, not {domain.name!r}")
    if not run.policy.is_dir():
        raise UserError(f"run {path} has no policy yet: it has not finished (go on with --resume {path})")

    def from_run(values: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in values.items() if key in config_class.model_fields}
        return kept if family.reopen is None else family.reopen(kept, run.policy)

    config = load_config(config_class, run.config, overrides, prepare=from_run)
    folder = Path(manifest["data"]) if data is None else dataset_folder(domain, data, path)
    return config, folder, run.policy if family.reopen is None else None
