"""Sharded training (FSDP2): each process keeps a slice of every weight, gradient and optimiser moment.

`torch.distributed.fsdp.fully_shard` (PyTorch FSDP, arXiv:2304.11277; its second, per-parameter form) cuts every
parameter along its first dimension over all processes. A block's weights are gathered when its forward or
backward begins and let go when it ends, so that only one block is whole at a time; gradients are summed on the
way back, which gives each process the slice of the same global gradient that `sum_gradients` would have made.

A model that is sharded carries its `Sharding` as `model.sharding`: what samplers and files need of it, whole
weights, is had there. Whatever gathers is called by all processes together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from sciRL.learning.distributed import ProcessGroup
from sciRL.learning.scorer import TokenScorer, base_causal_lm

ShardingKind: TypeAlias = Literal["none", "fsdp2"]


class Sharding:
    """A causal language model cut over all processes, and the ways to see it whole.

    The scorer is the root that FSDP knows: it is what a learner calls, and it holds what no block does (embedding,
    last norm, head). It lives as long as the model, since a parameter cannot be cut a second time.

    Args:
        model: a whole model, alike on every process; it is cut in place. Adapters and frozen weights are cut too.
        processes: who shares it.
        autocast: type in which blocks compute and weights travel; None keeps the weights' own. Gradients are
            summed in float32.
    """

    def __init__(self, model: Any, processes: ProcessGroup, autocast: torch.dtype | None = None) -> None:
        self.model, self.processes, self.autocast = model, processes, autocast
        self.device = next(model.parameters()).device
        self.mesh = init_device_mesh(self.device.type, (processes.size,))
        self.precision = MixedPrecisionPolicy(param_dtype=autocast, reduce_dtype=torch.float32)
        self._blueprint = _copy_with(model, (p.detach().to("meta") for p in model.parameters()))
        self.scorer = TokenScorer(model)
        for block in _blocks(model):
            self.cut(block)
        self.cut(self.scorer)
        model.sharding = self

    def cut(self, module: nn.Module) -> None:
        """Shard the parameters of `module` that no module inside it has sharded yet."""
        sharded = fully_shard(module, mesh=self.mesh, mp_policy=self.precision, reshard_after_forward=True)
        # Denominators are those of the global batch: gradients of the processes are added, not averaged.
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)

    @torch.no_grad()
    def whole(self, device: str | torch.device | None = None, *, main_only: bool = False) -> Any:
        """Return a plain copy of the model with all its weights; called by all processes together.

        Args:
            device: where the copy goes; None takes the model's device.
            main_only: only the main process keeps it; the others help gathering and return None.
        """
        keep = self.processes.is_main or not main_only
        target = self.device if device is None else torch.device(device)
        gathered = []
        for parameter in self.model.parameters():
            full = parameter.full_tensor()
            if keep:
                gathered.append(full.to(target))
        return _copy_with(self._blueprint, gathered).to(target) if keep else None

    @torch.no_grad()
    def load(self, plain: nn.Module) -> None:
        """Take each process's slice of the weights of a plain model of the same shape."""
        for mine, theirs in zip(self.model.parameters(), plain.parameters(), strict=True):
            mine.copy_(cut_like(theirs, mine))

    def frozen_copy(self) -> TokenScorer:
        """Return a scorer of the present weights, sharded likewise, that is never trained."""
        return Sharding(self.whole().requires_grad_(False), self.processes, self.autocast).scorer


def sharded_scorer(
    model: Any, processes: ProcessGroup, *, critic: bool, autocast: torch.dtype | None = None
) -> TokenScorer:
    """Return the scorer of a sharded model with a fresh critic or none; a model that is still whole is cut."""
    sharding: Sharding | None = getattr(model, "sharding", None)
    if sharding is None:
        sharding = Sharding(model, processes, autocast)
        processes.duties["policy"] = lambda: model.sharding.whole("cpu", main_only=True)
    scorer = sharding.scorer
    scorer.value_head = TokenScorer(model, critic=critic).to(sharding.device).value_head
    if scorer.value_head is not None:
        sharding.cut(scorer.value_head)
    return scorer


def _blocks(model: Any) -> list[nn.Module]:
    """Return the repeated blocks of a Hugging Face model, by the class names it forbids to split."""
    names = set(getattr(base_causal_lm(model), "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def _copy_with(model: Any, tensors: Iterable[Tensor]) -> Any:
    """Return a deep copy of a module that has `tensors` in the place of its parameters (ties are kept)."""
    pairs = zip(model.parameters(), tensors, strict=True)
    memo: dict[int, Any] = {id(old): nn.Parameter(new, old.requires_grad) for old, new in pairs}
    return copy.deepcopy(model, memo)


# -- tensors and states ----------------------------------------------------------------------------


def gathered(tensor: Tensor) -> Tensor:
    """Return a tensor whole and on the CPU; called by all processes together where it is sharded."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()


def cut_like(whole: Tensor, like: Tensor) -> Tensor:
    """Return the slice of `whole`, which every process holds, that matches a sharded tensor (or all of it)."""
    whole = whole.detach().to(like.device)
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def whole_state(values: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Return tensors whole and on the CPU, one gathered after the other; a process that does not `keep` only helps."""
    state = {}
    for name, value in values.items():
        full = value.full_tensor() if isinstance(value, DTensor) else value
        if keep:
            state[name] = full.detach().cpu()
    return state


def load_whole_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state of whole tensors, which every process holds, into a module that may be sharded."""
    present = module.state_dict()
    module.load_state_dict({name: cut_like(value, present[name]) for name, value in state.items()})


def optimizer_state(scorer: TokenScorer, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return `optimizer.state_dict()` with whole tensors; of sharded ones, on the main process only ({} elsewhere).

    Parameters are numbered as in any optimiser state, so that an unsharded optimiser of the same model can load it.
    """
    plain = optimizer.state_dict()
    # Without a state, get_optimizer_state_dict would take a step to make one, which would count.
    if not plain["state"] or not isinstance(scorer, FSDPModule):
        return plain
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    named: dict[str, Any] = get_optimizer_state_dict(scorer, optimizer, options=options)
    if not named:
        return {}
    numbers = {name: number for number, name in enumerate(_optimizer_names(scorer, optimizer))}
    return {
        "state": {numbers[name]: value for name, value in named["state"].items()},
        "param_groups": plain["param_groups"],
    }


def load_optimizer_state(scorer: TokenScorer, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what `optimizer_state` returned for any number of processes; every process holds all of it."""
    if not state["state"] or not isinstance(scorer, FSDPModule):
        optimizer.load_state_dict(state)
        return
    names = _optimizer_names(scorer, optimizer)
    named: dict[str, Any] = {
        "state": {names[number]: value for number, value in state["state"].items()},
        "param_groups": [g | {"params": [names[number] for number in g["params"]]} for g in state["param_groups"]],
    }
    set_optimizer_state_dict(scorer, optimizer, named, options=StateDictOptions(full_state_dict=True))


def _optimizer_names(scorer: TokenScorer, optimizer: torch.optim.Optimizer) -> list[str]:
    """Return the names of an optimiser's parameters by their numbers in its state."""
    names = {parameter: name for name, parameter in scorer.named_parameters()}
    return [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
