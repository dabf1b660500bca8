"""Doctors: who takes the doctor's turns of a consultation, a rule over a knowledge base or a trained policy.

Research software, not medical advice.

Example: in front of a patient with a cough the doctor of greedy information gain writes "question: Have you had a
fever?", and when one diagnosis has a probability of 0.9, or no question is left, "answer: B".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import yaml

from domains.medical.cohort import cohort_of, disease_rows, finding_columns
from domains.medical.consultation import Consultation
from domains.medical.interview import Interview, read_after
from domains.medical.kb import KnowledgeBase
from domains.medical.questioning import POLICIES, STOP, Progress, normalise, seen_log_posterior
from sciRL.errors import UserError
from sciRL.seeding import request_seed
from sciRL.task import Message

if TYPE_CHECKING:
    from sciRL.models.loading import LanguagePolicy
    from sciRL.rollout.base import Completion, Sampler, SamplingParameters

GREEDY = "greedy information gain"
KB_DOCTORS = tuple(name for name in POLICIES if name != "oracle")
"""Policies that know no more than a doctor may."""

CONFIDENCE = 0.9
MAX_NEW_TOKENS = 64
"""Of a turn of a policy folder, which does not say how it was trained."""


class Doctor(Protocol):
    """Takes the doctor's turns of one consultation."""

    def next_turn(self, consultation: Consultation) -> str:
        """Return the next turn of a consultation that has not ended, normally "question: ..." or "answer: ..."."""
        ...


def play(interview: Interview, doctor: Doctor) -> Consultation:
    """Let a doctor take all turns that are left and return the finished consultation."""
    while not interview.record.done:
        interview.step(doctor.next_turn(interview.record))
    return interview.record


class KbDoctor:
    """Asks by a policy over a knowledge base and names the most probable option.

    Args:
        kb: the knowledge base that the case was drawn from.
        policy: one of `KB_DOCTORS`.
        confidence: probability of an option from which it answers before the budget is used; 1 asks to the end.
        seed: of a random policy; together with case and turn it fixes what is asked.

    Raises:
        UserError: unknown policy, a confidence outside (0, 1], or from `next_turn` a case that is not of the table.
    """

    def __init__(self, kb: KnowledgeBase, policy: str = GREEDY, confidence: float = CONFIDENCE, seed: int = 0) -> None:
        if policy not in KB_DOCTORS:
            raise UserError(f"doctor {policy!r}; allowed are {', '.join(KB_DOCTORS)}")
        if not 0 < confidence <= 1:
            raise UserError(f"a doctor's confidence={confidence}; allowed is above 0 up to 1")
        self.kb = kb
        self.policy = POLICIES[policy]
        self.confidence = confidence
        self.seed = seed

    def next_turn(self, consultation: Consultation) -> str:
        """Return the question of the policy, or the most probable option's label."""
        case = consultation.case
        progress = _progress(self.kb, consultation)
        chances = progress.posterior[0, disease_rows(self.kb, case)]
        sure = self.confidence < 1 and float(chances.max()) >= self.confidence
        column = STOP
        if not sure and len(consultation.asking) < consultation.budget:
            rng = np.random.default_rng(request_seed(self.seed, case.id, len(consultation.turns)))
            column = int(self.policy.choose(progress, rng)[0])
        if column == STOP:
            return f"answer: {case.labels[int(chances.argmax())]}"
        return f"question: {self.kb.findings[column].question}"


def _progress(kb: KnowledgeBase, consultation: Consultation) -> Progress:
    """Return a consultation as a policy sees it: a cohort of one patient."""
    case = consultation.case
    cohort = cohort_of(kb, [case])
    told = [fact for fact, known in zip(case.facts, consultation.knowledge[-1], strict=True) if known]
    seen = np.zeros_like(cohort.known)
    seen[0, finding_columns(kb, case, told)[0]] = True
    # A patient played by a language model says no key, so what was asked for is recognised by its wording too.
    asked = {turn.content for turn in consultation.asking}
    asked |= {turn.reply.key for turn in consultation.asking if turn.reply is not None}
    closed = seen | np.array([[finding.id in asked or finding.question in asked for finding in kb.findings]])
    return Progress(kb, cohort, normalise(seen_log_posterior(kb, cohort, seen)), ~closed)


class ModelDoctor:
    """A language model takes the turns of one consultation: the row of a rollout's episode grows with it.

    Args:
        policy: the trained model and its tokenizer.
        sampler: draws from it.
        prompt: the messages that it reads first.
        seed: together with the number of the turn it fixes what is drawn.
        parameters: how a turn is drawn.
    """

    def __init__(
        self,
        policy: LanguagePolicy,
        sampler: Sampler,
        prompt: Sequence[Message],
        parameters: SamplingParameters,
        seed: int = 0,
    ) -> None:
        from sciRL.rollout.episodes import Row
        from sciRL.trajectory import Role

        self.policy = policy
        self.sampler = sampler
        self.seed = seed
        self.parameters = parameters
        self.row = Row()
        self.row.add(Role.PROMPT, policy.render(prompt), 0)
        self._written: list[str] = []
        self._last: Completion | None = None

    def next_turn(self, consultation: Consultation) -> str:
        """Draw the next turn.

        Raises:
            UserError: the model's context is full.
            ValueError: the consultation is not the one that this doctor has led so far.
        """
        if [turn.text for turn in consultation.turns] != self._written:
            raise ValueError("the turns of this consultation were not written by this doctor; begin with another one")
        turn = len(self._written)
        if self._last is not None:
            self.row.add_reply(self.policy, self._last, read_after(consultation, turn - 1), turn - 1)
        if not self.row.has_room(self.parameters, self.policy.max_context):
            raise UserError(f"the policy's context of {self.policy.max_context} tokens is full after {turn} turns")
        [self._last] = self.sampler.generate([self.row.request(self.seed, turn)], self.parameters)
        self._written.append(self.row.add_turn(self.policy, self._last, turn))
        return self._written[-1]


def load_model(
    folder: Path, vocabulary: Sequence[str] | None = None
) -> tuple[LanguagePolicy, Sampler, SamplingParameters]:
    """Load a policy folder, or a run folder's final policy, with a sampler and how the run's evaluation draws.

    Args:
        folder: where the policy is.
        vocabulary: tokens that a model made from scratch must know.

    Raises:
        UserError: the folder holds no language model, or one that was made for other texts.
    """
    from sciRL.algorithms.setting import SamplingConfig
    from sciRL.models.loading import ModelConfig, load_policy
    from sciRL.rollout.samplers import make_sampler

    sampling = SamplingConfig(max_new_tokens=MAX_NEW_TOKENS)
    if not folder.is_dir():
        raise UserError(f"policy {folder}: no such folder; give a run folder or a model folder")
    if (folder / "manifest.json").is_file():
        if not (folder / "policy").is_dir():
            raise UserError(f"run {folder} has no policy yet: it has not finished")
        settings = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        sampling = SamplingConfig(**settings["evaluation"]["sampling"])
        folder = folder / "policy"
    policy = load_policy(ModelConfig(path=str(folder.resolve())), vocabulary)
    policy.model.eval()
    return policy, make_sampler("auto", policy), sampling.parameters()
