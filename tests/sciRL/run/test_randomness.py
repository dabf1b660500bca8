"""Seeding of the global generators."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from sciRL.run.randomness import rng_state, seed_everything, set_rng_state


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**63, 10**26])
def test_a_seed_of_any_size_repeats_the_numbers(seed: int) -> None:
    seed_everything(seed)
    first = drawn()
    state = rng_state()
    after = drawn()
    seed_everything(seed)
    assert drawn() == first
    set_rng_state(state)
    assert drawn() == after != first


def test_seeds_below_two_to_the_63_are_torchs_own() -> None:
    for seed in (0, 7, 2**63 - 1):
        seed_everything(seed)
        assert float(torch.rand(())) == float(torch.rand((), generator=torch.Generator().manual_seed(seed)))
