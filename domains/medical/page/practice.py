"""Practice: what all visitors of the page share: the held-out patients, the clinic, the doctors to watch.

Research software, not medical advice.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from domains.medical import make_clinic
from domains.medical.doctors import KB_DOCTORS, Doctor, KbDoctor, ModelDoctor, load_model
from domains.medical.interview import Interview
from domains.medical.options import MedicalOptions
from domains.medical.rows import load_cases
from domains.medical.schema import Case
from domains.medical.vocabulary import consultation_tokens
from sciRL.errors import UserError
from sciRL.seeding import request_seed

if TYPE_CHECKING:
    from sciRL.models.loading import LanguagePolicy
    from sciRL.rollout.base import Sampler, SamplingParameters

SPLIT = "test"
PERSON = "me"
TRAINED = "trained policy"


class Practice:
    """The patients of a dataset folder's test split, with everyone who may play their doctor.

    Args:
        data: the dataset folder.
        options: how a consultation goes.
        policy: a policy folder or a run folder; None offers no trained policy.

    Raises:
        UserError: no dataset folder, no test case, or no policy in the folder.
    """

    def __init__(self, data: Path, options: MedicalOptions, policy: Path | None) -> None:
        self.options = options
        self.clinic = make_clinic(data, options)
        self.clinic.check()
        self.cases = load_cases(data, SPLIT)
        if not self.cases:
            raise UserError(f"{data}: the split {SPLIT!r} is empty; the page shows held-out patients only")
        if options.prompt_style == "compact" and self.clinic.kb is None:
            raise UserError(f"prompt_style=compact needs a dataset with a knowledge base; {data} has none")
        self._model: tuple[LanguagePolicy, Sampler, SamplingParameters] | None = None
        if policy is not None:
            kb = self.clinic.kb
            self._model = load_model(policy, None if kb is None else consultation_tokens(kb, options.budget))

    @cached_property
    def doctors(self) -> tuple[str, ...]:
        """Who may be chosen: the person, the policies over a knowledge base, the trained policy."""
        scripted = () if self.clinic.kb is None else KB_DOCTORS
        return (PERSON, *scripted, *(() if self._model is None else (TRAINED,)))

    @cached_property
    def suggestions(self) -> tuple[str, ...]:
        """Questions that the folder's table lists; none where only the cases' own texts are known."""
        return () if self.clinic.matcher is None else tuple(topic.text for topic in self.clinic.matcher.topics)

    def doctor(self, name: str, case: Case) -> Doctor | None:
        """Return a new doctor for a case, None for the person; an unknown name raises `UserError`."""
        if name not in self.doctors:
            raise UserError(f"doctor {name!r}; allowed are {', '.join(self.doctors)}")
        if name == TRAINED and self._model is not None:
            policy, sampler, parameters = self._model
            return ModelDoctor(policy, sampler, self.clinic.opening(case), parameters, request_seed(0, case.id))
        if name == PERSON or self.clinic.kb is None:
            return None
        return KbDoctor(self.clinic.kb, name, self.options.confidence)

    def interview(self, name: str, case: Case) -> Interview:
        """Return a consultation of a case; a trained policy has whoever named the diagnosis in its training name it."""
        if name == TRAINED:
            return self.clinic.interview(case)
        return Interview(case, self.clinic.patient, self.options.budget)
