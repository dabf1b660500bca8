from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from sciRL.errors import UserError
from sciRL.models.lean import Cache, LeanDecoder, supports
from sciRL.models.loading import LanguagePolicy, LoraSettings, ModelConfig, load_policy
from sciRL.models.tiny import tiny_model
from sciRL.rollout.base import Completion, ForcedText, GenerationRequest, SamplingParameters
from sciRL.rollout.lean import LeanSampler
from sciRL.rollout.samplers import make_sampler
from sciRL.rollout.transformers import TransformersSampler

VOCABULARY = 40
EOS = 2
LAYOUTS = [(layout, tied) for layout in ("qwen2", "llama", "qwen3") for tied in (True, False)]


def sharpened(model: torch.nn.Module, seed: int = 1, scale: float = 0.08) -> torch.nn.Module:
    """Random biases, norms and larger matrices, so that no part of the computation is neutral."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) * scale
    return model.eval()


def small_model(layout: str = "qwen2", tied: bool = True, heads: int = 4, kv_heads: int = 2) -> torch.nn.Module:
    model = tiny_model(
        VOCABULARY, layout, hidden=48, layers=2, heads=heads, kv_heads=kv_heads, mlp=64, max_length=96, tied=tied
    )
    return sharpened(model)


def requests(count: int = 12, lengths: Sequence[int] = (5, 9, 1)) -> list[GenerationRequest]:
    rng = np.random.default_rng(3)
    prompts = [tuple(int(t) for t in rng.integers(4, VOCABULARY, n)) for n in lengths]
    return [GenerationRequest(prompts[i % len(prompts)], seed=100 + i) for i in range(count)]


def hf_logp(model: torch.nn.Module, request: GenerationRequest, completion: Completion, temperature: float = 1.0):
    ids = torch.tensor([[*request.prompt_ids, *completion.ids.tolist()]])
    with torch.no_grad():
        logits = model(ids).logits[0, len(request.prompt_ids) - 1 : -1].float() / temperature
    return logits.log_softmax(-1).gather(1, torch.from_numpy(completion.ids)[:, None])[:, 0].numpy()


@pytest.mark.parametrize(("layout", "tied"), LAYOUTS)
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_greedy_ids_equal_generate_of_transformers(layout: str, tied: bool, kv_heads: int) -> None:
    model = small_model(layout, tied, kv_heads=kv_heads)
    asked = requests(3)
    drawn = LeanSampler(model, [EOS]).generate(asked, SamplingParameters(max_new_tokens=16, temperature=0))
    for request, completion in zip(asked, drawn, strict=True):
        prompt = torch.tensor([request.prompt_ids])
        expected = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=16,
            do_sample=False,
            eos_token_id=EOS,
            pad_token_id=0,
        )[0, prompt.shape[1] :]
        assert completion.ids.tolist() == expected.tolist()
        assert completion.stop == ("eos" if EOS in completion.ids else "length")


@pytest.mark.parametrize("layout", ["qwen2", "llama", "qwen3"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_the_trainer(layout: str, temperature: float) -> None:
    model = small_model(layout)
    asked = requests()
    for sampler in (LeanSampler(model, [EOS]), TransformersSampler(model, [EOS])):
        drawn = sampler.generate(asked, SamplingParameters(24, temperature=temperature, top_p=0.9, top_k=20))
        assert {completion.stop for completion in drawn} == {"eos", "length"}
        for request, completion in zip(asked, drawn, strict=True):
            np.testing.assert_allclose(completion.logp, hf_logp(model, request, completion, temperature), atol=1e-5)


@pytest.mark.parametrize("sampler_class", [LeanSampler, TransformersSampler])
def test_teacher_forced_log_probabilities(sampler_class) -> None:
    model = small_model()
    drawn = [Completion(np.array(ids), np.zeros(len(ids)), "length") for ids in ([7, 9, 30], [8], [5, 5])]
    asked = requests()[:3]
    assert len({len(request.prompt_ids) for request in asked}) > 1
    forced = [ForcedText(r.prompt_ids, tuple(c.ids.tolist())) for r, c in zip(asked, drawn, strict=True)]
    for found, request, completion in zip(sampler_class(model, [EOS]).logp(forced), asked, drawn, strict=True):
        np.testing.assert_allclose(found.numpy(), hf_logp(model, request, completion), atol=1e-5)
    assert sampler_class(model, [EOS]).logp([]) == []
    with pytest.raises(UserError, match="at least one token"):
        ForcedText((), (1,))


@pytest.mark.parametrize("parameters", [SamplingParameters(20), SamplingParameters(20, 0.8, 0.9, 15)])
def test_lean_and_transformers_draw_the_same_tokens_from_the_same_seeds(parameters: SamplingParameters) -> None:
    model = small_model("qwen3")
    asked = requests(8)
    lean = LeanSampler(model, [EOS]).generate(asked, parameters)
    other = TransformersSampler(model, [EOS]).generate(asked, parameters)
    assert [c.ids.tolist() for c in lean] == [c.ids.tolist() for c in other]


def test_frequencies_follow_the_softmax() -> None:
    model = small_model()
    n = 6000
    prompt = requests(1)[0].prompt_ids
    asked = [GenerationRequest(prompt, seed) for seed in range(n)]
    drawn = LeanSampler(model, [EOS], max_batch=2000).generate(asked, SamplingParameters(1, temperature=1.3))
    with torch.no_grad():
        p = (model(torch.tensor([prompt])).logits[0, -1] / 1.3).softmax(-1).numpy()
    counts = Counter(int(completion.ids[0]) for completion in drawn)
    deviation = [(counts[t] - n * p[t]) / np.sqrt(n * p[t] * (1 - p[t])) for t in range(VOCABULARY) if n * p[t] > 5]
    assert len(deviation) > 20
    assert max(map(abs, deviation)) < 4


@pytest.mark.parametrize("sampler_class", [LeanSampler, TransformersSampler])
def test_draws_do_not_depend_on_the_batch(sampler_class) -> None:
    model = small_model()
    asked = requests(24)
    parameters = SamplingParameters(24)
    together = sampler_class(model, [EOS]).generate(asked, parameters)
    backwards = sampler_class(model, [EOS]).generate(asked[::-1], parameters)[::-1]
    cut = sampler_class(model, [EOS], max_batch=5).generate(asked, parameters)
    alone = [sampler_class(model, [EOS]).generate([request], parameters)[0] for request in asked[:6]]
    for others in (backwards, cut, alone):
        for one, other in zip(together, others, strict=False):
            assert one.ids.tolist() == other.ids.tolist()
            np.testing.assert_allclose(one.logp, other.logp, atol=1e-5)
    changed = [GenerationRequest(request.prompt_ids, request.seed + 1) for request in asked]
    assert [c.ids.tolist() for c in sampler_class(model, [EOS]).generate(changed, parameters)] != [
        c.ids.tolist() for c in together
    ]


def test_dropping_finished_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    asked = requests(40, lengths=(4, 7))
    parameters = SamplingParameters(40)
    compacted = LeanSampler(model, [EOS]).generate(asked, parameters)
    lengths = {len(completion.ids) for completion in compacted}
    assert len(lengths) > 10
    monkeypatch.setattr("sciRL.rollout.lean._COMPACT_AT", 2.0)
    kept = LeanSampler(model, [EOS]).generate(asked, parameters)
    assert [c.ids.tolist() for c in compacted] == [c.ids.tolist() for c in kept]


def test_step_with_a_column_in_a_tensor_equals_the_plain_step() -> None:
    """The form that CUDA graphs capture: fixed width, column and bias in tensors."""
    decoder = LeanDecoder(small_model("qwen3"))
    prompt = torch.tensor([[5, 6, 7], [8, 9, 10]])
    plain, fixed = Cache(decoder, 2, 16), Cache(decoder, 2, 16)
    for cache in (plain, fixed):
        decoder.prefill(prompt, None, cache)
    bias = torch.full((2, 16), float("-inf"))
    bias[:, :3] = 0
    for column, ids in enumerate(([11, 12], [13, 14], [15, 16]), start=3):
        bias[:, column] = 0
        rotation = decoder.rotation_TD[column]
        expected = decoder.step(torch.tensor(ids), column, rotation, None, plain)
        found = decoder.step(
            torch.tensor(ids), torch.tensor([column]), rotation.expand(2, -1)[:, None, None], bias, fixed
        )
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("lengths", [(5, 5), (5, 9, 1)])
def test_cuda_graphs_change_nothing(lengths: tuple[int, ...]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = small_model("qwen3").cuda()
    asked = requests(12, lengths)
    plain = LeanSampler(model, [EOS]).generate(asked, SamplingParameters(40))
    graphed = LeanSampler(model, [EOS], cuda_graphs=True)
    for _ in range(2):
        for one, other in zip(plain, graphed.generate(asked, SamplingParameters(40)), strict=True):
            assert one.ids.tolist() == other.ids.tolist()
            np.testing.assert_allclose(one.logp, other.logp, atol=1e-4)


def test_cuda_graphs_are_refused_on_a_cpu() -> None:
    with pytest.raises(UserError, match="CUDA device"):
        LeanSampler(small_model(), [EOS], cuda_graphs=True)


def test_a_prompt_asked_often_equals_the_prompt_asked_once() -> None:
    model = small_model()
    prompt = requests(1)[0].prompt_ids
    asked = [GenerationRequest(prompt, seed) for seed in range(6)]
    together = LeanSampler(model, [EOS]).generate(asked, SamplingParameters(12))
    for request, completion in zip(asked, together, strict=True):
        alone = LeanSampler(model, [EOS]).generate([request], SamplingParameters(12))[0]
        assert completion.ids.tolist() == alone.ids.tolist()
    assert len({tuple(completion.ids.tolist()) for completion in together}) > 1


@pytest.mark.parametrize("lengths", [(6,), (5, 9, 1)])
def test_bfloat16_copy_stays_near_the_fp32_log_probabilities(lengths: tuple[int, ...]) -> None:
    model = small_model("qwen3")
    asked = requests(24, lengths)
    drawn = LeanSampler(model, [EOS], dtype=torch.bfloat16).generate(asked, SamplingParameters(40))
    gaps = [np.abs(c.logp - hf_logp(model, r, c)) for r, c in zip(asked, drawn, strict=True)]
    gap = float(np.concatenate(gaps).mean())
    assert 0 < gap < 0.03


def test_sync_takes_over_new_weights_and_merges_lora() -> None:
    model = small_model()
    sampler = LeanSampler(model, [EOS])
    parameters = SamplingParameters(12)
    before = sampler.generate(requests(), parameters)
    sharpened(model, seed=9)
    assert [c.ids.tolist() for c in sampler.generate(requests(), parameters)] == [c.ids.tolist() for c in before]
    sampler.sync(model)
    after = sampler.generate(requests(), parameters)
    for request, completion in zip(requests(), after, strict=True):
        np.testing.assert_allclose(completion.logp, hf_logp(model, request, completion), atol=1e-5)
    assert [c.ids.tolist() for c in after] != [c.ids.tolist() for c in before]

    policy = load_policy(
        ModelConfig(hidden=48, layers=2, mlp=64, lora=LoraSettings(rank=4)), [f"t{i}" for i in range(36)]
    )
    adapted = make_sampler("auto", policy)
    assert isinstance(adapted, LeanSampler)
    sharpened(policy.model)
    adapted.sync(policy.model)
    for request, completion in zip(requests(), adapted.generate(requests(), parameters), strict=True):
        np.testing.assert_allclose(completion.logp, hf_logp(policy.model, request, completion), atol=1e-5)


def test_unknown_architectures_go_to_transformers() -> None:
    gpt2 = GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=1, n_head=2, eos_token_id=EOS)
    ).eval()
    assert "gpt2" in str(supports(gpt2))
    policy = LanguagePolicy(gpt2, None, False, (EOS,))  # type: ignore[arg-type]
    sampler = make_sampler("auto", policy, torch.bfloat16)
    assert isinstance(sampler, TransformersSampler)
    for request, completion in zip(requests(), sampler.generate(requests(), SamplingParameters(8)), strict=True):
        np.testing.assert_allclose(completion.logp, hf_logp(gpt2, request, completion), atol=1e-5)
    with pytest.raises(UserError, match="gpt2"):
        make_sampler("lean", policy)


def test_reasons_why_a_model_is_not_supported() -> None:
    scaled = small_model("llama")
    scaled.config.rope_parameters = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}
    assert "yarn" in str(supports(scaled))
    sliding = small_model("qwen2")
    sliding.config.layer_types = ["full_attention", "sliding_attention"]
    assert "sliding" in str(supports(sliding))
    gelu = small_model("llama")
    gelu.config.hidden_act = "gelu"
    assert "gelu" in str(supports(gelu))
    quantised = small_model("llama")
    quantised.model.layers[0].mlp.up_proj = torch.nn.Identity()
    assert "Identity" in str(supports(quantised))


def test_transformers_sampler_ignores_the_models_own_generation_config_and_restores_it() -> None:
    model = small_model()
    model.generation_config.repetition_penalty = 5.0
    model.train()
    asked = requests(4)
    drawn = TransformersSampler(model, [EOS]).generate(asked, SamplingParameters(12))
    assert model.training
    assert model.generation_config.repetition_penalty == 5.0
    model.eval()
    expected = LeanSampler(model, [EOS]).generate(asked, SamplingParameters(12))
    assert [c.ids.tolist() for c in drawn] == [c.ids.tolist() for c in expected]


def test_messages() -> None:
    policy = LanguagePolicy(small_model(), None, False, (EOS,))  # type: ignore[arg-type]
    sampler = make_sampler("lean", policy)
    assert sampler.generate([], SamplingParameters()) == []
    asked = requests(1)
    for parameters, pattern in [
        (SamplingParameters(0), "max_new_tokens is 0"),
        (SamplingParameters(4, temperature=-1), "temperature is -1"),
        (SamplingParameters(4, top_p=0), "top_p is 0"),
        (SamplingParameters(4, top_k=-3), "top_k is -3"),
        (SamplingParameters(92), "context of 96 tokens"),
    ]:
        with pytest.raises(UserError, match=pattern):
            sampler.generate(asked, parameters)
    with pytest.raises(UserError, match="empty prompt"):
        sampler.generate([GenerationRequest((), 1)], SamplingParameters(4))
    with pytest.raises(UserError, match="allowed: auto"):
        make_sampler("fast", policy)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="bfloat16"):
        make_sampler("transformers", policy, torch.bfloat16)


def test_vllm_names_its_extra_when_it_is_not_installed() -> None:
    try:
        import vllm  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match=r"pip install 'sciRL\[vllm\]'"):
            make_sampler("vllm", LanguagePolicy(small_model(), None, False, (EOS,)))  # type: ignore[arg-type]
    else:
        pytest.skip("vLLM is installed")
