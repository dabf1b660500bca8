"""RubricReward: any verifier or rubric as the reward of a GFlowNet."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from sciRL.errors import UserError
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier, Rubric, Verifier, evaluate_stages

FLOOR = 1e-4
CACHED = 500_000


class VerificationError(UserError):
    """The verifier failed on objects, so that their rewards are not known; `failures` maps each text to the reason.

    A run that meets it stops with this message: without the rewards nothing true could be learnt from the batch.
    """

    def __init__(self, failures: dict[str, str]) -> None:
        text, reason = next(iter(failures.items()))
        super().__init__(f"{len(failures)} objects could not be verified; the first: {reason} for {text[:120]!r}")
        self.failures = failures


class RubricReward:
    """log R = log(floor + score): a verifier's score in [0, 1] as the reward of an object.

    A reward belongs to an object and must not depend on what else is in the batch. Verifiers that judge each answer
    alone (`PerItemVerifier`) see the whole batch; any other (uniqueness, for example) is asked about each text by
    itself, where every text is the first of its kind.

    A verification that fails (`timeout`, `error`) has no score, and a score of 0 would be a claim about the object.
    Such texts are tried once more and then raise `VerificationError`; they are never cached. `failed` and `judged`
    count the verifications.

    Args:
        rubric: any verifier or rubric.
        task: the task that the objects are answers to.
        floor: added to the score, so that log R is finite: best and worst differ by log((1 + floor) / floor).
        cached: texts whose scores are kept, the oldest dropped first.

    Raises:
        UserError: a floor that is not in (0, 1).

    Example: a text of score 0.25 with the default floor has log R = log(0.2501) = -1.385894.
    """

    def __init__(self, rubric: Verifier | Rubric, task: Task, floor: float = FLOOR, cached: int = CACHED) -> None:
        if not 0 < floor < 1:
            raise UserError(f"reward floor: {floor} is not between 0 and 1")
        self.rubric, self.task, self.floor = rubric, task, floor
        self.judged = self.failed = 0
        self._cached = cached
        self._scores: OrderedDict[str, Score] = OrderedDict()

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Return log R of each text.

        Raises:
            VerificationError: a verification failed twice.
        """
        scores = self.scores(texts)
        failures = {text: s.reason for text, s in zip(texts, scores, strict=True) if s.value is None}
        if failures:
            raise VerificationError(failures)
        return [math.log(self.floor + float(score.value or 0.0)) for score in scores]

    def scores(self, texts: Sequence[str]) -> list[Score]:
        """Return the score of each text; those of failed verifications have no value."""
        known = {text: self._scores[text] for text in texts if text in self._scores}
        new = list(dict.fromkeys(text for text in texts if text not in known))
        for _ in range(2):
            for text, score in zip(new, self._judge(new), strict=True):
                known[text] = score
                if score.scorable:
                    self._scores[text] = score
            new = [text for text in new if not known[text].scorable]
        while len(self._scores) > self._cached:
            self._scores.popitem(last=False)
        return [known[text] for text in texts]

    def _judge(self, texts: Sequence[str]) -> list[Score]:
        if not texts:
            return []
        items = [(self.task, text) for text in texts]
        if isinstance(self.rubric, Rubric):
            scores = evaluate_stages(self.rubric, items, _alone)
        else:
            scores = _alone(self.rubric, items)
        self.judged += len(scores)
        self.failed += sum(not score.scorable for score in scores)
        return scores


def _alone(verifier: Verifier, items: Sequence[tuple[Task, str]]) -> list[Score]:
    """Judge each item as if it were the only one."""
    if isinstance(verifier, PerItemVerifier):
        return verifier.verify(items)
    return [verifier.verify([item])[0] for item in items]
