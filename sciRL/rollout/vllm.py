"""Sample with vLLM on a GPU, behind the extra `sciRL[vllm]`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciRL.errors import UserError
from sciRL.models.loading import save_policy
from sciRL.rollout.base import Completion, ForcedText, GenerationRequest, SamplingParameters
from sciRL.rollout.sampling import check, refuse_images

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class VllmSampler:
    """A `Sampler` over a vLLM engine; `sync` writes the weights to a folder and starts the engine again.

    vLLM reports log-probabilities at temperature 1, so that the contract of `SamplingParameters` holds for
    temperatures 0 and 1 only; others are refused.

    Args:
        model: the trained model.
        tokenizer: saved beside the weights, which vLLM asks for.
        eos_ids: tokens that end a completion.

    Raises:
        UserError: vLLM is not installed.
    """

    def __init__(self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, eos_ids: Sequence[int]) -> None:
        self._vllm = _vllm()
        self.tokenizer = tokenizer
        self.eos_ids = sorted(eos_ids)
        self._folder = tempfile.TemporaryDirectory(prefix="sciRL-vllm-")
        self._engine: Any = None
        self.sync(model)

    def sync(self, model: nn.Module) -> None:
        """Take over the current weights of the trained model (LoRA updates merged)."""
        path = Path(self._folder.name) / "policy"
        sharding: Any = getattr(model, "sharding", None)
        save_policy(model if sharding is None else sharding.whole("cpu"), self.tokenizer, path)
        self._engine = None  # The old engine must free its memory before the new one takes it.
        torch.cuda.empty_cache()
        self._engine = self._vllm.LLM(model=str(path), logprobs_mode="raw_logprobs", enable_prefix_caching=True)

    def remembering(self) -> AbstractContextManager[None]:
        """The engine caches prefixes by itself."""
        return nullcontext()

    def generate(self, requests: Sequence[GenerationRequest], parameters: SamplingParameters) -> list[Completion]:
        """Return one completion per request, in the order of the requests."""
        refuse_images(requests, "vllm")
        check(requests, parameters, None)
        if parameters.temperature not in (0, 1):
            raise UserError(f"temperature is {parameters.temperature}; the vLLM sampler allows 0 and 1")
        settings = [self._settings(parameters, request.seed) for request in requests]
        prompts = [{"prompt_token_ids": list(request.prompt_ids)} for request in requests]
        outputs = self._engine.generate(prompts, settings, use_tqdm=False)
        return [_completion(output.outputs[0]) for output in outputs]

    def _settings(self, parameters: SamplingParameters, seed: int) -> Any:
        return self._vllm.SamplingParams(
            max_tokens=parameters.max_new_tokens,
            temperature=parameters.temperature,
            top_p=parameters.top_p,
            top_k=parameters.top_k or -1,
            seed=seed % (1 << 63),
            stop_token_ids=self.eos_ids,
            logprobs=0,
            detokenize=False,
        )

    def logp(self, forced: Sequence[ForcedText]) -> list[Tensor]:
        """Return the log-probabilities [len(target)] of each target after its prefix, teacher-forced."""
        refuse_images(forced, "vllm")
        settings = self._vllm.SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        prompts = [{"prompt_token_ids": [*text.prefix, *text.target]} for text in forced]
        outputs = self._engine.generate(prompts, [settings] * len(prompts), use_tqdm=False)
        return [
            torch.tensor(
                [
                    entry[token].logprob
                    for entry, token in zip(output.prompt_logprobs[len(text.prefix) :], text.target, strict=True)
                ]
            )
            for text, output in zip(forced, outputs, strict=True)
        ]


def _vllm() -> Any:
    try:
        import vllm
    except ImportError as error:
        raise UserError("sampler 'vllm' needs vLLM, which is not installed: pip install 'sciRL[vllm]'") from error
    return vllm


def _completion(output: Any) -> Completion:
    ids = np.asarray(output.token_ids, dtype=np.int64)
    logp = [entry[int(token)].logprob for entry, token in zip(output.logprobs, ids, strict=True)]
    return Completion(ids, np.asarray(logp, dtype=np.float32), "length" if output.finish_reason == "length" else "eos")
