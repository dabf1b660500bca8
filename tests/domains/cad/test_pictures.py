"""Pictures of parts: drawn by the builder, shown by the task, and trained on by a real vision-language model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny_vision import plain_processor, write_tiny_vision

from domains.cad import DOMAIN
from domains.cad.datasets import build
from domains.cad.options import CadOptions
from domains.cad.pictures import draw_rows
from domains.cad.rows import load_rows
from domains.cad.rubrics import make_rubric, make_workshop
from domains.cad.tasks import make_demonstrations, make_tasks
from sciRL.errors import UserError
from sciRL.run.pipeline import train
from sciRL.run.results import load_arms

pytest.importorskip("cadquery", reason="CadQuery is not installed")
pytest.importorskip("PIL", reason="Pillow is not installed")

SOURCE = {"count": "10", "families": "spacer,l_bracket", "images": "true"}
OPTIONS = CadOptions(image=True, ask="image")

RECIPE = """
domain: {image: true, ask: image, prompt_style: compact, rubric: executable}
compute: {max_tokens: 1024}
evaluation: {samples: 2, rubric: executable, sampling: {max_new_tokens: 8}}
logging: {trackers: []}
stages:
  sft:
    role: reference
    steps: 1
    train: {algorithm: supervised, batch_size: 4}
  grpo:
    start: sft
    steps: 2
    train:
      algorithm: policy_optimization
      prompts: 2
      group_size: 2
      sampling: {max_new_tokens: 8}
      # Answers of an untrained model all score 0: it is the entropy that moves the weights.
      entropy_coefficient: 0.1
      kl_coefficient: 0.1
      optimizer: {learning_rate: 1.0e-3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cad") / "pictured"
    build("parts", out, SOURCE)
    return out


def test_every_row_has_a_picture_that_the_manifest_vouches_for(folder: Path, tmp_path: Path) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    rows = [row for split in ("train", "validation", "test") for row in load_rows(folder, split)]
    assert [row.image for row in rows] == [f"images/{row.id}.png" for row in rows]
    for row in rows:
        assert files[row.image] == hashlib.sha256((folder / row.image).read_bytes()).hexdigest()
    assert DOMAIN.check(folder) == []
    build("parts", tmp_path / "again", SOURCE)
    for file in folder.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "again" / file.relative_to(folder)).read_bytes(), file.name
    (tmp_path / "again" / rows[0].image).unlink()
    assert DOMAIN.check(tmp_path / "again") == [f"{rows[0].image}: is missing"]


def test_a_task_shows_the_picture_and_says_how_large_the_part_is(folder: Path) -> None:
    row = load_rows(folder, "test")[0]
    task = make_tasks(folder, "test", OPTIONS)[0]
    x, y, z = (f"{length:.6g}" for length in row.spec["box"])
    assert task.text == (
        "Build the part of the picture (isometric, top, front and right view); "
        f"its box is {x} x {y} x {z} mm (X x Y x Z).\n"
    )
    assert task.image_digests == (hashlib.sha256((folder / row.image).read_bytes()).hexdigest(),)
    plain = make_tasks(folder, "test", CadOptions(ask="design"))[0]
    shown = make_tasks(folder, "test", CadOptions(ask="design", image=True))[0]
    assert (plain.images, plain.prompt) == ((), shown.prompt)
    assert plain.id != shown.id


def test_demonstrations_of_pictured_tasks_are_paid_in_full(folder: Path) -> None:
    items = make_demonstrations(folder, "validation", OPTIONS, 0)
    scores = make_rubric(folder, OPTIONS, "cad_rl", {}).verify([(item.task, item.answer) for item in items])
    assert [score.value for score in scores] == [pytest.approx(1.0)] * len(items)


def test_files_are_drawn_like_programs_and_their_names_are_safe(tmp_path: Path) -> None:
    plate = "import cadquery as cq\nresult = cq.Workplane().box({0}, 20, 5)"
    names = ("../../evil", "plain", "Plain", "a/b")
    lines = [json.dumps({"id": name, "code": plate.format(30 + i)}) for i, name in enumerate(names)]
    (tmp_path / "parts.jsonl").write_text("\n".join(lines))
    report = build(str(tmp_path / "parts.jsonl"), tmp_path / "out", {"images": "true"})
    assert report.kept == 4
    images = sorted(path.name for path in (tmp_path / "out" / "images").iterdir())
    assert len(images) == 4
    assert sum(name in ("plain.png", "Plain.png") for name in images) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "parts.jsonl"]


def test_a_part_that_cannot_be_drawn_is_handed_back_with_its_reason(folder: Path) -> None:
    row = load_rows(folder, "test")[0]
    broken = type(row).from_dict({**vars(row), "shape": {"kind": "code", "text": "result = 1 / 0"}, "image": ""})
    (_, outcome), (drawn, picture) = draw_rows([broken, row], {}, make_workshop(None, CadOptions(), ("solid",)))
    assert not isinstance(outcome, bytes)
    assert outcome.code == "exec_error"
    assert picture == (folder / row.image).read_bytes()
    assert drawn == row


def test_what_cannot_be_asked_is_refused(parts_folder: Path) -> None:
    with pytest.raises(ValidationError, match="ask is 'image', but image is false; set image=true"):
        CadOptions(ask="image")
    with pytest.raises(UserError, match=r"has no picture, which image=true asks for; build the dataset with images="):
        make_tasks(parts_folder, "test", CadOptions(image=True))


def test_grpo_on_pictures_from_recipe_to_saved_policy(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    (tmp_path / "recipe.yaml").write_text(RECIPE)
    model = write_tiny_vision(tmp_path / "model")
    out = train(DOMAIN, tmp_path / "recipe.yaml", folder, str(model), [], tmp_path / "run")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if row["stage"] == "grpo"]
    assert len(steps) == 2
    assert all(row["logp_gap"] < 1e-4 and row["gradient_norm"] > 0 for row in steps)
    assert [record.task.images for record in load_arms(out / "results")["grpo"].records] == [
        task.images for task in (make_tasks(folder, "test", OPTIONS) * 2)[:2]
    ]
    checkpoints = sorted((out / "checkpoints").iterdir())
    before, after = (load_file(path / "policy" / "model.safetensors") for path in (checkpoints[0], checkpoints[-1]))
    tower = [name for name in before if "visual.blocks" in name]
    assert sum(not torch.equal(before[name], after[name]) for name in tower) > len(tower) / 2 > 5
    task = make_tasks(folder, "test", OPTIONS)[0]
    parts = [{"type": "image", "path": task.images[0]}, {"type": "text", "text": task.text}]
    inputs = plain_processor(out / "policy").apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    plain = AutoModelForImageTextToText.from_pretrained(out / "policy")
    assert plain.generate(**inputs, max_new_tokens=3).shape[1] > inputs["input_ids"].shape[1]
