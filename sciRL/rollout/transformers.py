"""Sample with `generate` of transformers: for every architecture that the lean decoder does not know.

Shapes: B rows, T columns, V tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sciRL.errors import UserError
from sciRL.models.vision import VisionProcessor
from sciRL.rollout.base import Completion, ForcedText, GenerationRequest, SamplingParameters
from sciRL.rollout.sampling import check, draw, padded_left, uniforms


class TransformersSampler:
    """A `Sampler` over any Hugging Face causal model; it reads the trained weights themselves, or a whole copy of
    sharded ones.

    Tokens are drawn inside a logits processor from each request's own random numbers, as the lean sampler does. A
    vision-language model never draws its placeholder for a picture, since no picture would stand behind it.

    Args:
        model: the trained model.
        eos_ids: tokens that end a completion.
        max_batch: most rows decoded together.
        vision: makes pixel tensors of the requests' pictures; None refuses requests with pictures.
    """

    def __init__(
        self,
        model: nn.Module,
        eos_ids: Sequence[int],
        *,
        max_batch: int = 64,
        vision: VisionProcessor | None = None,
    ) -> None:
        self.model: Any = model
        self.eos_ids = sorted(eos_ids)
        self.max_batch = max_batch
        self.vision = vision

    def sync(self, model: nn.Module) -> None:
        """Read the weights of `model` from now on; if it is sharded, gather them (all processes call this together)."""
        sharding: Any = getattr(model, "sharding", None)
        self.model = model if sharding is None else sharding.whole()

    def remembering(self) -> AbstractContextManager[None]:
        """Nothing is kept: `generate` of transformers reads every prompt whole."""
        return nullcontext()

    def generate(self, requests: Sequence[GenerationRequest], parameters: SamplingParameters) -> list[Completion]:
        """Return one completion per request, in the order of the requests."""
        check(requests, parameters, getattr(self.model.config.get_text_config(), "max_position_embeddings", None))
        order = sorted(range(len(requests)), key=lambda i: len(requests[i].prompt_ids))
        completions: dict[int, Completion] = {}
        with _sampling_mode(self.model):
            for start in range(0, len(order), self.max_batch):
                indices = order[start : start + self.max_batch]
                drawn = self._generate([requests[i] for i in indices], parameters)
                completions.update(zip(indices, drawn, strict=True))
        return [completions[index] for index in range(len(requests))]

    def _generate(self, requests: Sequence[GenerationRequest], parameters: SamplingParameters) -> list[Completion]:
        from transformers import GenerationConfig, LogitsProcessorList

        device = self.model.device
        width = max(len(request.prompt_ids) for request in requests)
        pad = self.eos_ids[0] if self.eos_ids else 0
        rows = [[pad] * (width - len(r.prompt_ids)) + list(r.prompt_ids) for r in requests]
        ids_BT = torch.tensor(rows, device=device)
        padding_B = torch.tensor([width - len(r.prompt_ids) for r in requests], device=device)
        mask_BT = (torch.arange(width, device=device) >= padding_B[:, None]).long()
        uniform_BT = uniforms([r.seed for r in requests], parameters.max_new_tokens).to(device)
        drawer = _Drawer(uniform_BT, width, parameters, None if self.vision is None else self.vision.image_token_id)
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=parameters.max_new_tokens,
            eos_token_id=self.eos_ids or None,
            pad_token_id=pad,
        )
        output_BT = self.model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            generation_config=config,
            logits_processor=LogitsProcessorList([drawer]),
            **self._pictures(requests, ids_BT),
        )
        logp_BT = torch.stack(drawer.logp, dim=1).cpu().numpy()
        return [
            self._completion(row, logp) for row, logp in zip(output_BT[:, width:].cpu().numpy(), logp_BT, strict=True)
        ]

    def _completion(self, ids: Any, logp: Any) -> Completion:
        for position, token in enumerate(ids):
            if int(token) in self.eos_ids:
                return Completion(ids[: position + 1].copy(), logp[: position + 1].copy(), "eos")
        return Completion(ids.copy(), logp.copy(), "length")

    def _pictures(self, requests: Sequence[GenerationRequest | ForcedText], ids_BT: Tensor) -> dict[str, Tensor]:
        """Return what the model needs to see the pictures of a batch; {} where there are none."""
        if self.vision is not None:
            return self.vision.model_inputs([request.images for request in requests], ids_BT)
        if any(request.images for request in requests):
            raise UserError(f"a request has pictures, but {type(self.model).__name__} reads text alone")
        return {}

    def logp(self, forced: Sequence[ForcedText]) -> list[Tensor]:
        """Return the log-probabilities [len(target)] of each target after its prefix, teacher-forced."""
        found: list[Tensor] = []
        for start in range(0, len(forced), self.max_batch):
            batch = forced[start : start + self.max_batch]
            ids_BT, padding_B = padded_left(batch, self.model.device)
            seen_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device) >= padding_B[:, None]
            # The model finds positions of its own where it sees pictures, in three dimensions.
            inputs = self._pictures(batch, ids_BT) or {"position_ids": (seen_BT.long().cumsum(-1) - 1).clamp(min=0)}
            with _sampling_mode(self.model):
                output = self.model(input_ids=ids_BT, attention_mask=seen_BT.long(), use_cache=False, **inputs)
            for text, logits_TV in zip(batch, output.logits, strict=True):
                target = torch.tensor(text.target, device=ids_BT.device)
                logp = logits_TV[-len(target) :].float().log_softmax(dim=-1)
                found.append(logp.gather(1, target[:, None])[:, 0])
        return found


class _Drawer:
    """Logits processor that draws the token itself and leaves `generate` only that one to choose."""

    def __init__(self, uniform_BT: Tensor, width: int, parameters: SamplingParameters, barred: int | None) -> None:
        self.uniform_BT, self.width, self.parameters, self.barred = uniform_BT, width, parameters, barred
        self.logp: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1] - self.width
        ids_B, logp_B = draw(scores, self.uniform_BT[:, step], self.parameters, self.barred)
        self.logp.append(logp_B)
        return torch.full_like(scores, float("-inf")).scatter_(1, ids_B[:, None], 0.0)


@contextmanager
def _sampling_mode(model: Any) -> Iterator[None]:
    """No gradients, no dropout, and none of the penalties that a model's own generation config may ask for."""
    from transformers import GenerationConfig

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    training, own = model.training, getattr(inner, "generation_config", None)
    model.eval()
    # `generate` fills what a given config leaves open from the model's own (Qwen2.5: a repetition penalty).
    inner.generation_config = GenerationConfig()
    try:
        with torch.no_grad():
            yield
    finally:
        inner.generation_config = own
        model.train(training)
