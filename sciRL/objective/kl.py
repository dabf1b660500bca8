"""KL to a reference policy, estimated on the sampled tokens (Schulman, "Approximating KL divergence").

k1 = logp - ref     k2 = (logp - ref)^2 / 2     k3 = exp(ref - logp) - (ref - logp) - 1   (clamped to [-10, 10])
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from torch import Tensor

from sciRL.objective.base import Aggregation, MicroBatch, TokenTerm

KlEstimator: TypeAlias = Literal["k1", "k2", "k3"]


def kl_estimate(logp: Tensor, logp_ref: Tensor, estimator: KlEstimator) -> Tensor:
    """Return the estimate of every token.

    Example: logp = ln 0.4, ref = ln 0.5 give k1 -0.2231, k2 0.0249, k3 0.0269.
    """
    difference = logp - logp_ref
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return difference.square() / 2
    return ((-difference).exp() + difference - 1).clamp(-10.0, 10.0)


class KlToReference(TokenTerm):
    """Adds coefficient x KL to the loss."""

    name = "kl"
    needs = frozenset({"logp_ref"})

    def __init__(
        self,
        coefficient: float,
        estimator: KlEstimator = "k3",
        aggregation: Aggregation = "token-mean",
        constant_length: int | None = None,
    ) -> None:
        super().__init__(aggregation, coefficient, constant_length)
        if estimator not in get_args(KlEstimator):
            raise ValueError(f"unknown KL estimator {estimator!r}; allowed: {', '.join(get_args(KlEstimator))}")
        self.estimator: KlEstimator = estimator

    def per_token(self, micro: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the KL estimate of every action token."""
        estimate = kl_estimate(micro.logp, micro.columns["logp_ref"], self.estimator)
        return estimate, {"kl": estimate}
