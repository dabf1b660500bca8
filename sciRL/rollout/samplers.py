"""Choose the sampler for a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from sciRL.errors import UserError
from sciRL.rollout.base import Sampler

if TYPE_CHECKING:
    import torch

    from sciRL.models.loading import LanguagePolicy

SamplerKind: TypeAlias = Literal["auto", "lean", "transformers", "vllm"]


def make_sampler(kind: SamplerKind, policy: LanguagePolicy, dtype: torch.dtype | None = None) -> Sampler:
    """Return a sampler for `policy`.

    Args:
        kind: "lean" (Llama, Qwen2 and Qwen3), "transformers" (everything), "vllm" (GPU), or "auto": lean where
            it computes the model exactly, else transformers.
        policy: the model, its tokenizer and the tokens that end an answer.
        dtype: type of the lean sampler's copy of the weights; None takes the model's. The others sample with
            the trained weights as they are.

    Raises:
        UserError: the kind is unknown, does not know the architecture or pictures, is not installed, or cannot have
            `dtype`.
    """
    weights = next(policy.model.parameters()).dtype
    if kind == "auto":
        from sciRL.models.lean import supports

        kind = "lean" if supports(policy.model) is None else "transformers"
        dtype = dtype if kind == "lean" else None
    if kind == "lean":
        from sciRL.rollout.lean import LeanSampler

        return LeanSampler(policy.model, policy.eos_ids, dtype=dtype or weights)
    if dtype not in (None, weights):
        raise UserError(f"sampler {kind!r} draws from the trained weights ({weights}); only 'lean' can draw in {dtype}")
    if kind == "transformers":
        from sciRL.rollout.transformers import TransformersSampler

        return TransformersSampler(policy.model, policy.eos_ids, vision=policy.vision)
    if kind == "vllm":
        if policy.vision is not None:
            raise UserError("sampler 'vllm' does not take vision-language models yet; use 'transformers' or 'auto'")
        from sciRL.rollout.vllm import VllmSampler

        return VllmSampler(policy.model, policy.tokenizer, policy.eos_ids)
    raise UserError(f"sampler is {kind!r}; allowed: auto, lean, transformers, vllm")
