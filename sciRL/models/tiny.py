"""Language models from scratch: a word-level tokenizer over a domain's own vocabulary, and small HF models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from sciRL.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD_ID, BOS_ID, EOS_ID, UNK_ID = range(4)

Layout: TypeAlias = Literal["qwen2", "llama", "qwen3"]

_REGEX_METACHARACTERS = frozenset("\\^$.|?*+()[]{}-")


def tokenizer_from_tokens(tokens: Sequence[str]) -> PreTrainedTokenizerFast:
    """Build a tokenizer whose vocabulary is exactly `tokens` (plus <pad>, <bos>, <eos>, <unk> at ids 0 to 3).

    Text is cut from left to right, always taking the longest token that matches; every other character
    becomes <unk>. Nothing is normalised, so `decode(encode(text)) == text` whenever no <unk> appears. The string
    "<eos>" inside a text is text (<unk>), never the control token.

    Args:
        tokens: distinct, non-empty strings; token i gets id 4 + i.

    Raises:
        UserError: a token is empty, repeated, or contains one of the four special strings.

    Example:
        >>> tokenizer = tokenizer_from_tokens(["Na", "N", "Cl", " "])
        >>> tokenizer.encode("NaCl N", add_special_tokens=False)
        [4, 6, 7, 5]
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    _check_tokens(tokens)
    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *tokens))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    longest_first = sorted(tokens, key=lambda token: (-len(token), token))
    # The last alternative cuts unknown text into single characters, so that "<eos>" in a text is never looked up whole.
    pattern = "|".join([*(_escape(token) for token in longest_first), r"(?m:.)"])
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )


def _check_tokens(tokens: Sequence[str]) -> None:
    if not tokens:
        raise UserError("the vocabulary is empty; a tokenizer needs at least one token")
    seen: set[str] = set()
    for index, token in enumerate(tokens):
        if not token:
            raise UserError(f"vocabulary[{index}] is the empty string; tokens must not be empty")
        if token in seen:
            raise UserError(f"vocabulary[{index}] repeats the token {token!r}; tokens must be distinct")
        if any(special in token for special in SPECIAL_TOKENS):
            raise UserError(f"vocabulary[{index}] is {token!r}; the strings {', '.join(SPECIAL_TOKENS)} are reserved")
        seen.add(token)


def _escape(token: str) -> str:
    return "".join("\\" + character if character in _REGEX_METACHARACTERS else character for character in token)


def tiny_model(
    vocab_size: int,
    layout: Layout = "llama",
    *,
    hidden: int = 128,
    layers: int = 4,
    heads: int = 4,
    kv_heads: int = 2,
    mlp: int = 352,
    max_length: int = 512,
    tied: bool = True,
    seed: int = 0,
) -> PreTrainedModel:
    """Build a randomly initialised Hugging Face causal language model in fp32; equal arguments give equal weights.

    The global random state of torch is left as it was. The default layout is "llama" because `AutoTokenizer` of
    transformers 5 ignores the tokenizer class that a Qwen2 folder names and would read a word-level vocabulary as
    byte-pair encoding; `load_policy` reads all three layouts right.

    Args:
        vocab_size: number of tokens, special ones included.
        layout: "qwen2" (biases on q, k, v), "llama" (none) or "qwen3" (normalised q and k).
        hidden: width; a multiple of `heads` with an even quotient (rotary positions need pairs).
        layers: number of blocks.
        heads: query heads; a multiple of `kv_heads`.
        kv_heads: key/value heads (grouped-query attention).
        mlp: inner width of the gated feed-forward.
        max_length: longest context in tokens.
        tied: share the embedding with the output head.
        seed: seed of the initial weights.

    Raises:
        UserError: the widths do not divide, or the layout is unknown.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if heads % kv_heads or hidden % heads or (hidden // heads) % 2:
        raise UserError(
            f"tiny model: heads={heads} must be a multiple of kv_heads={kv_heads}, "
            f"and hidden={hidden} an even multiple of heads"
        )
    config_class = _config_class(layout)
    config = config_class(
        vocab_size=vocab_size,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        intermediate_size=mlp,
        max_position_embeddings=max_length,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=tied,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model


def _config_class(layout: str) -> type:
    from transformers import LlamaConfig, Qwen2Config, Qwen3Config

    classes: dict[str, type] = {"qwen2": Qwen2Config, "llama": LlamaConfig, "qwen3": Qwen3Config}
    if layout not in classes:
        raise UserError(f"model.layout is {layout!r}; allowed: {', '.join(classes)}")
    return classes[layout]
