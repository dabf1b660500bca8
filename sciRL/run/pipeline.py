"""The run loop: stages in order, each from the policy another ended with, evaluated, checkpointed, resumable."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from sciRL.algorithms.base import Algorithm
from sciRL.algorithms.setting import Setting
from sciRL.config import dump_config, load_config
from sciRL.domain import Domain, load_domain
from sciRL.errors import UserError
from sciRL.families import load_family
from sciRL.learning.distributed import ProcessGroup
from sciRL.run.checkpoint import Checkpoint, latest_checkpoint, load_tree, save_checkpoint, save_tree
from sciRL.run.directory import RunDirectory, describe_run, hash_data
from sciRL.run.display import Display
from sciRL.run.evaluation import evaluate_policy
from sciRL.run.metrics import JsonlLog, MetricsLog
from sciRL.run.randomness import rng_state, seed_everything, set_rng_state
from sciRL.run.results import ArmResult, load_arms, save_arms, save_figures
from sciRL.run.settings import (
    PolicyConfig,
    RunConfig,
    StageConfig,
    fill_likes,
    for_domain,
)
from sciRL.run.tracking import make_trackers
from sciRL.verification.pool import WorkerPool
from sciRL.verification.runner import FailureMonitor

UNTRAINED = "untrained"


def train(
    domain: str | Domain,
    recipe: Path | None = None,
    data: Path | None = None,
    model: str | None = None,
    overrides: Sequence[str] = (),
    out: Path = Path("runs/latest"),
    resume: bool = False,
) -> Path:
    """Run all stages of a recipe and write policy and report; return the run folder.

    Args:
        domain: an installed domain's name, or a Domain object.
        recipe: a YAML file (unread when resuming: the run's own configuration is used).
        data: a dataset folder, or a source file or folder to build one from; None takes the embedded one.
        model: overrides `model.path`.
        overrides: `key=value` texts.
        out: the run folder to make, or to go on with.

    Raises:
        UserError: bad input; nothing half-written remains.
        KeyboardInterrupt: after the checkpoint that Ctrl-C asked for.
    """
    domain = load_domain(domain) if isinstance(domain, str) else domain
    processes = ProcessGroup()
    if resume:
        run, config, folder = _reopen(domain, data, out, processes)
    else:
        RunDirectory.check_free(out)
        config, folder = _configure(domain, recipe, data, model, overrides, out, processes)
    with WorkerPool(config.compute.workers, config.compute.verifier_limit_s) as pool:
        setting = make_setting(domain, config, folder, pool, processes)
        if not resume:
            # Only now: a model that cannot be loaded, or data that no stage can use, leaves no run folder behind.
            config = load_family(domain.family).prepare(setting, config)
            run = _create(domain, config, folder, out, processes)
        RunLoop(run, config, setting).run_all(resume)
    run.close()
    return run.path


def _configure(
    domain: Domain,
    recipe: Path | None,
    data: Path | None,
    model: str | None,
    overrides: Sequence[str],
    out: Path,
    processes: ProcessGroup,
) -> tuple[RunConfig, Path]:
    given = [*overrides, *([f"model.path={model}"] if model is not None else [])]
    config = load_config(for_domain(RunConfig, domain), recipe, given, prepare=fill_likes)
    config.active_stages()
    # One process builds the dataset; the others wait for its place.
    return config, processes.from_main(dataset_folder(domain, data, out) if processes.is_main else Path())


def _create(domain: Domain, config: RunConfig, folder: Path, out: Path, processes: ProcessGroup) -> RunDirectory:
    if processes.is_main:
        device = str(config.compute.torch_device())
        model = load_family(domain.family).model_name(config)
        manifest = describe_run(config.seed, folder, device, model) | {
            "domain": domain.name,
            "title": domain.title,
            "disclaimer": domain.disclaimer,
        }
        run = RunDirectory.create(out, dump_config(config), manifest)
    else:
        run = RunDirectory(out)
    processes.barrier()
    return run


def _reopen(
    domain: Domain, data: Path | None, out: Path, processes: ProcessGroup
) -> tuple[RunDirectory, RunConfig, Path]:
    manifest = RunDirectory.open(out).read_manifest()
    if manifest.get("domain") != domain.name:
        raise UserError(f"run {out} is of domain {manifest.get('domain')!r}, not {domain.name!r}")
    folder = dataset_folder(domain, data, out) if data is not None else Path(manifest["data"])
    # One process writes; the others only read.
    run = RunDirectory.resume(out, hash_data(folder)) if processes.is_main else RunDirectory.open(out)
    config = load_config(for_domain(RunConfig, domain), run.config)
    return run, config, folder


def dataset_folder(domain: Domain, data: Path | None, out: Path) -> Path:
    """Return a built dataset: the embedded one, the given folder, or one built from the given source beside the run."""
    if data is None:
        return domain.default_data()
    if not data.exists():
        raise UserError(f"data {data} does not exist; give a dataset folder, a source file or a source folder")
    if (data / "manifest.json").is_file():
        return data
    # Of this source as it is now: another one, or one that was changed, is built anew.
    built = out.with_name(f"{out.name}-data-{hash_data(data)[:8]}")
    if not (built / "manifest.json").is_file():
        print(f"building a dataset from {data} in {built}")
        print("\n".join(domain.build(str(data), built, {}).lines()))
    return built


def make_setting(
    domain: Domain, config: PolicyConfig, data: Path, pool: WorkerPool, processes: ProcessGroup | None = None
) -> Setting:
    """Load the policy and put together what the algorithms share."""
    torch.set_num_threads(config.compute.threads)
    family = load_family(domain.family)
    options = config.domain  # type: ignore[attr-defined]
    return family.setting(
        domain,
        options,
        data,
        family.make_policy(domain, options, config, data),
        pool,
        FailureMonitor(config.compute.max_failure_share, config.compute.constant_score_steps),
        processes or ProcessGroup(),
        config.compute,
        config.seed,
    )


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    stage: str = UNTRAINED
    stage_step: int = 0
    global_step: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    compute: dict[str, int] = field(default_factory=dict)

    def to_tree(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(vars(self))


class RunLoop:
    """Drives the stages of one run."""

    def __init__(self, run: RunDirectory, config: RunConfig, setting: Setting) -> None:
        self.run, self.config, self.setting = run, config, setting
        self.stages = config.active_stages()
        self.family = load_family(setting.domain.family)
        self.main = setting.processes.is_main
        self.progress = Progress()
        self.display = Display(run.path)
        trackers = make_trackers(config.logging.trackers, run.path, config.model_dump()) if self.main else []
        self.metrics = MetricsLog(run.path, trackers) if self.main else None
        self.samples = JsonlLog(run.samples) if self.main else None
        self.rubric = setting.domain.rubric(setting.data, setting.options, config.evaluation.rubric)
        self.stop_asked = False

    def run_all(self, resume: bool) -> None:
        """Run or go on until every stage is done, then write policy and report."""
        found = latest_checkpoint(self.run.checkpoints) if resume else None
        algorithm_state: dict[str, Any] | None = None
        if found is not None:
            algorithm_state = self._restore(found)
        else:
            if self.metrics is not None and self.samples is not None:
                self.metrics.restart()
                self.samples.load_state_dict({"lines": 0})
            seed_everything(self.config.seed)
            self._end_stage(UNTRAINED, None)
        with self._interruptible():
            if self.config.evaluation.untrained:
                self._evaluate_arm(UNTRAINED, "untrained", "the model before training")
            for index, (name, stage) in enumerate(self.stages.items()):
                if name not in self.progress.ends:
                    self._run_stage(index, name, stage, algorithm_state if self.progress.stage == name else None)
                    algorithm_state = None
                self._evaluate_arm(name, stage.role, stage.description or name)
        self._finish()

    # -- stages --------------------------------------------------------------------------------

    def _run_stage(self, index: int, name: str, stage: StageConfig, state: dict[str, Any] | None) -> None:
        progress = self.progress
        if state is None:
            self._load_end_of(stage.start or UNTRAINED)
            seed_everything(self.config.seed + 1000 * (index + 1))
            progress.stage, progress.stage_step = name, 0
            algorithm = self.family.make_algorithm(self.setting, stage.train, stage.steps)
        else:
            generators = rng_state()
            algorithm = self.family.make_algorithm(self.setting, stage.train, stage.steps)
            algorithm.load_state_dict(state)
            set_rng_state(generators)
        budget = progress.compute[stage.compute_of] if stage.compute_of is not None else math.inf
        if self.main:
            self.display.begin(name, stage.steps, progress.stage_step)
        while progress.stage_step < stage.steps and algorithm.compute < budget:
            self._step(name, stage, algorithm, budget)
        if self.main:
            self.display.end()
        progress.compute[name] = algorithm.compute
        self._end_stage(name, algorithm)

    def _step(self, name: str, stage: StageConfig, algorithm: Algorithm, budget: float) -> None:
        progress, config = self.progress, self.config
        began = time.monotonic()
        before = algorithm.compute
        metrics = dict(algorithm.iterate())
        progress.stage_step += 1
        progress.global_step += 1
        every = config.evaluation.every
        if every and progress.stage_step % every == 0:
            metrics |= self._held_out()
        metrics["compute"] = float(algorithm.compute)
        seconds = time.monotonic() - began
        metrics["time/seconds"] = seconds
        metrics[f"time/{self.family.rate}"] = (algorithm.compute - before) / max(seconds, 1e-9)
        if self.metrics is not None:
            self.metrics.write(progress.global_step, name, metrics)
            self.display.update(progress.stage_step, metrics, algorithm.compute / max(1.0, budget))
            self._log_samples(name, algorithm)
        last = progress.stage_step >= stage.steps
        if not last and (self.stop_asked or progress.stage_step % config.logging.checkpoint_every == 0):
            self._checkpoint(algorithm, pinned=False)
        if self.stop_asked:
            if last:
                progress.compute[name] = algorithm.compute
                self._end_stage(name, algorithm)
            raise KeyboardInterrupt

    def _held_out(self) -> dict[str, float]:
        config = self.config.evaluation
        records = evaluate_policy(self.setting, config, self.rubric, config.samples_every)
        arm = ArmResult("", "trained", "", "", records, self._summary(records))
        return {f"held_out/{name}": value for name, value in arm.summary().items()}

    def _summary(self, records: Sequence[Any]) -> dict[str, float]:
        return self.setting.domain.summarize(records, self.setting.data, self.setting.options)

    def _log_samples(self, name: str, algorithm: Algorithm) -> None:
        batch = getattr(algorithm, "last_batch", None)
        config = self.config.logging
        if batch is None or self.samples is None or self.progress.stage_step % config.samples_every:
            return
        for row in range(min(config.samples, len(batch))):
            score = batch.rows["score"][row]
            self.samples.append(
                {
                    "step": self.progress.global_step,
                    "stage": name,
                    "prompt": batch.rows["task"][row].text,
                    "answer": batch.rows["answer"][row],
                    **score.to_dict(),
                }
            )

    # -- checkpoints ---------------------------------------------------------------------------

    def _end_stage(self, name: str, algorithm: Algorithm | None) -> None:
        self.progress.ends[name] = self.progress.global_step
        self._checkpoint(algorithm, pinned=True)

    def _checkpoint(self, algorithm: Algorithm | None, *, pinned: bool) -> None:
        if not self.main or self.metrics is None or self.samples is None:
            self.setting.processes.barrier()
            return
        finished = self.progress.stage in self.progress.ends
        state = {
            "progress": self.progress.to_tree(),
            "rng": rng_state(),
            "algorithm": None if algorithm is None or finished else algorithm.state_dict(),
            # It watches the verifier over the whole run, so a resumed run must know what earlier stages met.
            "monitor": self.setting.monitor.state_dict(),
            "metrics": self.metrics.state_dict(),
            "samples": self.samples.state_dict(),
        }

        def write(folder: Path) -> None:
            self.setting.policy.save(folder / "policy")
            save_tree(folder / "state.safetensors", state)

        save_checkpoint(
            self.run.checkpoints, self.progress.global_step, write, keep=self.config.logging.keep, pinned=pinned
        )
        self.setting.processes.barrier()

    def _restore(self, checkpoint: Checkpoint) -> dict[str, Any] | None:
        state = load_tree(checkpoint.folder / "state.safetensors")
        self.progress = Progress(**state["progress"])
        self.setting.policy.load(checkpoint.folder / "policy")
        set_rng_state(state["rng"])
        self.setting.monitor.load_state_dict(state["monitor"])
        if self.metrics is not None and self.samples is not None:
            self.metrics.load_state_dict(state["metrics"])
            self.samples.load_state_dict(state["samples"])
            self.display.message(f"resuming {self.run.path} after step {self.progress.global_step}")
        algorithm_state: dict[str, Any] | None = state["algorithm"]
        return algorithm_state

    def _load_end_of(self, name: str) -> None:
        step = self.progress.ends[name]
        self.setting.policy.load(self.run.checkpoints / f"step-{step:08d}" / "policy")

    # -- evaluation and end --------------------------------------------------------------------

    def _evaluate_arm(self, name: str, role: Any, description: str) -> None:
        arms = load_arms(self.run.results) if self.main and (self.run.results / "arms.json").is_file() else {}
        if self.setting.processes.from_main(name in arms):
            return
        self._load_end_of(name)
        config = self.config.evaluation
        records = evaluate_policy(self.setting, config, self.rubric, config.samples)
        spent = self.progress.compute.get(name, 0)
        steps = self.progress.ends[name] - max(
            (s for n, s in self.progress.ends.items() if s < self.progress.ends[name]), default=0
        )
        compute = f"{steps} steps, {spent / 1e6:.1f} M {self.family.compute_unit}" if spent else "none"
        metrics = self._summary(records) | self.family.measure(self.setting)
        figures = self.setting.domain.policy_figures(name, self.setting.policy, self.setting.options)
        arm = ArmResult(name, role, description, compute, records, metrics, figures)
        if self.main:
            save_arms(self.run.results, {**arms, name: arm})
            low, high = arm.pass_interval
            self.display.message(
                f"{name}: passed {arm.passed} of {arm.n} held-out attempts ({arm.pass_rate:.3f}, "
                f"95 % {low:.3f} to {high:.3f})"
            )
        self.setting.processes.barrier()
        if self.stop_asked:
            raise KeyboardInterrupt

    def _finish(self) -> None:
        from sciRL.run.report import rewrite_report

        final = self.config.final_stage()
        self._load_end_of(final)
        if self.main:
            self.setting.policy.save(self.run.policy)
            if self.metrics is not None and self.samples is not None:
                self.metrics.close()
                self.samples.close()
            domain = self.setting.domain
            arms = load_arms(self.run.results)
            records = {name: arm.records for name, arm in arms.items()}
            figures = domain.figures(records, self.setting.data, self.setting.options)
            save_figures(self.run.results, [*figures, *(figure for arm in arms.values() for figure in arm.figures)])
            domain.export_samples(arms[final].records, self.run.path / "samples")
            rewrite_report(self.run.path)
        self.setting.processes.barrier()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let the first Ctrl-C finish the step and save; the second stops at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.stop_asked:
                raise KeyboardInterrupt
            self.stop_asked = True
            self.display.message("stopping after this step; press Ctrl-C again to stop at once")

        try:
            previous: Callable[..., Any] | int | None = signal.signal(signal.SIGINT, ask)
        except ValueError:  # not the main thread
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)
