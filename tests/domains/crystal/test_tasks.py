"""Crystal tasks and demonstrations: what prompts say, what references ask, and that both fit the vocabulary."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from domains.crystal import DOMAIN
from domains.crystal.answers import answer_codec, read_answer, read_any, write_answer
from domains.crystal.codec import WyText
from domains.crystal.options import CONDITIONS, CrystalOptions
from domains.crystal.rows import CrystalRow, load_rows
from domains.crystal.tasks import make_question, make_tasks, word
from domains.crystal.verifiers import CONDITIONS as CHECKED
from sciRL.errors import UserError

DATA = DOMAIN.default_data()
TINIS = CrystalRow(
    "x", "TiNiSn", 216, "Ti4Ni4Sn4\nSG 216\nCELL 5.930\nTi 4b\nNi 4c\nSn 4a", "216:a-b-c", 3, 3, 12, e_form=-0.55
)
ALL_KINDS = ("conditions", "unconditional", "sg", "composition", "elements", "e_hull", "infill")


def options(**values: object) -> CrystalOptions:
    return CrystalOptions.model_validate(values)


@pytest.mark.parametrize(
    ("values", "prompt", "reference"),
    [
        ({}, "<el>3<sites>3SG 216\n", {"sg": 216, "n_elements": 3, "n_sites": 3}),
        ({"kinds": ["unconditional"]}, "\n", {}),
        ({"kinds": ["sg"]}, "SG 216\n", {"sg": 216}),
        ({"kinds": ["composition"]}, "<formula>TiNiSn\n", {"formula": "TiNiSn"}),
        ({"kinds": ["elements"]}, "<elements>NiSnTi\n", {"elements": ["Ni", "Sn", "Ti"]}),
        ({"conditions": ["template"]}, "<wyckoff>216:a-b-c\n", {"template": "216:a-b-c"}),
        ({"kinds": ["e_form"]}, "<eform>-0.55\n", {"e_form": -0.55, "e_form_tolerance": 0.1}),
        ({"kinds": ["e_hull"], "e_hull_max": 0.05}, "<ehull>0.05\n", {"e_hull_max": 0.05}),
    ],
)
def test_compact_prompts(values: dict[str, object], prompt: str, reference: dict[str, object]) -> None:
    chosen = options(**values)
    question = make_question(TINIS, chosen.kinds[0], chosen)
    assert question is not None
    assert word(question, chosen, TINIS.id) == prompt
    assert question.reference == reference


def test_infill_hides_one_element_everywhere_and_asks_for_all_of_it() -> None:
    row = CrystalRow("y", "CO2", 205, "C4O8\nSG 205\nCELL 5.624\nC 4a\nO 8c 0.118", "205:a-c", 2, 2, 12)
    for identity in map(str, range(8)):
        named = CrystalRow(**{**row.__dict__, "id": identity})
        question = make_question(named, "infill", options(kinds=["infill"]))
        assert question is not None
        assert question.masked in (
            "SG 205\nCELL 5.624\n<mask> 4a\nO 8c 0.118",
            "SG 205\nCELL 5.624\nC 4a\n<mask> 8c 0.118",
        )
        assert question.reference == {"formula": "CO2", "sg": 205, "template": "205:a-c"}


@pytest.mark.parametrize("style", ["compact", "chat"])
def test_dataset_answers_meet_their_own_references(style: str) -> None:
    chosen = options(kinds=ALL_KINDS, conditions=["sg", "formula", "elements", "n_elements", "n_sites", "template"],
                     prompt_style=style)  # fmt: skip
    demonstrations = DOMAIN.demonstrations(DATA, "test", chosen, seed=0)
    for demonstration in demonstrations:
        crystal = read_answer(demonstration.answer, chosen)
        assert crystal is not None
        reference = demonstration.task.reference
        assert isinstance(reference, dict)
        for key, asked in reference.items():
            if key in CHECKED:
                assert CHECKED[key](crystal, asked), (key, asked, demonstration.answer)
    assert {demonstration.task.metadata["kind"] for demonstration in demonstrations} == set(ALL_KINDS)


def test_everything_compact_tokenises_without_unknowns() -> None:
    from sciRL.models.tiny import tokenizer_from_tokens

    for cell_last in (False, True):
        for formula_line in (False, True):
            chosen = options(kinds=ALL_KINDS, conditions=[c for c in CONDITIONS if c != "e_form"], cell_last=cell_last,
                             formula_line=formula_line)  # fmt: skip
            tokenizer = tokenizer_from_tokens(DOMAIN.vocabulary(DATA, chosen).tokens)
            for demonstration in DOMAIN.demonstrations(DATA, "test", chosen, seed=0):
                text = demonstration.task.text + demonstration.answer
                ids = tokenizer.encode(text, add_special_tokens=False)
                assert tokenizer.unk_token_id not in ids
                assert tokenizer.decode(ids) == text


def test_compact_prompt_is_one_token_for_each_condition() -> None:
    from sciRL.models.tiny import tokenizer_from_tokens

    tokenizer = tokenizer_from_tokens(DOMAIN.vocabulary(DATA, options()).tokens)
    assert len(tokenizer.encode("<el>3<sites>12SG 216\n", add_special_tokens=False)) == 3


def test_prompts_are_distributed_as_the_rows() -> None:
    tasks = make_tasks(DATA, "train", options(kinds=["sg"]))
    assert Counter(t.reference["sg"] for t in tasks) == Counter(r.sg for r in load_rows(DATA, "train"))  # type: ignore
    assert [task.id for task in tasks] == [task.id for task in make_tasks(DATA, "train", options(kinds=["sg"]))]
    assert {task.metadata["split"] for task in tasks} == {"train"}


def test_chat_prompt_states_every_condition_and_never_the_crystal() -> None:
    chosen = options(prompt_style="chat", conditions=["sg", "n_elements", "n_sites", "formula", "template"])
    question = make_question(TINIS, "conditions", chosen)
    assert question is not None
    prompts = {word(question, chosen, str(row)) for row in range(40)}
    assert len(prompts) > 10  # the order of the conditions is shuffled
    for prompt in prompts:
        for phrase in ("number is 216", "elements is 3", "positions is 3", "formula is TiNiSn", "216:a-b-c"):
            assert prompt.count(phrase) == 1
        assert "<answer>" in prompt
        assert "<think>" not in prompt
    assert "<think>" in word(question, chosen.model_copy(update={"think": True}), "x")


def test_chat_example_is_in_the_asked_form() -> None:
    for formula_line in (False, True):
        for cell_last in (False, True):
            chosen = options(prompt_style="chat", formula_line=formula_line, cell_last=cell_last)
            question = make_question(TINIS, "conditions", chosen)
            assert question is not None
            shown = word(question, chosen, "x").split("Example (half-Heusler TiNiSn):\n")[1].split("\n\n")[0]
            assert answer_codec(chosen).decode(shown).reduced_formula == "TiNiSn"


@pytest.mark.parametrize("formula_line", [False, True])
@pytest.mark.parametrize("cell_last", [False, True])
def test_written_answers_are_canonical_in_each_variant(formula_line: bool, cell_last: bool) -> None:
    chosen = options(formula_line=formula_line, cell_last=cell_last)
    codec = WyText(formula_line=formula_line, cell_last=cell_last)
    for row in load_rows(DATA, "test")[:60]:
        assert write_answer(row.text, chosen) == codec.canonical(WyText().decode(row.text))


@pytest.mark.parametrize("codec", ["explicit", "coords", "cif"])
def test_other_forms_hold_the_same_crystal(codec: str) -> None:
    chosen = options(codec=codec, prompt_style="chat", conditions=["n_elements"])
    for row in load_rows(DATA, "test")[:8]:
        crystal = read_answer(write_answer(row.text, chosen), chosen)
        assert crystal is not None
        assert (crystal.reduced_formula, crystal.n_atoms) == (row.formula, row.n_atoms)
        assert read_any(write_answer(row.text, chosen)) == crystal


def test_answers_need_tags_in_chat_only() -> None:
    chat, compact = options(prompt_style="chat"), options()
    bare = "SG 225\nCELL 3.615\nCu 4a"
    assert read_answer(bare, compact) is not None
    assert read_answer(f"<answer>Cu4\n{bare}</answer>", chat) is not None
    assert read_answer(f"Cu4\n{bare}", chat) is None
    assert read_answer("", compact) is None
    for text in (bare, f"Cu4\n{bare}", f"<think>copper</think><answer>Cu4\n{bare}</answer>"):
        crystal = read_any(text)
        assert crystal is not None
        assert crystal.reduced_formula == "Cu"


def test_other_origins_are_the_same_crystal() -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    plain = DOMAIN.demonstrations(DATA, "test", options(), seed=0)[:40]
    moved = DOMAIN.demonstrations(DATA, "test", options(augment_origin=True), seed=0)[:40]
    again = DOMAIN.demonstrations(DATA, "test", options(augment_origin=True), seed=0)[:40]
    assert [d.answer for d in moved] == [d.answer for d in again]
    changed = [(a.answer, b.answer) for a, b in zip(plain, moved, strict=True) if a.answer != b.answer]
    assert len(changed) >= 5
    for before, after in changed[:12]:
        first, second = read_any(before), read_any(after)
        assert first is not None
        assert second is not None
        assert StructureMatcher().fit(first.to_structure(True), second.to_structure(True))


def test_template_tasks_keep_the_letters() -> None:
    chosen = options(augment_origin=True, conditions=["template"])
    for demonstration in DOMAIN.demonstrations(DATA, "test", chosen, seed=1)[:60]:
        crystal = read_answer(demonstration.answer, chosen)
        assert crystal is not None
        assert isinstance(demonstration.task.reference, dict)
        assert crystal.template == demonstration.task.reference["template"]


def test_missing_values_and_splits_are_said() -> None:
    with pytest.raises(UserError, match=r"no row of split 'test' has the values that kinds=e_form"):
        make_tasks(DATA, "test", options(kinds=["e_form"]))
    with pytest.raises(UserError, match="unknown split 'dev'; allowed are train, validation, test"):
        make_tasks(DATA, "dev", options())
    with pytest.raises(UserError, match="not a crystal dataset folder"):
        make_tasks(Path("nowhere"), "train", options())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"codec": "xyz"}, "'wytext'"),
        ({"prompts": "chat"}, "Extra inputs are not permitted"),
        ({"conditions": ["sg", "sg"]}, "each name may appear once"),
        ({"kinds": []}, "at least 1 item"),
        ({"weights": {"novel": -1}}, "the weight of 'novel' must be a finite number >= 0; found -1.0"),
        ({"max_atoms": 0}, "greater than or equal to 1"),
        ({"codec": "cif"}, "codec=cif states no symmetry, so no answer can meet sg, n_sites"),
    ],
)
def test_bad_options_say_what_is_allowed(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        options(**values)
