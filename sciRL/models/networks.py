"""Small networks made from scratch: multilayer perceptron, gated memory, scaled observations.

Initial weights come from the generator that is given, never from the global one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer with torch's usual law of initial weights, drawn from the generator given."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1.0 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def mlp(
    sizes: Sequence[int],
    generator: torch.Generator,
    activation: type[nn.Module] = nn.ReLU,
    activate_last: bool = False,
) -> nn.Sequential:
    """Return linear layers with an activation between them.

    Args:
        sizes: widths, input first. Example: [4, 64, 2] has one hidden layer of 64.
        generator: draws the initial weights (on the CPU).
        activation: the function between layers.
        activate_last: whether it also follows the last layer, as in a trunk under heads.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [linear(inputs, outputs, generator), activation()]
    return nn.Sequential(*(layers if activate_last else layers[:-1]))


class GatedMemory(nn.Module):
    """A gated recurrent unit (Cho et al. 2014, arXiv 1406.1078) over sequences that begin anew inside a batch.

    Args:
        inputs: features of one input, F.
        size: width of the memory, H.
        generator: draws the initial weights, uniform within 1/sqrt(H) as in torch.
    """

    def __init__(self, inputs: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.size = size
        self.cell: nn.GRUCell = nn.utils.skip_init(nn.GRUCell, inputs, size)
        bound = 1.0 / math.sqrt(size)
        with torch.no_grad():
            for parameter in self.cell.parameters():
                parameter.uniform_(-bound, bound, generator=generator)

    def forward(self, inputs_BF: Tensor, memory_BH: Tensor) -> Tensor:
        """Return the memory [B, H] after one input."""
        after: Tensor = self.cell(inputs_BF, memory_BH)
        return after

    def unroll(self, inputs_TBF: Tensor, memory_BH: Tensor, fresh_TB: Tensor) -> Tensor:
        """Return the memories [T, B, H] after each input; rows where `fresh_TB` is true forget before that input."""
        memories = []
        kept_TB1 = (~fresh_TB).unsqueeze(-1).to(memory_BH.dtype)
        for inputs_BF, kept_B1 in zip(inputs_TBF, kept_TB1, strict=True):
            memory_BH = self.cell(inputs_BF, memory_BH * kept_B1)
            memories.append(memory_BH)
        return torch.stack(memories)


class ObservationScale(nn.Module):
    """Shifts and scales each feature by the mean and standard deviation of all observations seen so far.

    The statistics are buffers: they are saved with the network and change only in `update`. Before the first `update`
    nothing is changed.
    """

    LIMIT = 10.0
    """Scaled features are kept within plus and minus so many standard deviations."""

    count: Tensor
    mean: Tensor
    variance: Tensor
    shift: Tensor
    factor: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(features, dtype=torch.float64))
        # What `forward` needs of them, in its own precision.
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("factor", torch.ones(features))

    def forward(self, observation: Tensor) -> Tensor:
        """Return the scaled observations [..., F]."""
        return ((observation - self.shift) * self.factor).clamp(-self.LIMIT, self.LIMIT)

    @torch.no_grad()
    def update(self, observation: Tensor) -> None:
        """Take observations [..., F] into the statistics (parallel form of Chan, Golub and LeVeque 1983)."""
        seen = observation.reshape(-1, observation.shape[-1]).double()
        number, mean, variance = len(seen), seen.mean(0), seen.var(0, correction=0)
        total = self.count + number
        difference = mean - self.mean
        squares = self.variance * self.count + variance * number + difference**2 * self.count * number / total
        self.mean += difference * number / total
        self.variance.copy_(squares / total)
        self.count.copy_(total)
        self.shift.copy_(self.mean)
        # A feature that never changed has variance 0 and is only shifted.
        self.factor.copy_(torch.where(self.variance > 1e-12, self.variance, 1.0).rsqrt())
