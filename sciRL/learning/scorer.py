"""TokenScorer: the trained model as a function from rows to log-probabilities of their action tokens.

A token's distribution is predicted one position earlier; that shift happens here and nowhere else.
Shapes: B rows, T positions, A scored tokens, V vocabulary, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sciRL.models import flat

HEAD_CHUNK_ELEMENTS = 1 << 26
"""Logits [A, V] above this many elements are taken in recomputed chunks, to bound memory."""


EntropyMode: TypeAlias = Literal["none", "detached", "gradient"]


class TokenScorer(nn.Module):
    """Wraps a causal language model (and a linear critic when `critic` is set).

    For models with a plain head (`supports_hidden`) only the scored positions go through the output
    head; others use the model's own logits. Rows are padded on the right, so causal attention alone
    keeps padding out of every real position and no mask is needed. Where `sciRL.models.flat` knows the
    architecture, padding and repeated prompts are not computed at all.
    """

    def __init__(self, model: Any, *, critic: bool = False) -> None:
        super().__init__()
        self.model = model
        hidden = int(model.config.get_text_config().hidden_size)
        self.value_head = nn.Linear(hidden, 1) if critic else None
        if self.value_head is not None:
            nn.init.zeros_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)
        self.plain_head = supports_hidden(model)
        self.flat = self.plain_head and flat.supports(model) is None

    def shares_prompts(self) -> bool:
        """Whether the next forward computes equal prompts of a micro-batch once, and no padding."""
        return self.flat and flat.usable(self.model)

    def forward(
        self, ids_BT: Tensor, index_A: Tensor, temperature: float, entropy: EntropyMode, value: bool, **pictures: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score the tokens at flat positions `index_A` of `ids_BT`; unasked outputs are empty tensors.

        `pictures` are what a vision-language model needs besides the ids (`VisionProcessor.model_inputs`).
        A plain tuple, so that distributed wrappers can find the tensors.
        """
        targets_A = ids_BT.flatten()[index_A]
        before_A = index_A - 1
        empty = torch.empty(0, device=ids_BT.device)
        if not self.plain_head:
            if value:
                raise ValueError("a critic needs a model whose hidden states feed its head directly")
            logits_AV = self.model(input_ids=ids_BT, use_cache=False, **pictures).logits.flatten(0, 1)[before_A]
            logp, spread = token_statistics(logits_AV, targets_A, temperature, entropy)
            return logp, spread, empty
        decoder, module = decoder_and_head(self.model)
        head: Callable[[Tensor], Tensor] = module
        if self.shares_prompts():
            layout = flat.flat_layout(ids_BT, index_A)
            hidden_AH = flat.last_hidden(self.model, layout)[layout.before]
            head = flat.head_of(self.model)
        else:
            hidden_BTH = decoder(input_ids=ids_BT, use_cache=False, **pictures).last_hidden_state
            hidden_AH = hidden_BTH.flatten(0, 1)[before_A]
        logp, spread = self._head(head, hidden_AH, targets_A, temperature, entropy)
        # Not a view: FSDP hooks the outputs, and a hook on a view is lost when something writes to it.
        values = self.value_head(hidden_AH.float()).sum(-1) if value and self.value_head is not None else empty
        return logp, spread, values

    def _head(
        self,
        head: Callable[[Tensor], Tensor],
        hidden_AH: Tensor,
        targets_A: Tensor,
        temperature: float,
        entropy: EntropyMode,
    ) -> tuple[Tensor, Tensor]:
        def score(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            return token_statistics(head(hidden), targets, temperature, entropy)

        vocabulary = int(self.model.config.get_text_config().vocab_size)
        rows = max(1, HEAD_CHUNK_ELEMENTS // vocabulary)
        if len(hidden_AH) <= rows:
            return score(hidden_AH, targets_A)
        parts = [
            checkpoint(score, h, t, use_reentrant=False)
            for h, t in zip(hidden_AH.split(rows), targets_A.split(rows), strict=True)
        ]
        return torch.cat([logp for logp, _ in parts]), torch.cat([spread for _, spread in parts])


def token_statistics(
    logits_AV: Tensor, targets_A: Tensor, temperature: float, entropy: EntropyMode
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of the targets and entropies in nats (empty for "none"), both in float32."""
    logits = logits_AV.float()
    if temperature != 1.0:
        logits = logits / temperature
    normaliser = logits.logsumexp(dim=-1)
    logp = logits.gather(-1, targets_A[:, None]).squeeze(-1) - normaliser
    if entropy == "none":
        return logp, logits.new_empty(0)
    with torch.set_grad_enabled(entropy == "gradient" and torch.is_grad_enabled()):
        probabilities = (logits - normaliser[:, None]).exp()
        return logp, normaliser - (probabilities * logits).sum(-1)


def base_causal_lm(model: Any) -> Any:
    """Return the Hugging Face model under a peft wrapper (whose LoRA layers stay in place)."""
    get_base = getattr(model, "get_base_model", None)
    return get_base() if get_base is not None else model


def decoder_and_head(model: Any) -> tuple[nn.Module, nn.Module]:
    """Return the decoder stack and the output head of a causal language model."""
    base = base_causal_lm(model)
    return base.model, base.lm_head


PLAIN_HEADS = ("llama", "mistral", "qwen2", "qwen3", "qwen2_vl", "qwen2_5_vl")
"""Model types whose logits are exactly `lm_head(last_hidden_state)`."""


def supports_hidden(model: Any) -> bool:
    """Whether the logits are the output head applied to the last hidden state, with nothing after it."""
    base = base_causal_lm(model)
    return base.config.model_type in PLAIN_HEADS and hasattr(base, "model") and hasattr(base, "lm_head")
