"""OptionLogProbBelief: a language model's belief in each option, from the option letters' first tokens.

Research software, not medical advice.

The model reads the facts of a set, the question and the options, then "answer:" is put into its mouth, and the
log-probabilities of the letters are normalised over the options: bounded, and comparable between cases. Mean
log-probabilities of free text are neither (they reward length and style).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from domains.medical.answers import BEGIN
from domains.medical.belief import log_softmax
from domains.medical.prompts import belief_messages
from domains.medical.schema import BoolArray, Case, FloatArray
from sciRL.errors import UserError
from sciRL.models.loading import LanguagePolicy, ModelConfig, load_policy, render_prompt


@dataclass(frozen=True)
class Target:
    """The ids that begin a forced answer, and the first id in which each option's answer differs."""

    begin: tuple[int, ...]
    first: tuple[int, ...]


class OptionLogProbBelief:
    """Belief of a causal language model, frozen: its weights must not be those of a policy in training.

    Args:
        policy: the model and its tokenizer; they are taken over (evaluation mode, no gradients).
        batch_size: prompts in one forward pass.

    Raises:
        UserError: from `logp`, when two options' letters begin with the same token or a prompt is too long.
    """

    def __init__(self, policy: LanguagePolicy, batch_size: int = 32) -> None:
        self.policy = policy
        self.batch_size = batch_size
        policy.model.eval().requires_grad_(False)

    @classmethod
    def load(cls, config: ModelConfig, batch_size: int = 32) -> OptionLogProbBelief:
        """Load a model of its own: a folder or a hub id."""
        return cls(load_policy(config), batch_size)

    def logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return the log probability of the right option [S]."""
        return self.option_logp(case, fact_sets)[:, case.answer_index]

    def option_logp(self, case: Case, fact_sets: BoolArray) -> FloatArray:
        """Return the log probability of every option, normalised over the options [S, n_options]."""
        target = self.target(case)
        prompts = [self._prompt(case, row, target) for row in fact_sets]
        # Prompts of similar length share a batch, which keeps the padding small.
        order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
        scores = np.empty((len(prompts), len(case.options)))
        for begin in range(0, len(prompts), self.batch_size):
            batch = order[begin : begin + self.batch_size]
            scores[batch] = self._scores([prompts[index] for index in batch], target)
        return log_softmax(scores)

    def target(self, case: Case) -> Target:
        """Return how the options' answers begin; letters that share their first token raise `UserError`."""
        encode = self.policy.tokenizer.encode
        answers = [encode(BEGIN + label, add_special_tokens=False) for label in case.labels]
        shared = 0
        while len({tuple(ids[: shared + 1]) for ids in answers}) == 1 and shared < len(answers[0]):
            shared += 1
        first = [ids[shared] if shared < len(ids) else -1 for ids in answers]
        if len(set(first)) != len(first) or -1 in first:
            raise UserError(
                f"case {case.id!r}: the tokenizer does not tell its {len(first)} option letters apart by their first "
                "token; use fewer options (26 have one letter) or another model"
            )
        return Target(tuple(answers[0][:shared]), tuple(first))

    def _prompt(self, case: Case, row: BoolArray, target: Target) -> list[int]:
        facts = [fact for fact, taken in zip(case.facts, row, strict=True) if taken]
        ids = [*render_prompt(self.policy.tokenizer, belief_messages(case, facts)), *target.begin]
        limit = getattr(getattr(self.policy.model, "config", None), "max_position_embeddings", None)
        if limit is not None and len(ids) > limit:
            raise UserError(f"case {case.id!r}: its prompt has {len(ids)} tokens; the model reads at most {limit}")
        return ids

    def _scores(self, prompts: list[list[int]], target: Target) -> FloatArray:
        """Return the logits of the options' first tokens after each prompt [len(prompts), n_options]."""
        import torch

        model: Any = self.policy.model
        width = max(map(len, prompts))
        pad = int(self.policy.tokenizer.pad_token_id or 0)
        ids_BT = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts])
        seen_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
        position_BT = (seen_BT.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            output = model(
                input_ids=ids_BT.to(model.device),
                attention_mask=seen_BT.to(model.device),
                position_ids=position_BT.to(model.device),
                logits_to_keep=1,
            )
        chosen: FloatArray = output.logits[:, -1, list(target.first)].double().cpu().numpy()
        return chosen
