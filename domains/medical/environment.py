"""Consultations as a conversation environment: what the policy reads, and what its questions earn.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Sequence

from domains.medical.answers import BEGIN
from domains.medical.assessment import expected_gain_of_turns, igpo_of_turns, promed_rewards, sig_of_turns
from domains.medical.clinic import Clinic
from domains.medical.consultation import Consultation
from domains.medical.interview import Interview
from domains.medical.options import MedicalOptions
from domains.medical.record import write_record
from domains.medical.schema import Case, normalised
from domains.medical.tasks import case_of
from sciRL.environments.conversation import Reply
from sciRL.score import Status
from sciRL.task import Task


class ConsultationEpisode:
    """One consultation under way."""

    def __init__(self, interview: Interview, clinic: Clinic) -> None:
        self.interview = interview
        self.clinic = clinic

    def step(self, text: str) -> Reply:
        """Take one turn of the doctor; what it reads next is the patient's reply."""
        before = self.interview.record
        read = self.interview.step(text)
        record = self.interview.record
        turn = record.turns[-1]
        failed = record.failure is not None
        known = [fact.id for fact, seen in zip(record.case.facts, before.knowledge[-1], strict=True) if seen]
        asked = "" if turn.reply is None else turn.reply.key
        return Reply(
            read,
            record.done,
            state_key=" ".join([record.case.id, *known]),
            action_key=f"{turn.kind} {asked or turn.choice or normalised(turn.content)}",
            status=Status.ERROR if failed else Status.OK,
            info={"kind": turn.kind, **({"reason": f"patient: {record.failure}"} if failed else {})},
        )

    def context(self) -> None:
        """The context just grows."""
        return None

    def rewards(self) -> Sequence[float]:
        """Return what each turn earned by the rule of the options."""
        return turn_rewards(self.interview.record, self.clinic)

    def record(self) -> str:
        """Return the consultation as text."""
        return write_record(self.interview.record)


class ConsultationEnvironment:
    """Makes consultations; the task's reference is the case.

    Args:
        clinic: the patient, and what values facts.
    """

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.max_turns = clinic.options.budget + 1
        clinic.check()

    def reset(self, task: Task, seed: int) -> ConsultationEpisode:
        """Return the consultation of a task; nothing is drawn."""
        return ConsultationEpisode(self.clinic.interview(case_of(task)), self.clinic)

    def target(self, task: Task) -> tuple[str, str]:
        """Return how an answer begins, and the right one."""
        case = case_of(task)
        return BEGIN, answer_words(case, case.answer, self.clinic.options)


def answer_words(case: Case, label: str, options: MedicalOptions) -> str:
    """Return how an option is named: by its label, or in compact prompts, which show no labels, by its text."""
    return case.options[case.labels.index(label)] if options.prompt_style == "compact" else label


def turn_rewards(consultation: Consultation, clinic: Clinic) -> list[float]:
    """Return what each turn of a finished consultation earned: nothing, SIG, ProMed's sum, or the belief it raised."""
    rule = clinic.options.turn_reward
    if rule == "none" or consultation.failure is not None:
        return [0.0] * len(consultation.turns)
    if rule == "belief":
        asked = igpo_of_turns(consultation, clinic.need_belief("turn_reward=belief"))
    elif rule == "expected":
        asked = expected_gain_of_turns(consultation, clinic.need_table("turn_reward=expected"))
    elif rule == "sig":
        asked = sig_of_turns(consultation, clinic.weights(consultation.case))
    else:
        asked = promed_rewards(consultation, clinic.weights(consultation.case))
    return [*asked, 0.0][: len(consultation.turns)]
