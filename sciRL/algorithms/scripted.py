"""Scripted policies as stages: a reference that is evaluated, reported and saved like what is learnt."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import ControlSetting
from sciRL.errors import UserError


class ScriptedConfig(BaseModel):
    """Settings of a stage that learns nothing (give it `steps: 1`)."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["scripted"] = "scripted"
    """Names this algorithm in a stage."""
    policy: str
    """Name of one of the domain's scripted policies."""


class Scripted:
    """Puts a scripted policy in the learner's place."""

    def __init__(self, setting: ControlSetting, config: ScriptedConfig, total_steps: int) -> None:
        known = setting.policy.scripted
        if config.policy not in known:
            raise UserError(
                f"unknown scripted policy {config.policy!r} of domain {setting.domain.name!r}; "
                f"allowed: {', '.join(known) or 'none'}"
            )
        setting.policy.actor = known[config.policy]

    @property
    def compute(self) -> int:
        """Nothing is spent."""
        return 0

    def iterate(self) -> Metrics:
        """There is nothing to learn."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """There is no state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is no state."""
