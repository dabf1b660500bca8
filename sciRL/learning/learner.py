"""Learner: scores batches and updates the policy; the only owner of weights and optimiser."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.learning.distributed import ProcessGroup
from sciRL.learning.micro_batches import shared_prompt_batches
from sciRL.learning.optimizer import OptimizerConfig, learning_rate_factor, make_optimizer
from sciRL.learning.scorer import EntropyMode, TokenScorer
from sciRL.learning.sharding import (
    ShardingKind,
    cut_like,
    gathered,
    load_optimizer_state,
    load_whole_state,
    optimizer_state,
    sharded_scorer,
    whole_state,
)
from sciRL.models.vision import VisionProcessor
from sciRL.objective.base import LossTerm, MicroBatch
from sciRL.trajectory import TOKEN_COLUMNS, TrajectoryBatch

BATCH_COLUMNS = tuple(name for name in TOKEN_COLUMNS if name not in ("ids", "role", "turn"))


class Learner:
    """Trains one causal language model, whole or through its LoRA adapter.

    `max_tokens` bounds the size of a micro-batch (padding included where it is computed); results do not
    depend on it (bar rounding). Rows that no loss term can draw a gradient from are skipped; denominators
    stay those of the whole batch. `compute` counts token passes: 1 for a scored token, 3 for a trained one.
    With `sharding` "fsdp2" the processes share one copy of the model and of the optimiser's state; a single process
    has nobody to share with and works as with "none". `vision` makes the pixel tensors of rows with pictures
    (`rows["images"]`) for each micro-batch.
    """

    def __init__(
        self,
        model: Any,
        optimizer: OptimizerConfig,
        *,
        total_steps: int,
        temperature: float = 1.0,
        max_tokens: int = 2048,
        critic: bool = False,
        autocast: torch.dtype | None = None,
        processes: ProcessGroup | None = None,
        sharding: ShardingKind = "none",
        vision: VisionProcessor | None = None,
    ) -> None:
        self.device = next(model.parameters()).device
        self.processes = processes or ProcessGroup()
        self.sharded = sharding == "fsdp2" and self.processes.size > 1
        self.vision = vision
        if self.sharded and vision is not None:
            # Its blocks gather their weights together, which those of the vision tower do only where pictures are.
            raise UserError("compute.sharding is 'fsdp2', which vision-language models cannot have; allowed: none")
        if self.sharded:
            self.scorer = sharded_scorer(model, self.processes, critic=critic, autocast=autocast)
            self.processes.duties["learner"] = self._state
        else:
            self.scorer = TokenScorer(model, critic=critic).to(self.device)
        self.config = optimizer
        self.total_steps = total_steps
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.autocast_dtype = autocast
        self.optimizer = make_optimizer(optimizer, self.scorer.parameters())
        self.reference: TokenScorer | None = None
        self.reference_adapter: dict[str, Tensor] | None = None
        self.steps = 0
        self.compute = 0
        self.scorer.eval()

    @property
    def model(self) -> Any:
        """The trained model (peft wrapper included)."""
        return self.scorer.model

    # -- reference -----------------------------------------------------------------------------

    def freeze_reference(self) -> None:
        """Make the present policy the reference of KL terms and preference losses.

        Only trained weights are copied when an adapter is trained; the frozen base is shared.
        """
        if self._trains_adapter():
            self.reference_adapter = {name: p.detach().clone() for name, p in self._adapter().items()}
            return
        if self.sharded:
            self.reference = None  # The old one makes room before the new one is made.
            self.reference = self.model.sharding.frozen_copy()
            return
        self.reference = copy.deepcopy(self.scorer).requires_grad_(False)
        self.reference.value_head = None

    def _trains_adapter(self) -> bool:
        return hasattr(self.model, "disable_adapter")

    def _adapter(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    @contextlib.contextmanager
    def _reference(self) -> Iterator[TokenScorer]:
        if self.reference is not None:
            yield self.reference
        elif self.reference_adapter is not None:
            present = {name: p.detach().clone() for name, p in self._adapter().items()}
            self._set_adapter(self.reference_adapter)
            try:
                yield self.scorer
            finally:
                self._set_adapter(present)
        else:
            raise ValueError("logp_ref was asked for before freeze_reference()")

    @torch.no_grad()
    def _set_adapter(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._adapter().items():
            parameter.copy_(values[name])

    # -- scoring -------------------------------------------------------------------------------

    @torch.no_grad()
    def score(self, batch: TrajectoryBatch, needs: frozenset[str]) -> TrajectoryBatch:
        """Fill the asked columns among `logp_old`, `logp_ref`, `entropy`, `value`."""
        if not needs:
            return batch
        unknown = needs - {"logp_old", "logp_ref", "entropy", "value"}
        if unknown:
            raise ValueError(f"no scoring pass fills {sorted(unknown)}")
        filled: dict[str, Tensor] = {}
        if needs & {"logp_old", "entropy", "value"}:
            outputs = self._pass(self.scorer, batch, entropy="entropy" in needs, value="value" in needs)
            filled |= {name: column for name, column in outputs.items() if name in needs}
        if "logp_ref" in needs:
            with self._reference() as reference:
                filled["logp_ref"] = self._pass(reference, batch, entropy=False, value=False)["logp_old"]
        return batch.with_columns(filled)

    def _pass(self, scorer: TokenScorer, batch: TrajectoryBatch, *, entropy: bool, value: bool) -> dict[str, Tensor]:
        columns = {name: torch.zeros(batch.n_tokens) for name in ("logp_old", "entropy", "value")}
        for rows in self._micro_batches(scorer, batch):
            part = batch.select(rows)
            ids_BT, index_A = scored_positions(part)
            with self._autocast():
                logp, spread, values = scorer(
                    ids_BT.to(self.device),
                    index_A.to(self.device),
                    self.temperature,
                    "detached" if entropy else "none",
                    value,
                    **self._pictures(part, ids_BT),
                )
            positions = batch.token_index(rows)[part.action]
            columns["logp_old"][positions] = logp.float().cpu()
            if entropy:
                columns["entropy"][positions] = spread.float().cpu()
            if value:
                columns["value"][positions] = values.float().cpu()
            self.compute += part.n_tokens
        return columns

    def _micro_batches(self, scorer: TokenScorer, batch: TrajectoryBatch, unit: int = 1) -> Iterator[Tensor]:
        if self.autocast_dtype is None and scorer.shares_prompts():
            return shared_prompt_batches(batch, self.max_tokens, unit)
        return batch.micro_batches(self.max_tokens, unit=unit)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)

    # -- update --------------------------------------------------------------------------------

    def update(self, batch: TrajectoryBatch, terms: Sequence[LossTerm]) -> dict[str, float]:
        """Take one optimiser step on the whole batch and return its metrics.

        Metrics are averages over the trained tokens (or pairs): loss, KL, entropy, clip share, the
        gap between sampler and trainer log-probabilities, gradient norm.
        """
        factor = learning_rate_factor(self.config, self.steps, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        sums = self.accumulate_gradients(batch, terms)
        if not self.sharded:  # The backward passes of sharded weights have added them up.
            self.processes.sum_gradients(self.scorer.parameters())
        metrics = self._reduce_metrics(sums)
        trained = [p for p in self.scorer.parameters() if p.grad is not None]
        if trained:
            norm = gathered(torch.nn.utils.clip_grad_norm_(trained, self.config.gradient_clip))
            metrics["gradient_norm"] = float(norm)
            if not torch.isfinite(norm):
                raise FloatingPointError(f"the gradient norm is {float(norm)} at optimiser step {self.steps}")
            self.optimizer.step()
        metrics["learning_rate"] = self.config.learning_rate * factor
        self.steps += 1
        return metrics

    def accumulate_gradients(self, batch: TrajectoryBatch, terms: Sequence[LossTerm]) -> dict[str, float]:
        """Add the gradient of the objective to the parameters; return metric sums of this process."""
        unit = max(term.unit for term in terms)
        coefficients = {term.name: term.prepare(batch) for term in terms}
        active = torch.stack([term.active_rows(batch, coefficients[term.name]) for term in terms]).any(dim=0)
        active = active.reshape(-1, unit).any(dim=1).repeat_interleave(unit)
        kept = active.nonzero().flatten()
        wants = frozenset().union(*(term.outputs for term in terms))
        sums: dict[str, float] = {"rows": float(len(batch)), "rows_trained": float(len(kept))}
        if not len(kept):
            return sums
        trained = batch.select(kept)
        # The whole batch, whoever takes it: a stage of equal compute must end at the same step on every process.
        self.compute += 3 * trained.n_tokens
        positions = batch.token_index(kept)
        extra = {name: column[positions] for name, column in coefficients.items()}
        self.scorer.train()
        micro_batches = list(self._micro_batches(self.scorer, trained, unit))
        for rows in self.processes.share(micro_batches):
            self._backward(trained, rows, extra, terms, wants, sums)
        if self.sharded and self.processes.rank >= len(micro_batches) % self.processes.size > 0:
            self._idle_pass(trained.select(micro_batches[-1][:unit]), wants)
        self.scorer.eval()
        return sums

    def _idle_pass(self, part: TrajectoryBatch, wants: frozenset[str]) -> None:
        """Help the others gather weights and gradients in their last micro-batch; adds zero to the gradient."""
        torch.cat(self._scored(part, wants)).sum().mul(0.0).backward()

    def _scored(self, part: TrajectoryBatch, wants: frozenset[str]) -> tuple[Tensor, Tensor, Tensor]:
        ids_BT, index_A = scored_positions(part)
        entropy: EntropyMode = "gradient" if "entropy" in wants else "detached"
        with self._autocast():
            outputs: tuple[Tensor, Tensor, Tensor] = self.scorer(
                ids_BT.to(self.device),
                index_A.to(self.device),
                self.temperature,
                entropy,
                "value" in wants,
                **self._pictures(part, ids_BT),
            )
        return outputs

    def _pictures(self, part: TrajectoryBatch, ids_BT: Tensor) -> dict[str, Tensor]:
        """Return what the model needs to see the pictures of a micro-batch; {} where there are none."""
        images = part.rows.get("images") or [()] * len(part)
        if self.vision is not None:
            inputs = self.vision.model_inputs(images, ids_BT)
            return {name: tensor.to(self.device) for name, tensor in inputs.items()}
        if any(images):
            raise UserError("a row has pictures, but the learner was not given the processor of its model")
        return {}

    def _backward(
        self,
        batch: TrajectoryBatch,
        rows: Tensor,
        extra: dict[str, Tensor],
        terms: Sequence[LossTerm],
        wants: frozenset[str],
        sums: dict[str, float],
    ) -> None:
        part = batch.select(rows)
        action = part.action
        columns = {}
        for name in BATCH_COLUMNS:
            column = getattr(part, name)
            if column is not None:
                columns[name] = column[action].to(self.device)
        tokens = batch.token_index(rows)[action]
        columns |= {name: column[tokens].to(self.device) for name, column in extra.items()}
        logp, spread, values = self._scored(part, wants)
        micro = MicroBatch(
            logp=logp,
            row=part.row_of_token[action].to(self.device),
            n_rows=len(part),
            columns=columns,
            entropy=spread,
            value=values if "value" in wants else None,
        )
        total = torch.zeros((), device=self.device)
        for term in terms:
            loss, metrics = term.loss(micro)
            total = total + loss
            _add(sums, f"loss/{term.name}", loss)
            for name, value in metrics.items():
                _add(sums, f"sum/{name}", value)
        total.backward()
        _add(sums, "sum/entropy", spread.detach().sum())
        if "logp_sampler" in columns:
            gap = (micro.logp_old.detach() - columns["logp_sampler"]).abs()
            _add(sums, "sum/logp_gap", gap.sum())
        sums["tokens"] = sums.get("tokens", 0.0) + len(logp)
        sums["pairs"] = sums.get("pairs", 0.0) + len(part) / 2

    def _reduce_metrics(self, sums: dict[str, float]) -> dict[str, float]:
        if self.processes.size > 1:
            gathered: list[dict[str, float]] = self.processes.gather_shares([sums])
            merged: dict[str, float] = {}
            for name in sorted({key for part in gathered for key in part}):
                values = [part.get(name, 0.0) for part in gathered]
                merged[name] = values[0] if name.startswith("rows") else sum(values)
            sums = merged
        tokens, pairs = max(1.0, sums.get("tokens", 0.0)), max(1.0, sums.get("pairs", 0.0))
        metrics = {"rows_trained": sums["rows_trained"] / max(1.0, sums["rows"])}
        losses = [value for name, value in sums.items() if name.startswith("loss/")]
        if losses:
            metrics["loss"] = sum(losses)
        for name, value in sums.items():
            if name.startswith("loss/"):
                metrics[name] = value
            elif name.startswith("sum/pair/"):
                metrics[name.removeprefix("sum/")] = value / pairs
            elif name.startswith("sum/"):
                metrics[name.removeprefix("sum/")] = value / tokens
        return metrics

    # -- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return optimiser state, counters, the critic head and the reference's weights.

        All tensors are whole, however many processes hold them: any number of processes can go on. Sharded ones
        are gathered on the main process (see `ProcessGroup.together`); what the others return is incomplete.
        """
        state: dict[str, Any] = self.processes.together("learner") if self.sharded else self._state()
        return state

    def _state(self) -> dict[str, Any]:
        keep = self.processes.is_main or not self.sharded
        head, reference, adapter = self.scorer.value_head, self.reference, self.reference_adapter
        return {
            "optimizer": optimizer_state(self.scorer, self.optimizer),
            "steps": self.steps,
            "compute": self.compute,
            "value_head": whole_state(head.state_dict(), keep) if head is not None else None,
            "reference": whole_state(reference.model.state_dict(), keep) if reference is not None else None,
            "reference_adapter": whole_state(adapter, keep) if adapter is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; the model's own weights are restored by the caller before."""
        if state["reference"] is not None:
            self.freeze_reference()
            assert self.reference is not None
            load_whole_state(self.reference.model, state["reference"])
        self.reference_adapter = state["reference_adapter"]
        if self.reference_adapter is not None:
            present = self._adapter()
            self.reference_adapter = {n: cut_like(p, present[n]) for n, p in self.reference_adapter.items()}
        if state["value_head"] is not None and self.scorer.value_head is not None:
            load_whole_state(self.scorer.value_head, state["value_head"])
        load_optimizer_state(self.scorer, self.optimizer, state["optimizer"])
        self.steps = int(state["steps"])
        self.compute = int(state["compute"])


def scored_positions(batch: TrajectoryBatch) -> tuple[Tensor, Tensor]:
    """Return the rows padded to [B, T] and the flat positions [A] of their action tokens.

    A row's first token cannot be scored, since nothing comes before it: an action there raises `ValueError`.
    """
    ids_BT = batch.padded("ids")
    action = batch.padded(batch.action)
    if bool(action[:, 0].any()):
        raise ValueError("a row begins with an action token; every row needs at least one prompt token")
    return ids_BT, action.flatten().nonzero().flatten()


def _add(sums: dict[str, float], name: str, value: Tensor) -> None:
    sums[name] = sums.get(name, 0.0) + float(value.detach())
