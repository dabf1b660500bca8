"""Training forward of Llama, Qwen2 and Qwen3 without padding, each distinct prompt computed once.

The Hugging Face forward pads every row and repeats the prompt for each of its answers. Here the tokens that
matter lie end to end: all distinct prompts, then the answers without their last token (nothing is predicted from
it). Linear layers, norms and the gated product see only those; attention alone is padded. The result and its
gradient with respect to the model's own parameters are those of the Hugging Face forward up to rounding.

Shapes: B rows, T columns, F flat tokens, A scored tokens, P distinct prompts, H width, D head size, K key heads,
G query heads a key head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciRL.models import lean
from sciRL.models.onednn import linear


def supports(model: nn.Module) -> str | None:
    """Return None when `last_hidden` computes the training forward of `model`, else the reason why it does not."""
    if hasattr(model, "get_base_model") or lean.unwrapped(model) is not model:
        return "an adapter or a distributed wrapper"
    return lean.supports(model)


def usable(model: Any) -> bool:
    """Whether a supported model may take this path now: fp32 on a CPU, nothing hooked into its forward."""
    weight = model.model.embed_tokens.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    if model.training and getattr(model.config, "attention_dropout", 0.0):
        return False
    return not any(
        module._forward_hooks or module._forward_pre_hooks or getattr(module, "gradient_checkpointing", False)
        for module in model.modules()
    )


@dataclass(frozen=True)
class Segments:
    """Flat segments padded to one width: N rows whose T queries see Tk keys.

    `queries` [N * T] and `keys` [N * Tk] are flat tokens (F where padded), `real` the unpadded entries of
    `queries`, which are consecutive flat tokens. `bias` [N or 1, T, 1, Tk] is 0 where a query may look, else -inf.
    """

    rows: int
    width: int
    queries: Tensor
    keys: Tensor
    real: Tensor
    bias: Tensor
    prompt_of_row: Tensor


@dataclass(frozen=True)
class FlatLayout:
    """Where the tokens of a padded batch lie: the distinct prompts, then the answers from long to short."""

    ids: Tensor
    position: Tensor
    prompts: Segments
    answers: list[Segments]
    before: Tensor
    """The flat token whose hidden state predicts each scored token [A]."""


def flat_layout(ids_BT: Tensor, index_A: Tensor) -> FlatLayout:
    """Lay out the rows of a right-padded batch whose tokens at flat positions `index_A` are to be scored.

    A row's prompt is what comes before its first scored token; rows with equal prompts share it. Columns from the
    last scored token on are left out.
    """
    b, t = ids_BT.shape
    row_A, column_A = index_A // t, index_A % t
    first_B = torch.full((b,), t).scatter_reduce_(0, row_A, column_A, "amin")
    first_B = torch.where(first_B < t, first_B, 1)  # A row without scored tokens keeps one token.
    length_B = torch.ones(b, dtype=torch.int64).scatter_reduce_(0, row_A, column_A, "amax") - first_B
    owner_P, prompt_of_row = _distinct_prompts(ids_BT, first_B)
    length_P = first_B[owner_P]
    n_prompt, total = int(length_P.sum()), int(length_P.sum() + length_B.sum())
    start_P = length_P.cumsum(0) - length_P
    order = length_B.argsort(descending=True, stable=True)
    sorted_B = length_B[order]
    start_B = torch.empty_like(length_B)
    start_B[order] = n_prompt + sorted_B.cumsum(0) - sorted_B
    row_F = torch.cat([owner_P.repeat_interleave(length_P), order.repeat_interleave(sorted_B)])
    position_F = torch.cat([_ramp(length_P), _ramp(sorted_B) + first_B[order].repeat_interleave(sorted_B)])
    prompts = _prompt_segments(start_P, length_P, total)
    answers = [
        _answer_segments(start_B[rows], length_B[rows], prompt_of_row[rows], prompts, length_P, total)
        for rows in _alike(order, sorted_B.tolist())
    ]
    after = column_A - 1 - first_B[row_A]
    last_P = start_P + length_P - 1
    before_A = torch.where(after < 0, last_P[prompt_of_row[row_A]], start_B[row_A] + after)
    return FlatLayout(ids_BT[row_F, position_F], position_F, prompts, answers, before_A)


def _distinct_prompts(ids_BT: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return a row of each distinct prompt [P], and the number of every row's prompt [B]."""
    number: dict[bytes, int] = {}
    owner: list[int] = []
    of_row: list[int] = []
    ids = ids_BT.numpy()
    for row, length in enumerate(length_B.tolist()):
        key = ids[row, :length].tobytes()
        if key not in number:
            number[key] = len(owner)
            owner.append(row)
        of_row.append(number[key])
    return torch.tensor(owner), torch.tensor(of_row)


def _alike(order: Tensor, lengths: list[int]) -> list[Tensor]:
    """Cut rows (sorted, longest first) where the length falls below 3/4 of the longest; empty rows are dropped."""
    parts: list[Tensor] = []
    start = 0
    for index, length in enumerate([*lengths, 0]):
        if length < 0.75 * lengths[start] or length == 0:
            if index > start:
                parts.append(order[start:index])
            start = index
        if length == 0:
            break
    return parts


def _ramp(lengths: Tensor) -> Tensor:
    """Return 0..n-1 for every length n, end to end."""
    return torch.arange(int(lengths.sum())) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)


def _slots(starts: Tensor, lengths: Tensor, width: int, beyond: int) -> Tensor:
    columns = torch.arange(width)
    return torch.where(columns < lengths[:, None], starts[:, None] + columns, beyond)


def _causal(width: int) -> Tensor:
    return torch.full((width, width), float("-inf")).triu_(1)


def _prompt_segments(start_P: Tensor, length_P: Tensor, beyond: int) -> Segments:
    width = int(length_P.max())
    slots = _slots(start_P, length_P, width, beyond).flatten()
    real = (slots < beyond).nonzero().flatten()
    return Segments(
        len(length_P), width, slots, slots, real, _causal(width)[None, :, None], torch.arange(len(length_P))
    )


def _answer_segments(
    start_B: Tensor, length_B: Tensor, prompt_of_row: Tensor, prompts: Segments, length_P: Tensor, beyond: int
) -> Segments:
    width = int(length_B.max())
    own = _slots(start_B, length_B, width, beyond)
    keys = torch.cat([prompts.keys.view(prompts.rows, -1)[prompt_of_row], own], dim=1)
    lengths = length_P[prompt_of_row]
    if bool((lengths == prompts.width).all()):
        lengths = lengths[:1]
    bias = torch.zeros(len(lengths), width, prompts.width + width)
    hidden = torch.arange(prompts.width) >= lengths[:, None]
    bias[:, :, : prompts.width].masked_fill_(hidden[:, None], float("-inf"))
    bias[:, :, prompts.width :] = _causal(width)
    queries = own.flatten()
    real = (queries < beyond).nonzero().flatten()
    return Segments(len(start_B), width, queries, keys.flatten(), real, bias[:, :, None], prompt_of_row)


def last_hidden(model: Any, layout: FlatLayout) -> Tensor:
    """Return the final (normalised) hidden states [F, H] of a supported model, with gradient."""
    decoder, config = model.model, model.config
    shape = HeadShape.of(config)
    # The padding token has no gradient as an input, even where a policy drew it: as in the model's own forward.
    x = F.embedding(layout.ids, decoder.embed_tokens.weight, decoder.embed_tokens.padding_idx)
    rotation = _rotation(config.rope_parameters["rope_theta"], layout.position, shape.size)
    for layer in decoder.layers:
        attention, mlp = layer.self_attn, layer.mlp
        h = _RmsNorm.apply(x, layer.input_layernorm.weight, config.rms_norm_eps)
        attended = _Attention.apply(*_projected(h, attention, shape), rotation, layout, shape)
        x = x + linear(attended, attention.o_proj.weight)
        h = _RmsNorm.apply(x, layer.post_attention_layernorm.weight, config.rms_norm_eps)
        gate_up = linear(h, torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]))
        x = x + linear(_GatedSilu.apply(gate_up), mlp.down_proj.weight)
    hidden: Tensor = _RmsNorm.apply(x, decoder.norm.weight, config.rms_norm_eps)
    return hidden


def head_of(model: Any) -> Callable[[Tensor], Tensor]:
    """Return the output head of a supported model: hidden states [N, H] to logits [N, V]."""
    head = model.lm_head
    return lambda hidden: linear(hidden, head.weight, head.bias)


@dataclass(frozen=True)
class HeadShape:
    """Key heads, query heads a key head, and the size of a head."""

    keys: int
    groups: int
    size: int

    @classmethod
    def of(cls, config: Any) -> HeadShape:
        """Read a model's configuration."""
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(config.num_key_value_heads, config.num_attention_heads // config.num_key_value_heads, size)


def _rotation(theta: float, position_F: Tensor, size: int) -> Tensor:
    """Return the complex rotary factors [F, 1, D / 2] of the positions."""
    angles = position_F[:, None].float() / theta ** (torch.arange(0, size, 2, dtype=torch.float) / size)
    return torch.polar(torch.ones_like(angles), angles)[:, None]


def _paired(x: Tensor, size: int) -> Tensor:
    """Reorder the rows of each head so that the two halves that a rotation mixes lie side by side."""
    return x.unflatten(0, (-1, 2, size // 2)).transpose(1, 2).flatten(0, 2)


def _projected(h: Tensor, attention: Any, shape: HeadShape) -> tuple[Tensor, Tensor, Tensor]:
    """Return q [F, K G D], k and v [F, K D] before rotation, q and k in paired order."""
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    q, k, v = (p.weight for p in projections)
    weight = torch.cat([_paired(q, shape.size), _paired(k, shape.size), v])
    bias = None
    if attention.q_proj.bias is not None:
        q, k, v = (p.bias for p in projections)
        bias = torch.cat([_paired(q, shape.size), _paired(k, shape.size), v])
    width = shape.keys * shape.size
    q, k, v = linear(h, weight, bias).split([width * shape.groups, width, width], dim=-1)
    if hasattr(attention, "q_norm"):
        eps = attention.q_norm.variance_epsilon
        q, k = (
            F.rms_norm(x.unflatten(-1, (-1, shape.size)), (shape.size,), _paired(norm.weight, shape.size), eps)
            for x, norm in ((q, attention.q_norm), (k, attention.k_norm))
        )
        return q.flatten(-2), k.flatten(-2), v
    return q, k, v


class _RmsNorm(torch.autograd.Function):
    """y = w x / sqrt(mean(x^2) + eps), in half the passes over memory that automatic differentiation takes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().mul_(1.0 / x.shape[-1]).add_(eps).rsqrt_()
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        normed, scale, weight = ctx.saved_tensors
        product = gradients[0] * normed
        mean = (product @ weight).mul_(-1.0 / len(weight))[:, None]
        return (gradients[0] * weight).addcmul_(normed, mean).mul_(scale), product.sum(0), None


class _GatedSilu(torch.autograd.Function):
    """silu(gate) * up of [F, 2 M], in half the passes over memory that automatic differentiation takes."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        activation = F.silu(gate)
        ctx.save_for_backward(gate_up, activation)
        return activation * up

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gate_up, activation = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        result = torch.empty_like(gate_up)
        to_gate, to_up = result.chunk(2, dim=-1)
        torch.mul(activation, gradients[0], out=to_up)
        torch.mul(up, gradients[0], out=to_gate)
        torch.ops.aten.silu_backward.grad_input(to_gate, gate, grad_input=to_gate)
        return result


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, keys: int) -> tuple[Tensor, Tensor]:
    """Return the weights [K N, Tq G, Tk] and their products with the values [K N, Tq G, D]."""
    scores = torch.baddbmm(q.new_zeros(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=q.shape[-1] ** -0.5)
    width = bias.shape[-3]
    scores.view(keys, -1, width, q.shape[1] // width, k.shape[1]).add_(bias)
    weights = scores.softmax(dim=-1)
    return weights, torch.bmm(weights, v)


def _attend_backward(gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of q, k and v."""
    to_v = torch.bmm(weights.transpose(1, 2), gradient)
    to_weights = torch.bmm(gradient, v.transpose(1, 2))
    to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, weights.dtype)
    scale, zero = q.shape[-1] ** -0.5, q.new_zeros(1, 1, 1)
    to_q = torch.baddbmm(zero, to_scores, k, beta=0, alpha=scale)
    to_k = torch.baddbmm(zero, to_scores.transpose(1, 2), q, beta=0, alpha=scale)
    return to_q, to_k, to_v


class _Attention(torch.autograd.Function):
    """Rotate, pad, attend, and lay the results [F, K G D] flat again.

    On a CPU, plain batched products beat `scaled_dot_product_attention` two to three times at a few hundred tokens a
    row. Query heads that share a key head are rows of one matrix, so that keys and values are never repeated.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, rotation: Tensor, layout: FlatLayout, shape: HeadShape
    ) -> Tensor:
        q_KF, k_KF = _by_head(q, shape.keys, rotation), _by_head(k, shape.keys, rotation)
        v_KF = _by_head(v, shape.keys, None)
        saved, flat = [], []
        for part in (layout.prompts, *layout.answers):
            taken = [
                _taken(x, slots, part.rows, shape)
                for x, slots in ((q_KF, part.queries), (k_KF, part.keys), (v_KF, part.keys))
            ]
            weights, attended = _attend(taken[0], taken[1], taken[2], part.bias, shape.keys)
            saved += [*taken, weights]
            flat.append(_unpadded(attended, part, shape.keys))
        ctx.save_for_backward(rotation, *saved)
        ctx.layout, ctx.shape = layout, shape
        return torch.cat(flat, dim=1).transpose(0, 1).flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rotation, *saved = ctx.saved_tensors
        shape: HeadShape = ctx.shape
        prompts, answers = ctx.layout.prompts, ctx.layout.answers
        gradient = _by_head(gradients[0], shape.keys, None)
        to_q, prompt_k, prompt_v = _attend_backward(_taken(gradient, prompts.queries, prompts.rows, shape), *saved[:4])
        flat_q = [_unpadded(to_q, prompts, shape.keys)]
        own: list[list[Tensor]] = [[], []]
        for index, part in enumerate(answers, start=1):
            padded = _taken(gradient, part.queries, part.rows, shape)
            to_q, *rest = _attend_backward(padded, *saved[4 * index : 4 * index + 4])
            flat_q.append(_unpadded(to_q, part, shape.keys))
            for x, to_prompt, flat in zip(rest, (prompt_k, prompt_v), own, strict=True):
                x = x.view(shape.keys, part.rows, -1, shape.size)
                # Every answer to a prompt adds to the gradient of the prompt's keys and values.
                sums = to_prompt.view(shape.keys, prompts.rows, -1, shape.size)
                sums.index_add_(1, part.prompt_of_row, x[:, :, : prompts.width])
                flat.append(_unpadded(x[:, :, prompts.width :].reshape(shape.keys, -1, shape.size), part, shape.keys))
        flat_k = [_unpadded(prompt_k, prompts, shape.keys), *own[0]]
        flat_v = [_unpadded(prompt_v, prompts, shape.keys), *own[1]]
        back = rotation.conj()
        return _from_heads(flat_q, back), _from_heads(flat_k, back), _from_heads(flat_v, None), None, None, None


def _taken(x: Tensor, slots: Tensor, rows: int, shape: HeadShape) -> Tensor:
    """Take slots of [K, F + 1, C] as padded [K N, T C / D, D]."""
    return x.index_select(1, slots).view(shape.keys * rows, -1, shape.size)


def _by_head(x: Tensor, keys: int, rotation: Tensor | None) -> Tensor:
    """Copy [F, K C] to [K, F + 1, C], rotated; the last slot is the zero that padding reads."""
    n = x.shape[0]
    result = x.new_empty(keys, n + 1, x.shape[1] // keys)
    result[:, :n].copy_(x.view(n, keys, -1).transpose(0, 1))
    result[:, n].zero_()
    if rotation is not None:
        _rotate(result[:, :n], rotation)
    return result


def _rotate(x: Tensor, rotation: Tensor) -> None:
    """Rotate [K, F, heads D] in place."""
    torch.view_as_complex(x.unflatten(-1, (-1, rotation.shape[-1], 2))).mul_(rotation)


def _unpadded(x: Tensor, part: Segments, keys: int) -> Tensor:
    """Return the real entries of padded [K N, T G, D] as [K, n, G D]."""
    return x.view(keys, part.rows * part.width, -1).index_select(1, part.real)


def _from_heads(parts: list[Tensor], rotation: Tensor | None) -> Tensor:
    """Join parts [K, n, C] along the tokens, rotate, and return [F, K C]."""
    joined = torch.cat(parts, dim=1)
    if rotation is not None:
        _rotate(joined, rotation)
    return joined.transpose(0, 1).flatten(1)
