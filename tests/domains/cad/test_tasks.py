"""Tasks ask what the options say, answers are read back, and nothing of the reference is in a prompt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from domains.cad import DOMAIN
from domains.cad.options import CadOptions
from domains.cad.reading import read_code
from domains.cad.rows import load_rows
from domains.cad.tasks import make_demonstrations, make_tasks
from sciRL.errors import UserError
from sciRL.models.tiny import tokenizer_from_tokens
from sciRL.task import Task


@pytest.mark.parametrize("ask", ["text", "design", "both"])
@pytest.mark.parametrize("style", ["compact", "chat"])
def test_every_demonstration_reads_back_as_its_rows_program(parts_folder: Path, ask: str, style: str) -> None:
    options = CadOptions(ask=ask, prompt_style=style, think=style == "chat")
    codes = {row.id: row.code for row in load_rows(parts_folder, "train")}
    found = make_demonstrations(parts_folder, "train", options, seed=1)
    assert len(found) == len(codes) == 30
    for item in found:
        code = read_code(item.answer, bare=style == "compact").code
        assert code is not None
        assert code.strip() == codes[item.task.metadata["row"]].strip()
        assert codes[item.task.metadata["row"]].strip() not in item.task.text
        assert Task.from_json(item.task.to_json()) == item.task


def test_splits_share_no_part(parts_folder: Path) -> None:
    groups = [{row.group for row in load_rows(parts_folder, split)} for split in ("train", "validation", "test")]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert DOMAIN.check(parts_folder) == []


def test_few_demonstrations_follow_from_the_seed(parts_folder: Path) -> None:
    options = CadOptions(demonstrations=7)
    drawn = [[d.task.id for d in make_demonstrations(parts_folder, "train", options, seed)] for seed in (0, 0, 1)]
    assert len(drawn[0]) == 7
    assert drawn[0] == drawn[1] != drawn[2]


def test_families_choose_rows_and_an_unknown_one_is_named(parts_folder: Path) -> None:
    tasks = make_tasks(parts_folder, "test", CadOptions(families=("spacer",)))
    assert {task.metadata["family"] for task in tasks} == {"spacer"}
    with pytest.raises(UserError, match=r"no row of split 'test' is of family 'gear'.*flange, plate_grid, spacer"):
        make_tasks(parts_folder, "test", CadOptions(families=("gear",)))


def test_the_vocabulary_covers_prompts_and_answers_of_all_families() -> None:
    options = CadOptions(ask="text", level="parameters")
    data = DOMAIN.default_data()
    tokenizer = tokenizer_from_tokens(DOMAIN.vocabulary(data, options).tokens)
    for item in make_demonstrations(data, "validation", options, 0):
        for text in (item.task.text, item.answer):
            assert tokenizer.unk_token_id not in tokenizer.encode(text, add_special_tokens=False), text


def test_a_chat_prompt_states_units_axes_and_the_name_of_the_result(parts_folder: Path) -> None:
    text = make_tasks(parts_folder, "test", CadOptions(prompt_style="chat", ask="text"))[0].text
    assert all(re.search(word, text) for word in ("millimetres", "Z up", "`result`", "```python"))
