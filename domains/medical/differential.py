"""How well a posterior fits a ground-truth differential: ranks, and which diagnoses it covers.

The measures are those of DDXPlus (Fansi Tchango et al. 2022, arXiv 2205.09148). Research software, not medical advice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from domains.medical.schema import FloatArray

LEAST = 0.01
"""Diagnoses below this probability belong to no differential, as in the paper."""


def rank_of(log_posterior: FloatArray, row: int) -> int:
    """Return the rank of a diagnosis, 1 for the most probable; equal ones count before it.

    Top-k accuracy is the share of patients whose true diagnosis has a rank of at most k.
    """
    return int((log_posterior >= log_posterior[row]).sum())


def differential_scores(
    log_posterior: FloatArray, pathologies: Sequence[str], truth: Mapping[str, float]
) -> dict[str, float]:
    """Return recall (DDR), precision (DDP) and F1 of the diagnoses above `LEAST`.

    Args:
        log_posterior: log probability of each pathology [D].
        pathologies: their names.
        truth: probability of each pathology in the ground truth.

    Example: a posterior on {A, B} of a truth on {B, C} has recall, precision and F1 of 0.5.
    """
    found = {name for name, value in zip(pathologies, np.exp(log_posterior), strict=True) if value > LEAST}
    wanted = {name for name, value in truth.items() if value > LEAST}
    both = len(found & wanted)
    recall = both / len(wanted) if wanted else 0.0
    precision = both / len(found) if found else 0.0
    return {"ddr": recall, "ddp": precision, "ddf1": 2 * recall * precision / (recall + precision) if both else 0.0}
