"""Supervised fine-tuning: cross-entropy on the answers of the domain's demonstrations."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import LanguageSetting
from sciRL.domain import Demonstration
from sciRL.learning.learner import Learner
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.learning.token_weights import PrecisionWeights
from sciRL.models.loading import LanguagePolicy
from sciRL.objective.sft import CrossEntropy
from sciRL.order import EpochOrder
from sciRL.rollout.continuation import continuation_ids
from sciRL.trajectory import Piece, Role, Source, TrajectoryBatch


class SupervisedConfig(BaseModel):
    """Settings of supervised fine-tuning."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["supervised"] = "supervised"
    """Names this algorithm in a stage."""
    batch_size: int = Field(64, ge=1)
    """Demonstrations a step."""
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-5)
    """Optimiser and schedule."""
    precision_weight: float = Field(1.0, ge=1)
    """How much more the tokens of the domain's precise spans (numbers) count in the mean; 1 is off."""


class SupervisedFineTuning:
    """Minimises the (weighted) mean over tokens of -log p(answer token | prompt, earlier tokens)."""

    def __init__(self, setting: LanguageSetting, config: SupervisedConfig, total_steps: int) -> None:
        self.setting, self.config = setting, config
        domain = setting.domain
        self.demonstrations = domain.demonstrations(setting.data, "train", setting.options, setting.seed)
        self.order = EpochOrder(len(self.demonstrations), setting.seed)
        self.learner = Learner(
            setting.policy.model,
            config.optimizer,
            total_steps=total_steps,
            max_tokens=setting.compute.max_tokens,
            autocast=setting.compute.autocast_dtype(),
            processes=setting.processes,
            sharding=setting.compute.sharding,
            vision=setting.policy.vision,
        )
        self.terms = [CrossEntropy("token-mean")]
        self.precision = PrecisionWeights(setting.policy.tokenizer, domain, config.precision_weight)

    def iterate(self) -> Metrics:
        """Take one step on the next demonstrations."""
        chosen = [self.demonstrations[index] for index in self.order.take(self.config.batch_size)]
        batch, precision = self.precision.apply(demonstration_batch(self.setting.policy, chosen))
        metrics = self.learner.update(batch, self.terms) | precision
        metrics["length/mean"] = float(batch.action.sum()) / len(batch)
        return metrics

    @property
    def compute(self) -> int:
        """Token passes spent: 1 a sampled or scored token, 3 a trained one."""
        return self.learner.compute

    def state_dict(self) -> dict[str, Any]:
        """Return the data position and the learner's state."""
        return {"order": self.order.state_dict(), "learner": self.learner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.order.load_state_dict(state["order"])
        self.learner.load_state_dict(state["learner"])


def demonstration_batch(policy: LanguagePolicy, demonstrations: list[Demonstration]) -> TrajectoryBatch:
    """Tokenise prompts, answers and replies apart, end every answer, and lay them out as expert rows."""
    rows = [_pieces(policy, item) for item in demonstrations]
    return TrajectoryBatch.from_segments(
        rows,
        list(range(len(rows))),
        [],
        truncated=[False] * len(rows),
        source=Source.EXPERT,
        columns={"images": [item.task.images for item in demonstrations]},
    )


def _pieces(policy: LanguagePolicy, item: Demonstration) -> list[Piece]:
    pieces: list[Piece] = [(Role.PROMPT, policy.render(item.task.prompt, item.task.images), 0, None)]
    for turn, (text, reply) in enumerate((*item.earlier, (item.answer, None))):
        pieces.append((Role.ACTION, policy.encode_answer(text), turn, None))
        if reply is not None:
            follow = continuation_ids(policy.tokenizer, reply, True, policy.eos_ids)
            if policy.vision is not None:
                follow = policy.vision.without_placeholders(follow)
            pieces.append((Role.OBSERVATION, follow, turn, None))
    return pieces
