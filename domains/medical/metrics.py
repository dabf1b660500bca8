"""Metrics of an evaluation: how often right, what was asked, what was learned, when it stopped.

Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domains.medical.assessment import judge_questions, red_flag_coverage, sig_of_turns
from domains.medical.clinic import Clinic
from domains.medical.consultation import Consultation
from domains.medical.datasets import BAYES_FILE
from domains.medical.differential import differential_scores, rank_of
from domains.medical.schema import FloatArray
from sciRL.domain import Record


def consultations_of(records: Sequence[Record], clinic: Clinic) -> list[Consultation]:
    """Return the consultations of all records that can be read and were not masked."""
    found = []
    for record in records:
        if record.score.scorable:
            try:
                found.append(clinic.consultation(record.task, record.answer))
            except ValueError:
                continue
    return found


def summarize(records: Sequence[Record], clinic: Clinic) -> dict[str, float]:
    """Return the metrics of an evaluation; those that need a belief or a knowledge base only where there is one.

    `accuracy` counts an unanswered consultation as wrong; `unanswered` is their share. `repeats`, `invalid` and
    `unclear` are shares of the turns before the answer: asked before or known, no question at all, several things at
    once or nothing the patient could know. `overconfidence` is the belief's probability of the diagnosis it was
    stopped at minus the share of right ones, over consultations that stopped before the budget was used. `belief_top3`
    is the share whose right option is among the belief's three most probable at the end; for DDXPlus also `belief_top1`
    and `belief_top5`, and the belief's recall, precision and F1 of the patient's differential (see `differential`).
    """
    done = consultations_of(records, clinic)
    if not done:
        return {}
    turns = max(1, sum(len(one.asking) for one in done))
    flags = [flag for one in done for flag in judge_questions(one, clinic.matcher)]
    replies = [turn.reply for one in done for turn in one.asking if turn.reply is not None]
    found = {
        "accuracy": _mean([one.correct for one in done]),
        "unanswered": _mean([one.choice is None for one in done]),
        "questions": _mean([min(len(one.asking), one.budget) for one in done]),
        "repeats": sum(not flag.new for flag in flags) / turns,
        "invalid": sum(turn.kind == "invalid" for one in done for turn in one.asking) / turns,
        "unclear": sum(reply.status == "invalid" for reply in replies) / turns,
        "leaks": sum(not flag.leak_free for flag in flags) / turns,
    }
    if clinic.belief is not None:
        gains = [sum(sig_of_turns(one, clinic.weights(one.case))) for one in done]
        found |= {"learned": _mean(gains), "sig_per_question": sum(gains) / turns}
        at_end = [clinic.belief.option_logp(one.case, one.knowledge[-1:])[0] for one in done]
        found |= _stopping(done, at_end) | _ranks(done, at_end, clinic)
    if clinic.kb is not None:
        covered = [red_flag_coverage(one, clinic.kb) for one in done]
        concerned = [share for share in covered if share is not None]
        if concerned:
            found["red_flags_covered"] = _mean(concerned)
    return found


def _stopping(done: Sequence[Consultation], at_end: Sequence[FloatArray]) -> dict[str, float]:
    """Return how sure the belief was where consultations stopped early, against how often they were right."""
    early = [
        (one.correct, float(np.exp(log_p.max())))
        for one, log_p in zip(done, at_end, strict=True)
        if one.choice is not None and len(one.asking) < one.budget
    ]
    if not early:
        return {"stopped_early": 0.0}
    return {
        "stopped_early": len(early) / len(done),
        "overconfidence": _mean([sure for _, sure in early]) - _mean([right for right, _ in early]),
    }


def _ranks(done: Sequence[Consultation], at_end: Sequence[FloatArray], clinic: Clinic) -> dict[str, float]:
    """Return how often the belief at the end ranks the truth high, and how well it fits differentials where known."""
    counted = clinic.data is not None and (clinic.data / BAYES_FILE).is_file()
    depths = (3,) if clinic.kb is not None else (1, 3, 5) if counted else ()
    ranks = [rank_of(log_p, one.case.answer_index) for one, log_p in zip(done, at_end, strict=True)]
    found = {f"belief_top{depth}": _mean([rank <= depth for rank in ranks]) for depth in depths}
    if counted:
        scores = [
            differential_scores(log_p, one.case.options, dict(one.case.meta["differential"]))
            for one, log_p in zip(done, at_end, strict=True)
            if one.case.meta.get("differential")
        ]
        found |= {name: _mean([score[name] for score in scores]) for name in (scores[0] if scores else ())}
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
