"""Crystal verifiers and rubrics: honest answers, wrong ones, hostile texts, duplicates."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.crystal.codec import WyText
from domains.crystal.novelty import TrainingSet
from domains.crystal.reading import Reader
from domains.crystal.rubrics import PRESETS, make_rubric
from domains.crystal.symmetry import measure_space_group
from domains.crystal.verifiers import (
    Condition,
    MinDistance,
    Neutral,
    Novel,
    Parse,
    SgMatch,
    TemplateSpread,
    Unique,
    Volume,
)
from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.task import Json, Task

SALT = "Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b"
BROMIDE = "K4Br4\nSG 225\nCELL 6.600\nK 4a\nBr 4b"
# fcc copper written as a primitive cubic arrangement: the atoms have more symmetry than group 221 says.
COPPER_221 = "Cu4\nSG 221\nCELL 3.615\nCu 1a\nCu 3c"
COPPER_225 = "Cu4\nSG 225\nCELL 3.615\nCu 4a"
OVERLAP = "Na2Cl1\nSG 221\nCELL 4.000\nNa 1a\nNa 1b\nCl 1a"
READER = Reader(WyText())


def ask(reference: Json = None) -> Task:
    return Task(
        "crystal", ({"role": "user", "content": f"Propose a crystal. Example:\n{BROMIDE}"},), reference=reference
    )


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    return TrainingSet.from_rows([{"id": "salt", "text": SALT}], WyText())


def one(verifier: object, text: str, reference: Json = None) -> Score:
    return verifier.verify([(ask(reference), text)])[0]  # type: ignore[attr-defined, no-any-return]


def test_parse_reports_what_reports_need() -> None:
    score = one(Parse(READER), SALT)
    assert score.value == 1.0
    assert score.measurements == {
        "reduced_formula": "NaCl", "sg_written": 225, "template": "225:a-b", "n_atoms": 8, "n_sites": 2,
        "elements": ["Cl", "Na"],
    }  # fmt: skip
    assert one(Parse(READER, max_atoms=7), SALT).measurements["code"] == "E_SIZE"
    assert one(Parse(READER), "SG 225").status is Status.MALFORMED


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"sg": 225, "n_elements": 2, "n_sites": 2, "formula": "NaCl", "elements": ["Cl", "Na"]}, 1.0),
        ({"sg": 225, "n_elements": 3}, 0.5),
        ({"template": "225:a-b", "n_atoms_max": 8}, 1.0),
        ({"formula": "NaCl2"}, 0.0),
        ({"n_atoms_max": 7}, 0.0),
        ({}, 1.0),
        (None, 1.0),
    ],
)
def test_condition_is_the_share_met(reference: Json, value: float) -> None:
    assert one(Condition(READER), SALT, reference).value == value


def test_distance_and_volume() -> None:
    overlap = "Na4Cl4\nSG 225\nCELL 1.000\nNa 4a\nCl 4b"
    assert one(MinDistance(READER, minimum=0.6), overlap).value == 0.0
    assert one(MinDistance(READER), SALT).measurements["min_distance"] == pytest.approx(2.82)
    squeezed = SALT.replace("5.640", "3.000")
    assert one(MinDistance(READER), squeezed).value == 1.0
    assert one(MinDistance(READER, radii_share=0.6), squeezed).value == 0.0
    assert one(Volume(READER), squeezed).value == 0.0
    assert one(Volume(READER), SALT).measurements["density"] == pytest.approx(2.16, abs=0.02)


def test_symmetry_is_measured_not_read() -> None:
    assert one(SgMatch(READER), COPPER_225).value == 1.0
    upgraded = one(SgMatch(READER), COPPER_221)
    assert (upgraded.value, upgraded.measurements["sg_relation"]) == (0.0, "upgraded")
    assert upgraded.measurements["sg_measured"] == 225
    assert one(Neutral(READER), "Na4Cl8\nSG 225\nCELL 6.000\nNa 4a\nCl 8c").value == 0.0


@pytest.mark.parametrize(
    "text",
    [
        SALT,
        COPPER_221,
        "Na4\nSG 221\nCELL 4.000\nNa 1a\nNa 3c",
        "Fe2\nSG 229\nCELL 2.870\nFe 2a",
        "Fe2\nSG 221\nCELL 2.870\nFe 1a\nFe 1b",
        "Na8Cl8\nSG 227\nCELL 8.000\nNa 8a\nCl 8b",
    ],
)
def test_cubic_shortcut_equals_spglib(text: str) -> None:
    import spglib

    crystal = WyText().decode(text)
    dataset = spglib.get_symmetry_dataset((crystal.lattice, crystal.frac, crystal.numbers), symprec=0.1)
    found = measure_space_group(crystal)
    assert dataset is not None
    assert found is not None
    assert found.number == dataset.number


def test_unique_keeps_the_first_of_each_group() -> None:
    moved = "Na4Cl4\nSG 225\nCELL 5.600\nNa 4b\nCl 4a"
    scores = Unique(READER).verify([(ask(), text) for text in (SALT, BROMIDE, SALT, moved, "nothing")])
    assert [score.value for score in scores] == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert scores[3].measurements["identity"] == scores[0].measurements["identity"] == "NaCl#0"
    assert scores[4].status is Status.MALFORMED


def test_verifier_failure_is_an_error_never_a_zero(training: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bool:
        raise MemoryError("matcher")

    other = "Na4Cl4\nSG 216\nCELL 5.640\nNa 4a\nCl 4c"
    monkeypatch.setattr("domains.crystal.novelty.same_crystal", broken)
    monkeypatch.setattr("domains.crystal.verifiers.same_crystal", broken)
    scores = [one(Novel(READER, training), other), Unique(READER).verify([(ask(), SALT), (ask(), other)])[1]]
    for score in scores:
        assert score.value is None
        assert score.status is Status.ERROR


def test_strict_passes_only_when_all_stages_do(training: TrainingSet) -> None:
    rubric = make_rubric("strict", training=training)
    good, known, wrong = rubric.verify(
        [(ask({"sg": 225}), BROMIDE), (ask({"sg": 225}), SALT), (ask({"sg": 221}), BROMIDE.replace("6.600", "6.500"))]
    )
    assert (good.value, good.measurements["passed"]) == (1.0, True)
    assert (known.value, known.measurements["passed"]) == (7 / 8, False)
    assert wrong.measurements["passed"] is False
    assert known.measurements["known_as"] == "salt"


def test_ladder_pays_half_without_novelty_and_product_nothing(training: TrainingSet) -> None:
    ladder, product = make_rubric("ladder", training=training), make_rubric("multiplicative", training=training)
    for rubric, value in ((ladder, 0.75), (product, 0.0)):
        scores = rubric.verify([(ask(), BROMIDE), (ask(), SALT)])
        assert scores[0].value == 1.0
        # A known crystal that is new in the batch still earns uniqueness on the ladder.
        assert scores[1].value == pytest.approx(value)


def test_staircase_pays_each_step_only_after_those_before(training: TrainingSet) -> None:
    rubric = make_rubric("staircase", training=training)
    asked = ask({"sg": 225})
    values = [rubric.verify([(asked, text)])[0].value for text in (COPPER_221, SALT, BROMIDE, "SG 225")]
    # Wrong group: parse only. Known crystal: all before novel. New crystal: all. Unreadable: nothing.
    assert values == [1 / 8, 6 / 8, 1.0, 0.0]


def test_naive_is_satisfied_by_repetition() -> None:
    scores = make_rubric("naive").verify([(ask(), COPPER_221)] * 3)
    assert [score.value for score in scores] == [1.0] * 3


def test_rubric_arguments(training: TrainingSet) -> None:
    with pytest.raises(UserError, match="naive"):
        make_rubric("strict")
    with pytest.raises(UserError, match=r"unknown rubric 'best'.*strict"):
        make_rubric("best", training=training)
    with pytest.raises(UserError, match="no stage 'nov'"):
        make_rubric("strict", training=training, weights={"nov": 1.0})
    with pytest.raises(UserError, match="energy model"):
        make_rubric("sun", training=training)
    assert set(PRESETS) == {"strict", "ladder", "multiplicative", "staircase", "diverse", "sun", "naive"}
    rubric = make_rubric("strict", training=training, weights={"novel": 8.0})
    assert rubric.verify([(ask(), SALT)])[0].value == pytest.approx(7 / 15)
    assert pickle.loads(pickle.dumps(rubric)).verify([(ask(), BROMIDE)])[0].value == 1.0


def hostile() -> Iterator[str]:
    tagged = f"<answer>{BROMIDE}</answer>"
    yield f"{BROMIDE}\n<answer>none</answer>"
    yield f"<think>{tagged}</think>"
    yield tagged + tagged
    yield f"<answer>{tagged}</answer>"
    yield ask().text
    yield f"{SALT}\n{BROMIDE}"
    yield BROMIDE.replace("4a", "４a")
    yield BROMIDE.replace("K", "К")  # Cyrillic
    yield BROMIDE.replace("6.600", "٦.600")
    yield BROMIDE * 20_000
    yield "<answer>" * 120_000
    yield "\x00" + BROMIDE
    yield ""


@pytest.mark.parametrize("require_tags", [True, False])
def test_hostile_texts_never_beat_an_honest_wrong_answer(training: TrainingSet, require_tags: bool) -> None:
    honest_wrong = SALT.replace("5.640", "1.500")
    rubric = make_rubric("strict", training=training, require_tags=require_tags)
    texts = [f"<answer>{honest_wrong}</answer>", *hostile()]
    honest, *others = rubric.verify([(ask({"sg": 221}), text) for text in texts])
    assert honest.value is not None
    for text, score in zip(texts[1:], others, strict=True):
        assert score.status is Status.MALFORMED, text[:40]
        assert score.value == 0.0 < honest.value


def test_thinking_is_ignored(training: TrainingSet) -> None:
    rubric = make_rubric("strict", training=training, require_tags=True)
    assert rubric.verify([(ask(), f"<think>maybe {SALT}</think>\n<answer>\n{BROMIDE}\n</answer>")])[0].value == 1.0


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from("0123456789 .\nabNaClSGCELL")), max_size=6))
def test_every_mutated_text_is_scored(edits: list[tuple[int, str]]) -> None:
    characters = list(SALT)
    for place, letter in edits:
        characters[place % len(characters)] = letter
    known = TrainingSet.from_rows([{"text": SALT}], WyText())
    score = make_rubric("strict", training=known).verify([(ask(), "".join(characters))])[0]
    assert score.scorable, score.reason


def test_a_template_shared_in_a_prompt_pays_each_answer_its_part(training: TrainingSet) -> None:
    chloride = "Na4Cl4\nSG 225\nCELL 7.100\nNa 4a\nCl 4b"
    other, asked = ask({"sg": 225}), ask({"sg": 221})
    items = [(other, BROMIDE), (other, chloride), (other, COPPER_221), (asked, BROMIDE), (other, "SG 225")]
    scores = TemplateSpread(READER).verify(items)
    assert [score.value for score in scores] == [0.5, 0.5, 1.0, 1.0, 0.0]
    assert scores[4].status is Status.MALFORMED


def test_diverse_pays_the_rule_and_the_spread_and_passes_by_the_rule_alone(training: TrainingSet) -> None:
    rubric = make_rubric("diverse", training=training)
    twin = BROMIDE.replace("6.600", "6.900")
    task = ask({"sg": 225})
    one = rubric.verify([(task, BROMIDE)])[0]
    known = rubric.verify([(task, SALT)])[0]
    assert (one.value, one.measurements["passed"]) == (1.0, True)
    assert (known.value, known.measurements["passed"]) == (0.0, False)
    copies = rubric.verify([(task, BROMIDE), (task, twin)])
    assert copies[0].measurements["passed"] is True
    assert copies[1].measurements["passed"] is False
