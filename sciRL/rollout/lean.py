"""Sample with the lean decoder (Llama, Qwen2, Qwen3): each distinct prompt is run once, finished rows leave.

Shapes: B rows still drawing, V tokens, T columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from sciRL.errors import UserError
from sciRL.models.lean import Cache, GraphedStep, LeanDecoder, supports
from sciRL.rollout.base import Completion, ForcedText, GenerationRequest, SamplingParameters
from sciRL.rollout.memory import PrefixMemory
from sciRL.rollout.sampling import check, draw, refuse_images, uniforms

# Finished rows are dropped once they are this share of the batch; moving fewer costs more than it saves.
_COMPACT_AT = 1 / 16

# Batched products on a CPU are two to three times faster on whole caches than on slices of larger ones (measured in
# fp32 and bf16): such caches grow by this many columns.
_GROWTH = 16


class LeanSampler:
    """A `Sampler` for models that `sciRL.models.lean.supports`.

    The random numbers of a request come from its seed alone. Matrix products round differently for different
    batch sizes, so that a token can still flip when its point falls within about 1e-7 of a boundary.

    Args:
        model: the trained model; its weights are copied (call `sync` after an update).
        eos_ids: tokens that end a completion.
        dtype: type of the copy; bfloat16 is up to twice as fast and moves log-probabilities by about 0.005.
        max_batch: most rows decoded together.
        cuda_graphs: replay the decode step as a CUDA graph (fixed batch shape, finished rows stay until all end).

    Raises:
        UserError: an unsupported model, or CUDA graphs on another device.
    """

    def __init__(
        self,
        model: nn.Module,
        eos_ids: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        max_batch: int = 256,
        cuda_graphs: bool = False,
    ) -> None:
        reason = supports(model)
        if reason is not None:
            raise UserError(f"the lean sampler does not support {reason}; use the transformers sampler")
        self.decoder = LeanDecoder(model, dtype)
        self.eos_ids = torch.tensor(sorted(eos_ids), device=self.decoder.device)
        self.max_batch = max_batch
        if cuda_graphs and self.decoder.device.type != "cuda":
            raise UserError(f"CUDA graphs need a model on a CUDA device; this one is on {self.decoder.device}")
        self.cuda_graphs = cuda_graphs
        self._graphed: dict[tuple[int, int], GraphedStep] = {}
        self._memory: PrefixMemory | None = None

    def sync(self, model: nn.Module) -> None:
        """Take over the current weights of the trained model (LoRA updates merged)."""
        self.decoder.sync(model)
        self._memory = None if self._memory is None else PrefixMemory()

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """While open, keep keys and values of the rows of one `generate` for what is asked next."""
        self._memory = PrefixMemory()
        try:
            yield
        finally:
            self._memory = None

    def generate(self, requests: Sequence[GenerationRequest], parameters: SamplingParameters) -> list[Completion]:
        """Return one completion per request, in the order of the requests."""
        refuse_images(requests, "lean")
        check(requests, parameters, self.decoder.max_length)
        # Equal prompts next to each other share a prefill; like lengths next to each other share padding.
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt_ids), requests[i].prompt_ids))
        completions: dict[int, Completion] = {}
        kept = None if self._memory is None else PrefixMemory()
        for start in range(0, len(order), self.max_batch):
            indices = order[start : start + self.max_batch]
            asked = [requests[i] for i in indices]
            batch = _Batch(self.decoder, asked, parameters, self._graph(asked, parameters), self._memory)
            completions.update(zip(indices, batch.run(self.eos_ids, kept), strict=True))
        self._memory = kept
        return [completions[index] for index in range(len(requests))]

    def _graph(self, requests: Sequence[GenerationRequest], parameters: SamplingParameters) -> GraphedStep | None:
        if not self.cuda_graphs:
            return None
        columns = max(len(request.prompt_ids) for request in requests) + parameters.max_new_tokens
        # Round up so that prompts of changing lengths share a captured graph; keep one, for its cache is large.
        shape = (len(requests), -(-columns // 64) * 64)
        if shape not in self._graphed:
            self._graphed.clear()
            self._graphed[shape] = GraphedStep(self.decoder, *shape)
        return self._graphed[shape]

    def logp(self, forced: Sequence[ForcedText]) -> list[Tensor]:
        """Return the log-probabilities [len(target)] of each target after its prefix, teacher-forced."""
        refuse_images(forced, "lean")
        found: list[Tensor] = []
        for start in range(0, len(forced), self.max_batch):
            batch = forced[start : start + self.max_batch]
            read = [(*text.prefix, *text.target[:-1]) for text in batch]
            hidden_BTD, _ = _read(self.decoder, read, None, self._memory, max(len(text.target) for text in batch))
            with torch.no_grad():
                for text, hidden_TD in zip(batch, hidden_BTD, strict=True):
                    target = torch.tensor(text.target, device=hidden_TD.device)
                    logp = self.decoder.logits(hidden_TD[-len(target) :]).log_softmax(dim=-1)
                    found.append(logp.gather(1, target[:, None])[:, 0])
        return found


def _read(
    decoder: LeanDecoder,
    rows: Sequence[tuple[int, ...]],
    cache: Cache | None,
    memory: PrefixMemory | None,
    wanted: int,
) -> tuple[Tensor, Tensor]:
    """Run rows of ids, padded on the left, but for what the memory has of them.

    Args:
        decoder: the model.
        rows: the ids.
        cache: where keys and values go, or None.
        memory: rows that were read before.
        wanted: how many last columns must be run, whether remembered or not.

    Returns:
        the final hidden states [B, T, H] of the last columns, T >= `wanted`, and the padding [B] of whole rows.
    """
    width = max(map(len, rows))
    padding = [width - len(row) for row in rows]
    found = [(None, 0) if memory is None else memory.find(row) for row in rows]
    # All rows run as many columns as the row of which least is known; those lie at the end of every row.
    start = max(0, width - max(wanted, *(len(row) - count for row, (_, count) in zip(rows, found, strict=True))))
    if start and cache is None:
        cache = Cache(decoder, len(rows), width)
    for index, (kept, _) in enumerate(found):
        if cache is not None and kept is not None and start > padding[index]:
            kept.recall(start - padding[index], cache, index, padding[index])
    ids_BT = torch.tensor([[0] * n + list(row) for n, row in zip(padding, rows, strict=True)], device=decoder.device)
    padding_B = torch.tensor(padding, device=decoder.device)
    hidden_BTD = decoder.prefill(ids_BT[:, start:], padding_B if any(padding) else None, cache, start)
    return hidden_BTD, padding_B


class _Batch:
    """One batch while it is decoded: rows 0 to B - 1 of the cache are still drawing."""

    def __init__(
        self,
        decoder: LeanDecoder,
        requests: Sequence[GenerationRequest],
        parameters: SamplingParameters,
        graph: GraphedStep | None,
        memory: PrefixMemory | None,
    ) -> None:
        self.requests = requests
        self.decoder, self.parameters, self.graph = decoder, parameters, graph
        self.rows = len(requests)
        self.width = max(len(request.prompt_ids) for request in requests)
        device = decoder.device
        columns = self.width + parameters.max_new_tokens
        # Grown caches and graphs are read whole, behind a bias; others are read up to the current column.
        self.grows = graph is None and device.type == "cpu"
        if graph is not None:
            self.cache, columns = graph.cache, graph.cache.columns
        else:
            self.cache = Cache(decoder, self.rows, self.width + _GROWTH if self.grows else columns)
        self.logits_BV, self.padding_B = self._prefill([request.prompt_ids for request in requests], memory)
        self.ragged = bool(self.padding_B.any())
        self.bias_BT: Tensor | None = None
        if self.ragged or self.grows or graph is not None:
            places = torch.arange(columns + _GROWTH * self.grows, device=device)
            hidden = (places < self.padding_B[:, None]) | (places >= self.width)
            if not self.ragged:
                hidden = hidden[:1]
            self.bias_BT = torch.zeros(hidden.shape, dtype=decoder.dtype, device=device)
            self.bias_BT.masked_fill_(hidden, float("-inf"))
        if parameters.temperature == 0:
            self.uniform_BT = torch.zeros(self.rows, parameters.max_new_tokens, device=device)
        else:
            self.uniform_BT = uniforms([r.seed for r in requests], parameters.max_new_tokens).to(device)
        self.request_B = torch.arange(self.rows, device=device)
        self.ids = torch.zeros(self.rows, parameters.max_new_tokens, dtype=torch.int64, device=device)
        self.logp = torch.zeros(self.rows, parameters.max_new_tokens, device=device)
        self.lengths = torch.full((self.rows,), parameters.max_new_tokens, device=device)
        self.ended = torch.zeros(self.rows, dtype=torch.bool, device=device)

    def _prefill(self, prompts: Sequence[tuple[int, ...]], memory: PrefixMemory | None) -> tuple[Tensor, Tensor]:
        distinct = {prompt: index for index, prompt in enumerate(dict.fromkeys(prompts))}
        cache = Cache(self.decoder, len(distinct), self.width)
        hidden_BTD, padding_B = _read(self.decoder, list(distinct), cache, memory, 1)
        rows = torch.tensor([distinct[prompt] for prompt in prompts], device=self.decoder.device)
        self.cache.take(cache, rows, self.width)
        return self.decoder.logits(hidden_BTD[:, -1])[rows], padding_B[rows]

    def run(self, eos_ids: Tensor, memory: PrefixMemory | None) -> list[Completion]:
        """Draw until every row has ended; what was read and drawn goes into the memory."""
        done_B = torch.zeros(self.rows, dtype=torch.bool, device=self.decoder.device)
        steps = self.parameters.max_new_tokens
        for step in range(steps):
            ids_B, logp_B = draw(self.logits_BV, self.uniform_BT[:, step], self.parameters)
            self.ids[self.request_B, step] = ids_B
            self.logp[self.request_B, step] = logp_B
            ended_B = torch.isin(ids_B, eos_ids) & ~done_B
            if bool(ended_B.any()):
                rows = self.request_B[ended_B]
                self.lengths[rows] = step + 1
                self.ended[rows] = True
                done_B = done_B | ended_B
                finished = int(done_B.sum())
                if finished == len(done_B):
                    break
                if finished >= _COMPACT_AT * len(done_B) and self.graph is None:
                    if memory is not None:
                        self._keep(done_B.nonzero().flatten().tolist(), memory)
                    ids_B, done_B = self._compacted(ids_B, done_B, self.width + step)
            if step + 1 < steps:
                self._advance(ids_B, self.width + step)
        if memory is not None:
            self._keep(range(len(done_B)), memory)
        return self._completions()

    def _keep(self, rows: Iterable[int], memory: PrefixMemory) -> None:
        """Remember rows of the cache; a row's last token was drawn but not read."""
        requests, padding, lengths = self.request_B.tolist(), self.padding_B.tolist(), self.lengths.tolist()
        for row in rows:
            request = requests[row]
            drawn = self.ids[request, : lengths[request] - 1].tolist()
            memory.keep([*self.requests[request].prompt_ids, *drawn], self.cache, row, padding[row])

    def _advance(self, ids_B: Tensor, column: int) -> None:
        rotation = self.decoder.rotation_TD[column]
        if self.ragged:
            rotation = self.decoder.rotation_TD[column - self.padding_B][:, None, None]
        bias = None
        if self.bias_BT is not None:
            self.bias_BT[:, column] = 0
            if self.grows and column >= self.cache.columns:
                self.cache.grow(len(ids_B), _GROWTH)
            whole = self.grows or self.graph is not None
            bias = self.bias_BT[:, : self.cache.columns if whole else column + 1]
        if self.graph is not None and bias is not None:
            self.logits_BV = self.graph(ids_B, column, rotation, bias)
        else:
            self.logits_BV = self.decoder.step(ids_B, column, rotation, bias, self.cache)

    def _compacted(self, ids_B: Tensor, done_B: Tensor, columns: int) -> tuple[Tensor, Tensor]:
        """Fill the places of finished rows with live rows from the end; only those are copied."""
        live = int((~done_B).sum())
        order = torch.arange(len(done_B), device=done_B.device)
        target = order[:live][done_B[:live]]
        source = order[live:][~done_B[live:]]
        if len(source):
            self.cache.move(source, target, columns)
        order[target] = source
        order = order[:live]
        self.request_B, self.padding_B = self.request_B[order], self.padding_B[order]
        self.uniform_BT = self.uniform_BT[order]
        if self.ragged and self.bias_BT is not None:
            self.bias_BT = self.bias_BT[order]
        return ids_B[order], done_B[order]

    def _completions(self) -> list[Completion]:
        ids, logp = self.ids.cpu().numpy(), self.logp.cpu().numpy()
        lengths, ended = self.lengths.tolist(), self.ended.tolist()
        return [
            Completion(ids[i, :n].copy(), logp[i, :n].astype(np.float32), "eos" if ended[i] else "length")
            for i, n in enumerate(lengths)
        ]
