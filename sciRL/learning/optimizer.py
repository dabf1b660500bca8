"""Optimiser and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn


class OptimizerConfig(BaseModel):
    """AdamW with warm-up and an optional decay of the learning rate."""

    model_config = ConfigDict(extra="forbid")

    learning_rate: float = Field(1e-6, gt=0)
    """Peak learning rate; 1e-6 suits billions of parameters, 3e-4 to 1e-3 models from scratch."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's decoupled decay, on matrices only."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's moment decay rates."""
    epsilon: float = Field(1e-8, gt=0)
    """AdamW's epsilon. Far above the gradient's root mean square it makes the step momentum SGD with a rate of
    learning_rate / epsilon: weights with small gradients, mostly noise in policy gradients, then hardly move."""
    gradient_clip: float = Field(1.0, gt=0)
    """Largest global gradient norm."""
    warmup_steps: int = Field(0, ge=0)
    """Steps of linear warm-up."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How the rate falls after warm-up."""
    final_fraction: float = Field(0.0, ge=0, le=1)
    """Fraction of the peak rate left at the last step."""


def learning_rate_factor(config: OptimizerConfig, step: int, total_steps: int) -> float:
    """Return the factor on the peak rate at optimiser step `step` (0-based) of `total_steps`."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    span = max(1, total_steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    shape = 0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else 1 - progress
    return config.final_fraction + (1 - config.final_fraction) * shape


def make_optimizer(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
    """Build AdamW with weight decay on matrices only (norms and biases are not decayed)."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        # One kernel for all parameters, on the devices that have it.
        fused=all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in trained),
    )
