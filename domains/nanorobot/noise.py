"""Standard normals for all rows at once: from one generator (training), or from each row's own seed (evaluation).

Rows are padded to a multiple of `LANES` everywhere in this package: the last few elements of a tensor may go through
another instruction path than the rest, with another rounding, and then a row would depend on the size of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

LANES = 32
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
_PAIRS_PER_STEP = 128
_SEED_MASK = (1 << 63) - 1


class Noise(Protocol):
    """Where the normals of a step come from."""

    def fill(self, out: Tensor, counter: Tensor) -> Tensor:
        """Fill and return `out` [C, M] with standard normals; `counter` [M] int64 says at which step each row is."""
        ...


class SharedNoise:
    """Normals of one generator for the whole batch: fast, and a row depends on the batch it is in."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device=device)
        self.generator.manual_seed(seed & _SEED_MASK)

    def fill(self, out: Tensor, counter: Tensor) -> Tensor:
        """Fill `out` [C, M] with standard normals; the counter is not used."""
        return out.normal_(generator=self.generator)

    def state(self) -> Tensor:
        """Return the generator's state."""
        return self.generator.get_state()

    def set_state(self, state: Tensor) -> None:
        """Restore the generator's state."""
        self.generator.set_state(state)


class RowNoise:
    """Normals that are a function of (row seed, step, component): a row is the same in every batch.

    SplitMix64 (Steele, Lea and Flood 2014) hashes seed and counter; Box and Muller's transform makes a pair of normals
    of each 64-bit word.
    """

    def __init__(self, seeds: Tensor) -> None:
        self.keys = _mix(seeds + _GOLDEN)

    def fill(self, out: Tensor, counter: Tensor) -> Tensor:
        """Fill `out` [C, M], C even, with the normals of step `counter` [M] (int64, may be negative) of each row."""
        pairs = out.shape[0] // 2
        index = torch.arange(pairs, device=out.device).unsqueeze(1)
        word = _mix(self.keys + (counter * _PAIRS_PER_STEP + index) * _GOLDEN)
        scale = 2.0**-24
        radius = ((_shifted(word, 40) + 1).to(torch.float32) * scale).log().mul_(-2.0).sqrt_()
        angle = ((word >> 8) & 0xFFFFFF).to(torch.float32).mul_(scale * 2 * math.pi)
        torch.mul(radius, angle.cos(), out=out[:pairs])
        torch.mul(radius, angle.sin(), out=out[pairs:])
        return out


def next_seeds(seeds: Tensor) -> Tensor:
    """Return the seed [M] of each row's next episode."""
    return _mix(seeds ^ _SECOND) & _SEED_MASK


def next_seed(seed: int) -> int:
    """Return the seed of the episode after the one of `seed`."""
    return int(next_seeds(torch.tensor([seed & _SEED_MASK]))[0])


def seed_tensor(seeds: Sequence[int], device: torch.device) -> Tensor:
    """Return seeds as int64 [M], padded with copies of the last one."""
    count = padded(len(seeds))
    wrapped = [seed & _SEED_MASK for seed in seeds]
    return torch.tensor(wrapped + wrapped[-1:] * (count - len(wrapped)), dtype=torch.int64, device=device)


def padded(rows: int) -> int:
    """Return the number of rows in memory for `rows` of use."""
    return -(-rows // LANES) * LANES


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: int64 shifts keep the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)
