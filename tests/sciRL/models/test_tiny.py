from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from sciRL.errors import UserError
from sciRL.models.loading import (
    LoraSettings,
    ModelConfig,
    decode_completion,
    load_policy,
    render_prompt,
    save_policy,
)
from sciRL.models.tiny import EOS_ID, UNK_ID, tiny_model, tokenizer_from_tokens

TOKENS = ["Na", "N", "Cl", " ", "(", ")", "\n", "a-b", "é", "|", "^", "\\", "<", "eos", ">", "0", "10", "100"]
SMALL = {"hidden": 32, "layers": 2, "heads": 4, "kv_heads": 2, "mlp": 48, "max_length": 64}


@given(st.lists(st.sampled_from(TOKENS), max_size=30))
def test_decode_of_encode_is_the_text(pieces: list[str]) -> None:
    tokenizer = tokenizer_from_tokens(TOKENS)
    text = "".join(pieces)
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert UNK_ID not in ids
    assert tokenizer.decode(ids) == text
    assert decode_completion(tokenizer, [*ids, EOS_ID]) == text


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=8, unique=True), st.data())
def test_any_strings_can_be_a_vocabulary(tokens: list[str], data: st.DataObject) -> None:
    tokenizer = tokenizer_from_tokens(tokens)
    token = data.draw(st.sampled_from(tokens))
    assert tokenizer.encode(token, add_special_tokens=False) == [4 + tokens.index(token)]


def test_longest_token_wins_and_unknown_characters_are_unknown() -> None:
    tokenizer = tokenizer_from_tokens(["Na", "N", "10", "100"])
    assert tokenizer.encode("NaN10010", add_special_tokens=False) == [4, 5, 7, 6]
    assert tokenizer.encode("N?!N", add_special_tokens=False) == [5, UNK_ID, UNK_ID, 5]


def test_control_tokens_written_as_text_are_not_control_tokens() -> None:
    tokenizer = tokenizer_from_tokens(["Na"])
    ids = tokenizer.encode("Na<eos>", add_special_tokens=False)
    assert EOS_ID not in ids
    assert ids == [4] + [UNK_ID] * 5


def test_special_tokens_inside_a_completion_stay_visible() -> None:
    tokenizer = tokenizer_from_tokens(["Na"])
    assert decode_completion(tokenizer, [4, 0, 4, EOS_ID]) == "Na<pad>Na"


@pytest.mark.parametrize(
    ("tokens", "found"),
    [([], "empty"), (["a", ""], r"vocabulary\[1\]"), (["a", "a"], "repeats"), (["x<eos>"], "reserved")],
)
def test_bad_vocabularies_are_refused(tokens: list[str], found: str) -> None:
    with pytest.raises(UserError, match=found):
        tokenizer_from_tokens(tokens)


@pytest.mark.parametrize("layout", ["qwen2", "llama", "qwen3"])
def test_saved_folder_gives_back_weights_and_ids(layout, tmp_path) -> None:
    policy = load_policy(ModelConfig(layout=layout, **SMALL), TOKENS)
    save_policy(policy.model, policy.tokenizer, tmp_path / "policy")
    again = load_policy(ModelConfig(path=str(tmp_path / "policy")), TOKENS)
    text = "NaCl (100)\né<eos>"
    assert again.tokenizer.encode(text) == policy.tokenizer.encode(text)
    assert again.eos_ids == (EOS_ID,)
    state, restored = policy.model.state_dict(), again.model.state_dict()
    assert state.keys() == restored.keys()
    assert all(torch.equal(state[name], restored[name]) for name in state)
    if layout != "qwen2":  # AutoTokenizer reads word-level Qwen2 folders wrongly, hence the default layout.
        assert AutoTokenizer.from_pretrained(tmp_path / "policy").encode(text) == policy.tokenizer.encode(text)


def test_seed_decides_the_weights_and_leaves_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (tiny_model(20, seed=seed, **SMALL) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.lm_head.weight, same.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
    assert first.lm_head.weight is first.model.embed_tokens.weight


def test_lora_trains_few_weights_and_saves_merged(tmp_path) -> None:
    policy = load_policy(ModelConfig(lora=LoraSettings(rank=2), **SMALL), TOKENS)
    trainable = sum(p.numel() for p in policy.model.parameters() if p.requires_grad)
    assert 0 < trainable < 0.5 * sum(p.numel() for p in policy.model.parameters())
    for name, parameter in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.tensor([[1, 4, 5, 6]])
    expected = policy.model(ids).logits
    save_policy(policy.model, policy.tokenizer, tmp_path / "merged")
    merged = load_policy(ModelConfig(path=str(tmp_path / "merged")))
    torch.testing.assert_close(merged.model(ids).logits, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(policy.model(ids).logits, expected, atol=0, rtol=0)


def test_dtype_and_attention_are_taken_from_the_config(tmp_path) -> None:
    policy = load_policy(ModelConfig(dtype="bfloat16", attention="eager", **SMALL), TOKENS)
    assert policy.model.dtype == torch.bfloat16
    assert policy.model.config._attn_implementation == "eager"
    save_policy(policy.model, policy.tokenizer, tmp_path / "p")
    assert load_policy(ModelConfig(path=str(tmp_path / "p"), dtype="float32")).model.dtype == torch.float32


def test_prompt_without_and_with_chat_template() -> None:
    policy = load_policy(ModelConfig(**SMALL), TOKENS)
    messages = [{"role": "system", "content": "Na"}, {"role": "user", "content": "Cl"}]
    assert render_prompt(policy.tokenizer, messages) == [1, 4, 10, 6]
    policy.tokenizer.chat_template = "{% for m in messages %}({{ m.content }}){% endfor %}"
    assert render_prompt(policy.tokenizer, messages) == [8, 4, 9, 8, 6, 9]


def test_messages_for_bad_paths_name_what_is_missing(tmp_path) -> None:
    policy = load_policy(ModelConfig(**SMALL), TOKENS)
    folder = tmp_path / "policy"

    def expect(path: str, pattern: str, vocabulary: list[str] | None = None) -> None:
        with pytest.raises(UserError, match=pattern):
            load_policy(ModelConfig(path=path), vocabulary)

    expect(str(folder), "no such folder")
    expect("no-such-model", "neither a folder nor a hub model")
    expect("./models/mine", "no such folder")
    expect("Qwen/no-such-model", "neither a folder nor a hub model")
    expect("tiny", "needs a vocabulary")
    for name, pattern in [
        ("config.json", "config.json is missing"),
        ("model.safetensors", "no weights"),
        ("tokenizer.json", "no tokenizer"),
    ]:
        save_policy(policy.model, policy.tokenizer, folder)
        (folder / name).unlink()
        expect(str(folder), pattern)
    save_policy(policy.model, policy.tokenizer, folder)
    expect(str(folder), "lacks 1 of the domain's 19 tokens .'Zr'", [*TOKENS, "Zr"])
    (folder / "config.json").write_text("{not json")
    expect(str(folder), "not valid JSON")
    (folder / "config.json").write_text("{}")
    expect(str(folder), "could not be loaded")
    expect(str(folder / "config.json"), "is a file")
    with pytest.raises(UserError, match="multiple of kv_heads"):
        load_policy(ModelConfig(heads=4, kv_heads=3), TOKENS)
    with pytest.raises(UserError, match=r"lora\.targets"):
        load_policy(ModelConfig(lora=LoraSettings(targets=("nowhere",)), **SMALL), TOKENS)


def test_importing_the_package_does_not_import_transformers() -> None:
    code = "import sys, sciRL.models, sciRL.models.loading; print('transformers' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
