"""Clinic: everything that belongs to a dataset folder and a run's options: the patient, what values facts, the cases.

Research software, not medical advice.

=================  ==========================  ==================================
folder built from  questions are matched with  facts are valued by
=================  ==========================  ==================================
a knowledge base   its findings                its naive Bayes
DDXPlus            its evidences               naive Bayes counted on `train`
examination items  each case's own facts       only by a model (`belief_model`)
=================  ==========================  ==================================
"""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from domains.medical.belief import NaiveBayesBelief, OptionBelief
from domains.medical.consultation import Consultation
from domains.medical.datasets import BAYES_FILE, load_bayes
from domains.medical.interview import Interview
from domains.medical.kb import KnowledgeBase
from domains.medical.llm_patient import LanguagePatient
from domains.medical.matching import QuestionMatcher, kb_matcher
from domains.medical.options import EndpointOptions, MedicalOptions
from domains.medical.patient import Noise, Patient, SimulatedPatient
from domains.medical.prompts import compact_opening, opening
from domains.medical.record import read_record
from domains.medical.rows import folder_kb
from domains.medical.schema import Case
from domains.medical.shapley import case_weights
from domains.medical.tasks import case_of
from sciRL.errors import UserError
from sciRL.task import Message, Task
from sciRL.verification.chat_endpoint import ChatEndpoint

Key = TypeVar("Key")
Value = TypeVar("Value")

KEPT = 4096
"""Cases and consultations that are kept in memory."""


class Clinic:
    """The patient, the matcher and the belief of a dataset folder; research software, not medical advice.

    Args:
        data: the dataset folder; None knows each case's own facts only.
        options: of the run.
    """

    def __init__(self, data: Path | None, options: MedicalOptions) -> None:
        self.data = data
        self.options = options
        self._weights: OrderedDict[Case, dict[str, float]] = OrderedDict()
        self._replayed: OrderedDict[tuple[str, str], Consultation] = OrderedDict()

    @cached_property
    def kb(self) -> KnowledgeBase | None:
        """The folder's knowledge base, if it has one."""
        return None if self.data is None else folder_kb(self.data)

    @cached_property
    def matcher(self) -> QuestionMatcher | None:
        """What questions are understood with; None means each case's own facts."""
        if self.kb is not None:
            return kb_matcher(self.kb)
        if self.data is not None and (self.data / BAYES_FILE).is_file():
            return load_bayes(self.data).ontology.matcher
        return None

    @cached_property
    def patient(self) -> Patient:
        """Who answers."""
        if self.options.endpoint is not None:
            return LanguagePatient(_endpoint(self.options.endpoint))
        noise = self.options.noise
        return SimulatedPatient(self.matcher, Noise(noise.p_unknown, noise.p_flip, noise.seed))

    @cached_property
    def belief(self) -> OptionBelief | None:
        """What values sets of facts, where anything does."""
        if self.options.belief_model is not None:
            from domains.medical.option_belief import OptionLogProbBelief
            from sciRL.models.loading import ModelConfig

            return OptionLogProbBelief.load(ModelConfig(path=self.options.belief_model))
        if self.kb is not None:
            return NaiveBayesBelief(self.kb)
        if self.data is not None and (self.data / BAYES_FILE).is_file():
            return load_bayes(self.data)
        return None

    def check(self) -> None:
        """Raise `UserError` for options that nothing here can serve: no belief for what is paid, no patient to ask."""
        if self.options.turn_reward == "expected":
            self.need_table("turn_reward=expected")
        elif self.options.turn_reward != "none":
            self.need_belief(f"turn_reward={self.options.turn_reward}")
        if self.options.diagnosis == "belief":
            self.need_belief("diagnosis=belief")
        if self.options.endpoint is not None:
            _endpoint(self.options.endpoint)

    def need_belief(self, what: str) -> OptionBelief:
        """Return the belief; `UserError` says that `what` needs one where there is none."""
        if self.belief is None:
            raise UserError(
                f"{what} values facts by a belief model, and {self.data} has neither a knowledge base nor "
                f"{BAYES_FILE}; name a language model with belief_model, or use turn_reward=none and rubric=outcome"
            )
        return self.belief

    def need_table(self, what: str) -> NaiveBayesBelief:
        """Return the belief of a knowledge base; `UserError` says that `what` needs one where there is none."""
        if not isinstance(self.belief, NaiveBayesBelief):
            raise UserError(
                f"{what} needs the chances of replies that were not given, which only a knowledge base has; "
                f"{self.data} has none, or belief_model is set; allowed there: none, sig, promed, belief"
            )
        return self.belief

    def opening(self, case: Case) -> tuple[Message, ...]:
        """Return what a policy reads first, in the style of the options."""
        if self.options.prompt_style == "chat":
            return opening(case, self.options.budget)
        if self.kb is None:
            raise UserError(f"prompt_style=compact needs a dataset with a knowledge base; {self.data} has none")
        return compact_opening(case, len(case.options) == len(self.kb.diseases))

    def interview(self, case: Case) -> Interview:
        """Return a policy's consultation of a case, with whoever names the diagnosis by the options."""
        diagnose = self.most_probable if self.options.diagnosis == "belief" else None
        return Interview(case, self.patient, self.options.budget, diagnose)

    def most_probable(self, consultation: Consultation) -> str:
        """Return the label of the option that the belief finds most probable given what was learned."""
        belief = self.need_belief("diagnosis=belief").option_logp(consultation.case, consultation.knowledge[-1:])
        return consultation.case.labels[int(belief[0].argmax())]

    def weights(self, case: Case) -> dict[str, float]:
        """Return the Shapley weight of each fact that is not known at the start, by its id; they sum to 1."""
        # By the whole case: answers that bring their own may call two of them alike.
        if case not in self._weights:
            _keep(self._weights, case, case_weights(self.need_belief("SIG"), case, self.options.weights))
        return self._weights[case]

    def consultation(self, task: Task, record: str) -> Consultation:
        """Return the consultation of a record, the patient asked again; text that is no record raises `ValueError`."""
        key = (task.id, record)
        if key not in self._replayed:
            again = None if self.options.endpoint is not None else self.patient
            _keep(self._replayed, key, read_record(record, case_of(task), self.options.budget, again))
        return self._replayed[key]


def _keep(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    if len(kept) > KEPT:
        kept.popitem(last=False)


def _endpoint(options: EndpointOptions) -> ChatEndpoint:
    key = None
    if options.api_key_env is not None:
        key = os.environ.get(options.api_key_env)
        if key is None:
            raise UserError(f"endpoint.api_key_env names {options.api_key_env}, which is not set in the environment")
    return ChatEndpoint(options.base_url, options.model, key, options.timeout_s)
