"""Llama, Qwen2 and Qwen3 decoders on fused weights, for sampling from small models faster than `generate`.

What is fused, and why it is exact up to rounding:

- q, k, v are one matrix, gate and up another; the weight of the RMSNorm before a matrix and sqrt(H) are folded
  into its columns, and 1 / sqrt(head size) into q. What is left of the norm is x / hypot(|x|, sqrt(H eps)).
- The rows of q and k are permuted so that the two halves that rotary positions mix lie side by side. A dot
  product of q and k does not change when both are permuted alike, and the rotation becomes one complex product.
- Query heads are ordered with the key head they share, so that grouped-query attention is a batched matrix
  product over (row, key head) without copies.

Shapes: B rows, T columns, V tokens, H width, D head size, K key heads, G query heads a key head, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciRL.models.onednn import Matrix

MODEL_TYPES = ("llama", "qwen2", "qwen3")


def unwrapped(model: nn.Module) -> Any:
    """Return the Hugging Face causal model inside adapters and distributed wrappers."""
    inner: Any = model
    while isinstance(inner, nn.parallel.DistributedDataParallel):
        inner = inner.module
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def supports(model: nn.Module) -> str | None:
    """Return None when the lean decoder computes `model` exactly, else the reason why it does not."""
    inner = unwrapped(model)
    config: Any = getattr(inner, "config", None)
    kind = getattr(config, "model_type", None)
    if kind not in MODEL_TYPES:
        return f"architecture {kind!r} is not one of {', '.join(MODEL_TYPES)}"
    rope = config.rope_parameters
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        return f"rotary positions of type {rope.get('rope_type')!r} (only the default type is known)"
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return "sliding-window attention"
    if config.hidden_act != "silu":
        return f"activation {config.hidden_act!r} (only silu is known)"
    for layer in inner.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            if (reason := _unreadable(linear)) is not None:
                return reason
        for linear in (attention.o_proj, mlp.down_proj):
            if (reason := _unreadable(linear)) is not None:
                return reason
            if linear.bias is not None:
                return "a bias on an output projection"
        if mlp.gate_proj.bias is not None or mlp.up_proj.bias is not None:
            return "a bias in the feed-forward"
    if type(inner.lm_head) is not nn.Linear or type(inner.model.embed_tokens) is not nn.Embedding:
        return "an adapted or quantised embedding or output head"
    return None


def _unreadable(linear: Any) -> str | None:
    if type(linear) is nn.Linear:
        return None
    if hasattr(linear, "lora_A") and type(linear.base_layer) is nn.Linear:
        variants = getattr(linear, "lora_variant", {})
        biased = [name for name, used in getattr(linear, "lora_bias", {}).items() if used]
        return "a LoRA variant (such as DoRA) or a LoRA bias" if variants or biased else None
    return f"a linear layer of type {type(linear).__name__}"


def _full(weight: Tensor) -> Tensor:
    gather = getattr(weight, "full_tensor", None)  # FSDP2 keeps shards as DTensor.
    return weight.detach() if gather is None else gather().detach()


def _weight(linear: Any) -> Tensor:
    """Return the weight of a linear layer in fp32, its active LoRA updates included."""
    if not hasattr(linear, "lora_A"):
        return _full(linear.weight).float()
    weight = _full(linear.base_layer.weight).float()
    if linear.merged or linear.disable_adapters:
        return weight
    for name in linear.active_adapters:
        if name in linear.lora_A:
            weight = weight + _full(linear.get_delta_weight(name)).float()
    return weight


@dataclass
class LeanLayer:
    """Fused weights of one block."""

    qkv: Matrix
    head_norm: Tensor | None
    out: Matrix
    gate_up: Matrix
    down: Matrix

    def copy_(self, other: LeanLayer) -> None:
        """Take over the weights of another block of the same shape."""
        self.qkv.copy_(other.qkv)
        self.out.copy_(other.out)
        self.gate_up.copy_(other.gate_up)
        self.down.copy_(other.down)
        if self.head_norm is not None and other.head_norm is not None:
            self.head_norm.copy_(other.head_norm)


class LeanDecoder:
    """Prefill and decode steps of a causal model on its own fused copy of the weights.

    Args:
        model: a model for which `supports` is None.
        dtype: type of the matrices and the cache; the residual stream, norms and logits stay in fp32.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        reason = supports(model)
        if reason is not None:
            raise ValueError(f"the lean decoder does not support {reason}")
        config = unwrapped(model).config
        self.dtype = dtype
        self.device = next(model.parameters()).device
        self.kv_heads: int = config.num_key_value_heads
        self.groups: int = config.num_attention_heads // config.num_key_value_heads
        self.head_dim: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.eps: float = config.rms_norm_eps
        self._floor = torch.tensor((config.hidden_size * self.eps) ** 0.5, device=self.device)
        self.max_length: int = config.max_position_embeddings
        self.layers: list[LeanLayer] = []
        self._rows = self._row_order()
        self._read(model)
        half = torch.arange(0, self.head_dim, 2, dtype=torch.float, device=self.device) / self.head_dim
        frequencies = 1.0 / (config.rope_parameters["rope_theta"] ** half)
        angles = torch.arange(self.max_length, dtype=torch.float, device=self.device)[:, None] * frequencies
        self.rotation_TD = torch.polar(torch.ones_like(angles), angles)

    def _row_order(self) -> Tensor:
        """Return where each fused q/k row comes from: [K, G + 1, D] indices into the rows of cat(q, k)."""
        k, g, d = self.kv_heads, self.groups, self.head_dim
        heads = torch.cat([torch.arange(k * g).view(k, g), k * g + torch.arange(k)[:, None]], dim=1)
        within = torch.arange(d).view(2, d // 2).t().flatten()
        return (heads[:, :, None] * d + within).flatten()

    def _fused(self, layer: Any) -> LeanLayer:
        attention, mlp = layer.self_attn, layer.mlp
        norms = (layer.input_layernorm, layer.post_attention_layernorm)
        first, second = (_full(norm.weight).float() * norm.weight.shape[0] ** 0.5 for norm in norms)
        rows = self._rows.to(self.device)
        scale = self.head_dim**-0.5
        has_head_norm = hasattr(attention, "q_norm")
        q_scale = 1.0 if has_head_norm else scale
        qk = torch.cat([_weight(attention.q_proj) * q_scale, _weight(attention.k_proj)])[rows]
        qkv = torch.cat([qk, _weight(attention.v_proj)]) * first
        bias = None
        if attention.q_proj.bias is not None:
            q, k, v = (_full(p.bias).float() for p in (attention.q_proj, attention.k_proj, attention.v_proj))
            bias = torch.cat([torch.cat([q * q_scale, k])[rows], v]).to(self.dtype)
        head_norm = None
        if has_head_norm:
            d = self.head_dim
            within = torch.arange(d, device=self.device).view(2, d // 2).t().flatten()
            q = (_full(attention.q_norm.weight).float() * scale)[within]
            k = _full(attention.k_norm.weight).float()[within]
            head_norm = torch.cat([q.expand(self.groups, d), k[None]])
        gate_up = torch.cat([_weight(mlp.gate_proj), _weight(mlp.up_proj)]) * second
        return LeanLayer(
            qkv=Matrix(qkv.to(self.dtype), bias),
            head_norm=head_norm,
            out=Matrix(_weight(attention.o_proj).to(self.dtype, copy=True)),
            gate_up=Matrix(gate_up.to(self.dtype)),
            down=Matrix(_weight(mlp.down_proj).to(self.dtype, copy=True)),
        )

    @torch.no_grad()
    def _read(self, model: nn.Module) -> None:
        inner = unwrapped(model)
        fused = [self._fused(layer) for layer in inner.model.layers]
        embedding = _full(inner.model.embed_tokens.weight).to(self.dtype, copy=True)
        tied = inner.lm_head.weight is inner.model.embed_tokens.weight
        head = Matrix(embedding if tied else _full(inner.lm_head.weight).to(self.dtype, copy=True))
        norm = _full(inner.model.norm.weight).to(torch.float, copy=True)
        if not self.layers:
            self.layers, self.embedding, self.head, self.norm = fused, embedding, head, norm
            return
        # In place, so that captured CUDA graphs, which hold addresses, see the new weights.
        self.embedding.copy_(embedding)
        self.head.copy_(head)
        self.norm.copy_(norm)
        for layer, new in zip(self.layers, fused, strict=True):
            layer.copy_(new)

    def sync(self, model: nn.Module) -> None:
        """Copy the current weights of `model` (LoRA updates merged) into the fused buffers."""
        self._read(model)

    def _normed(self, x: Tensor) -> Tensor:
        """RMSNorm without its weight and sqrt(H), which the next matrix has; returns the matrices' type."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (x / norm.hypot_(self._floor)).to(self.dtype)

    def _rotated(self, qk: Tensor, rotation: Tensor, layer: LeanLayer) -> Tensor:
        """Normalise (Qwen3) and rotate [..., K, G + 1, D]; `rotation` broadcasts against [..., K, G + 1, D / 2]."""
        qk = qk.float()
        if layer.head_norm is not None:
            qk = F.rms_norm(qk, (self.head_dim,), None, self.eps) * layer.head_norm
        pairs = torch.view_as_complex(qk.unflatten(-1, (self.head_dim // 2, 2)))
        return torch.view_as_real(pairs * rotation).flatten(-2).to(self.dtype)

    def _project(self, x: Tensor, layer: LeanLayer) -> tuple[Tensor, Tensor]:
        qkv = layer.qkv(self._normed(x))
        cut = self.kv_heads * (self.groups + 1) * self.head_dim
        qk = qkv[:, :cut].unflatten(-1, (self.kv_heads, self.groups + 1, self.head_dim))
        return qk, qkv[:, cut:].unflatten(-1, (self.kv_heads, self.head_dim))

    def _finish(self, x: Tensor, attended: Tensor, layer: LeanLayer) -> Tensor:
        x = layer.out.added(x, attended)
        gate, up = layer.gate_up(self._normed(x)).chunk(2, dim=-1)
        return layer.down.added(x, F.silu(gate).mul_(up))

    def logits(self, x: Tensor) -> Tensor:
        """Return fp32 logits [N, V] of final hidden states [N, H]."""
        return self.head(F.rms_norm(x, x.shape[-1:], self.norm, self.eps).to(self.dtype)).float()

    @torch.no_grad()
    def prefill(self, ids_BT: Tensor, padding_B: Tensor | None, cache: Cache | None, start: int = 0) -> Tensor:
        """Run left-padded prompts, or the rest of them, and return the final hidden states [B, T, H].

        Args:
            ids_BT: token ids of columns `start` to `start + T - 1`.
            padding_B: columns at the beginning of each row that are ignored, or None when there are none.
            cache: where keys and values go, or None (only with `start` 0).
            start: columns that the cache holds already.
        """
        b, t = ids_BT.shape
        k, g, d = self.kv_heads, self.groups, self.head_dim
        mask = None
        if padding_B is None and start == 0:
            rotation = self.rotation_TD[:t].repeat(b, 1)
        else:
            padding_B = ids_BT.new_zeros(b) if padding_B is None else padding_B
            columns = torch.arange(start + t, device=self.device)
            asking = columns[start:]
            real_BT = columns >= padding_B[:, None]
            rotation = self.rotation_TD[(asking - padding_B[:, None]).clamp_(min=0)].view(b * t, -1)
            # A padded query sees itself, so that its softmax is not empty; nobody reads its result.
            mask = (real_BT[:, None, :] & (columns <= asking[:, None])) | (columns == asking[:, None])
            mask = mask[:, None]
        x = self.embedding[ids_BT.flatten()].float()
        for index, layer in enumerate(self.layers):
            qk, v = self._project(x, layer)
            qk = self._rotated(qk, rotation[:, None, None], layer).view(b, t, k, g + 1, d)
            q = qk[:, :, :, :g].flatten(2, 3).transpose(1, 2)
            key, value = qk[:, :, :, g].transpose(1, 2), v.view(b, t, k, d).transpose(1, 2)
            if cache is not None:
                cache.keys[index, :, :, start : start + t].copy_(key)
                cache.values[index, :, :, start : start + t].copy_(value)
            if cache is not None and start:
                key, value = (kept[index, :, :, : start + t] for kept in (cache.keys, cache.values))
            key, value = key.repeat_interleave(g, dim=1), value.repeat_interleave(g, dim=1)
            attended = F.scaled_dot_product_attention(q, key, value, attn_mask=mask, is_causal=mask is None, scale=1.0)
            x = self._finish(x, attended.transpose(1, 2).reshape(b * t, k * g * d), layer)
        return x.view(b, t, -1)

    @torch.no_grad()
    def step(
        self, ids_B: Tensor, column: int | Tensor, rotation: Tensor, bias_BT: Tensor | None, cache: Cache
    ) -> Tensor:
        """Append one token a row at `column` and return the next logits [B, V].

        Args:
            ids_B: the tokens; row i of the batch is row i of the cache, which may have more rows.
            column: cache column of the new token; as a tensor [1] it can change under a captured CUDA graph.
            rotation: complex rotary factors of the new position, [D / 2] or [B, 1, 1, D / 2].
            bias_BT: 0 where a row may look and -inf where it may not, as [B, width] or [1, width]; attention
                spans `width` columns. None looks at columns 0 to `column`, which is then an int.
            cache: keys and values of columns before `column`; all others must be finite.
        """
        b = ids_B.shape[0]
        k, g, d = self.kv_heads, self.groups, self.head_dim
        width = int(column) + 1 if bias_BT is None else bias_BT.shape[1]
        x = self.embedding[ids_B].float()
        for index, layer in enumerate(self.layers):
            qk, v = self._project(x, layer)
            qk = self._rotated(qk, rotation, layer)
            cache.write(index, column, qk[:, :, g], v)
            q = qk.view(b * k, g + 1, d)[:, :g]
            scores = torch.bmm(q, cache.flat_keys[index][: b * k, :width].transpose(1, 2))
            if bias_BT is not None:
                scores.view(b, k * g, width).add_(bias_BT[:, None])
            attended = torch.bmm(scores.softmax(dim=-1), cache.flat_values[index][: b * k, :width])
            x = self._finish(x, attended.view(b, k * g * d), layer)
        return self.logits(x)


class Cache:
    """Keys and values [L, B, K, T, D] of a batch."""

    def __init__(self, decoder: LeanDecoder, rows: int, columns: int) -> None:
        layers, k, d = len(decoder.layers), decoder.kv_heads, decoder.head_dim
        # Zeros, because columns behind a bias of -inf are still multiplied.
        self.keys = torch.zeros(layers, rows, k, columns, d, dtype=decoder.dtype, device=decoder.device)
        self.values = torch.zeros_like(self.keys)
        self._flatten()

    def _flatten(self) -> None:
        self.flat_keys = list(self.keys.flatten(1, 2))
        self.flat_values = list(self.values.flatten(1, 2))

    def grow(self, rows: int, columns: int) -> None:
        """Keep the first `rows` rows and append `columns` columns of zeros."""
        layers, _, k, _, d = self.keys.shape
        zeros = self.keys.new_zeros(layers, rows, k, columns, d)
        self.keys = torch.cat([self.keys[:, :rows], zeros], dim=3)
        self.values = torch.cat([self.values[:, :rows], zeros], dim=3)
        self._flatten()

    @property
    def columns(self) -> int:
        """Columns that fit."""
        return self.keys.shape[3]

    def write(self, layer: int, column: int | Tensor, key: Tensor, value: Tensor) -> None:
        """Store one column of keys and values [B, K, D] of the first B rows."""
        b = key.shape[0]
        if isinstance(column, int):
            self.keys[layer, :b, :, column].copy_(key)
            self.values[layer, :b, :, column].copy_(value)
        else:
            self.keys[layer, :b].index_copy_(2, column, key[:, :, None])
            self.values[layer, :b].index_copy_(2, column, value[:, :, None])

    def take(self, other: Cache, rows: Tensor, columns: int) -> None:
        """Fill row i with the first `columns` columns of row `rows[i]` of another cache."""
        b = len(rows)
        for layer in range(self.keys.shape[0]):
            self.keys[layer, :b, :, :columns] = other.keys[layer, :, :, :columns][rows]
            self.values[layer, :b, :, :columns] = other.values[layer, :, :, :columns][rows]

    def move(self, source: Tensor, target: Tensor, columns: int) -> None:
        """Copy rows `source` onto rows `target` (disjoint), up to `columns`."""
        for layer in range(self.keys.shape[0]):
            self.keys[layer, target, :, :columns] = self.keys[layer, source, :, :columns]
            self.values[layer, target, :, :columns] = self.values[layer, source, :, :columns]


class GraphedStep:
    """`LeanDecoder.step` over a cache of fixed size, captured once as a CUDA graph and replayed.

    Args:
        decoder: a decoder on a CUDA device; `sync` keeps the captured addresses.
        rows: rows of every step.
        columns: columns of the cache.
    """

    def __init__(self, decoder: LeanDecoder, rows: int, columns: int) -> None:
        device = decoder.device
        self.cache = Cache(decoder, rows, columns)
        self._ids = torch.zeros(rows, dtype=torch.int64, device=device)
        self._column = torch.zeros(1, dtype=torch.int64, device=device)
        self._rotation = decoder.rotation_TD[:1].expand(rows, -1)[:, None, None].clone()
        self._bias = torch.zeros(rows, columns, dtype=decoder.dtype, device=device)
        arguments = (self._ids, self._column, self._rotation, self._bias, self.cache)
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # Libraries allocate their workspaces in the first calls, which a capture forbids.
                decoder.step(*arguments)
        torch.cuda.current_stream(device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = decoder.step(*arguments)

    def __call__(self, ids_B: Tensor, column: int, rotation: Tensor, bias_BT: Tensor) -> Tensor:
        """Run one step; the logits are overwritten by the next."""
        self._ids.copy_(ids_B)
        self._column.fill_(column)
        self._rotation.copy_(rotation)
        self._bias.copy_(bias_BT)
        self._graph.replay()
        return self._logits
