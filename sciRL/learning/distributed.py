"""One process or many: `torchrun` or `accelerate launch` start the same command.

Every process holds the same global batch (sampled in shares, then exchanged), so advantages and
denominators need no communication. An update deals the micro-batches out by rank and adds the gradients
up, which is the single-process gradient up to the order of additions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


class ProcessGroup:
    """The processes of this run; with one process every method is free."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = 0
        self.duties: dict[str, Callable[[], Any]] = {}
        if self.size > 1:
            from accelerate import PartialState

            state = PartialState(cpu=not torch.cuda.is_available())
            self.rank, self.size = state.process_index, state.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, items: list[T]) -> list[T]:
        """Return this process's share of a list that all processes hold."""
        return items[self.rank :: self.size]

    def gather_shares(self, mine: list[T]) -> list[T]:
        """Return the whole list, in its original order, from the shares of all processes."""
        if self.size == 1:
            return mine
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, mine)
        whole: list[T] = []
        for position in range(max(len(part) for part in parts)):
            whole.extend(part[position] for part in parts if position < len(part))
        return whole

    def from_main(self, value: T) -> T:
        """Return the main process's value on every process."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0)
        received: T = box[0]
        return received

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes in one flat exchange."""
        if self.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        if self.size > 1:
            dist.all_reduce(x)
        return x

    def together(self, duty: str) -> Any:
        """Run `duties[duty]` on every process and return what it returned on this one.

        Only all processes together can gather what is sharded, but the run loop lets the main process save alone.
        So either all call this, or the main process does while the others wait in `barrier`, which take part there.
        """
        return self.duties[self.from_main(duty)]()

    def barrier(self) -> None:
        """Wait until every process is here; those that wait take part in the duties that the main one calls for."""
        if self.size > 1:
            while (duty := self.from_main("")) != "":
                self.duties[duty]()
            dist.barrier()
