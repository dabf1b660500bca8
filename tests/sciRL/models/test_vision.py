"""Pictures reach the model as transformers' own processor would put them, and folders of such models come and go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_vision import IMAGE, Layout, plain_processor, write_picture, write_tiny_vision
from transformers import AutoModelForImageTextToText

from sciRL.errors import UserError
from sciRL.models.loading import LanguagePolicy, LoraSettings, ModelConfig, load_policy, save_policy
from sciRL.models.vision import CACHED
from sciRL.rollout.samplers import make_sampler

pytest.importorskip("PIL", reason="Pillow is not installed")

LAYOUTS: tuple[Layout, ...] = ("qwen2_vl", "qwen2_5_vl", "llava")
CHAT = ({"role": "system", "content": "Look."}, {"role": "user", "content": "What is it?"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Layout], Path]:
    made: dict[str, Path] = {}

    def get(layout: Layout) -> Path:
        if layout not in made:
            made[layout] = write_tiny_vision(tmp_path_factory.mktemp(layout) / "model", layout)
        return made[layout]

    return get


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, ...]:
    return tuple(write_picture(tmp_path / f"{seed}.png", seed) for seed in range(3))


def load(folder: Path) -> LanguagePolicy:
    return load_policy(ModelConfig(path=str(folder)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_and_tensors_are_those_of_the_processor(
    layout: Layout, folder: Callable[[Layout], Path], pictures: tuple[str, ...]
) -> None:
    policy = load(folder(layout))
    assert policy.vision is not None
    shown = pictures[:2]
    parts = [{"type": "image", "path": path} for path in shown] + [{"type": "text", "text": "What is it?"}]
    chat = [{"role": "system", "content": [{"type": "text", "text": "Look."}]}, {"role": "user", "content": parts}]
    expected = plain_processor(folder(layout)).apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    ids = torch.tensor([policy.render(CHAT, shown)])
    assert torch.equal(ids, expected["input_ids"])
    assert int((ids == IMAGE).sum()) == 8
    inputs = policy.vision.model_inputs([shown], ids)
    assert set(inputs) == set(expected) - {"input_ids", "attention_mask"}
    for name, tensor in inputs.items():
        assert torch.equal(tensor, expected[name]), name


def test_a_chat_without_pictures_is_that_of_the_tokenizer(folder: Callable[[Layout], Path]) -> None:
    policy = load(folder("qwen2_vl"))
    expected = policy.tokenizer.apply_chat_template(list(CHAT), add_generation_prompt=True, return_dict=True)
    assert policy.render(CHAT) == expected["input_ids"]
    assert policy.vision is not None
    assert policy.vision.model_inputs([()], torch.tensor([policy.render(CHAT)])) == {}
    assert policy.max_context == 1024


def test_rows_are_laid_end_to_end_and_kept_while_there_is_room(
    folder: Callable[[Layout], Path], pictures: tuple[str, ...]
) -> None:
    vision = load(folder("qwen2_vl")).vision
    assert vision is not None
    ids = torch.tensor([[IMAGE, 9], [9, 9], [IMAGE, IMAGE]])
    inputs = vision.model_inputs([pictures[:1], (), pictures[1:]], ids)
    assert inputs["image_grid_thw"].tolist() == [[1, 4, 4]] * 3
    assert inputs["mm_token_type_ids"].tolist() == [[1, 0], [0, 0], [1, 1]]
    alone = vision.model_inputs([pictures[1:]], ids[2:])
    assert torch.equal(inputs["pixel_values"][16:], alone["pixel_values"])
    for seed in range(CACHED + 2):
        write_picture(Path(pictures[0]), seed, (28 + seed, 56))
        vision.model_inputs([pictures[:1]], ids[:1])
    assert len(vision._pixels) == CACHED


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_saved_policy_is_read_by_transformers_and_by_us(
    layout: Layout, folder: Callable[[Layout], Path], pictures: tuple[str, ...], tmp_path: Path
) -> None:
    policy = load(folder(layout))
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(0.01)
    policy.save(tmp_path / "saved")
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved")
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(plain.state_dict()[name], weight), name
    parts = [{"type": "image", "path": pictures[0]}, {"type": "text", "text": "What is it?"}]
    inputs = plain_processor(tmp_path / "saved").apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    assert inputs["input_ids"][0].tolist() == policy.render(CHAT[1:], pictures[:1])
    assert plain.generate(**inputs, max_new_tokens=2, do_sample=False).shape[1] > inputs["input_ids"].shape[1]
    fresh = load(folder(layout))
    fresh.load(tmp_path / "saved")
    again = load(tmp_path / "saved")
    for one, two, three in zip(*(p.model.parameters() for p in (policy, fresh, again)), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_weights_under_the_names_of_older_checkpoints_come_back(
    folder: Callable[[Layout], Path], tmp_path: Path
) -> None:
    """The hub's Qwen2-VL says `visual.` and `model.` where the model in memory has `model.visual.` and more."""
    source = load(folder("qwen2_vl"))
    source.save(tmp_path / "old")
    state = load_file(tmp_path / "old" / "model.safetensors")
    renamed = {name.replace("model.visual", "visual").replace("language_model.", ""): w for name, w in state.items()}
    assert not set(renamed) & set(state)
    save_file(renamed, tmp_path / "old" / "model.safetensors", {"format": "pt"})
    policy = load(tmp_path / "old")
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.mul_(2)
    policy.save(tmp_path / "new")
    source.load(tmp_path / "new")
    for one, two in zip(source.model.parameters(), policy.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_an_adapter_is_merged_and_comes_back(folder: Callable[[Layout], Path], tmp_path: Path) -> None:
    config = ModelConfig(path=str(folder("qwen2_vl")), lora=LoraSettings(rank=2))
    policy = load_policy(config)
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            if "lora_" in name:
                weight.add_(0.05)
    policy.save(tmp_path / "saved")
    assert policy.vision is not None
    fresh = load_policy(config)
    fresh.load(tmp_path / "saved")
    ids = torch.tensor([policy.render(CHAT, (picture := write_picture(tmp_path / "a.png", 1),))])
    inputs = policy.vision.model_inputs([(picture,)], ids)
    with torch.no_grad():
        logits = [p.model.eval()(input_ids=ids, **inputs).logits for p in (policy, fresh, load(tmp_path / "saved"))]
    assert torch.equal(logits[0], logits[1])
    torch.testing.assert_close(logits[0], logits[2], atol=1e-5, rtol=1e-5)


def test_what_does_not_fit_is_refused(
    folder: Callable[[Layout], Path], pictures: tuple[str, ...], tmp_path: Path
) -> None:
    policy = load(folder("qwen2_vl"))
    assert policy.vision is not None
    with pytest.raises(UserError, match=r"a prompt's text holds '<\|image_pad\|>'"):
        policy.render(({"role": "user", "content": "<|image_pad|>"},))
    with pytest.raises(UserError, match="an answer holds the model's placeholder"):
        policy.encode_answer("a <|image_pad|>")
    with pytest.raises(UserError, match=r"row 0 has 0 pictures, but its text holds a placeholder"):
        policy.vision.model_inputs([()], torch.tensor([[IMAGE, 9]]))
    with pytest.raises(UserError, match=r"row 1 has 1 pictures, but its text holds no placeholder"):
        policy.vision.model_inputs([(), pictures[:1]], torch.tensor([[9], [9]]))
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(UserError, match=r"no\.png: is no picture that can be read"):
        policy.render(CHAT, (str(tmp_path / "no.png"),))
    with pytest.raises(UserError, match=r"the lean sampler does not support architecture 'qwen2_vl'.*transformers"):
        make_sampler("lean", policy)
    with pytest.raises(UserError, match="'vllm' does not take vision-language models yet; use 'transformers'"):
        make_sampler("vllm", policy)
    assert type(make_sampler("auto", policy)).__name__ == "TransformersSampler"
    policy.vision.processor.chat_template = policy.tokenizer.chat_template = None
    with pytest.raises(UserError, match="processor has no chat template, which a prompt with pictures needs"):
        LanguagePolicy(policy.model, policy.tokenizer, False, policy.eos_ids, policy.vision).render(CHAT, pictures)


def test_a_model_of_text_refuses_pictures(pictures: tuple[str, ...], tmp_path: Path) -> None:
    text = load_policy(ModelConfig(hidden=8, layers=1, heads=2, kv_heads=1, mlp=8), ["a", "b"])
    with pytest.raises(UserError, match=r"a task has 3 pictures .*LlamaForCausalLM\) reads text alone"):
        text.render(CHAT, pictures)
    save_policy(text.model, text.tokenizer, tmp_path / "text")
    assert load_policy(ModelConfig(path=str(tmp_path / "text"))).vision is None
