"""Crystals by choices: masks, inverses, texts that the crystal rubric reads, rewards equal to that rubric's scores."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("spglib", reason="the crystal domain needs spglib (pip install sciRL[crystal])")
pytest.importorskip("pymatgen", reason="the crystal domain needs pymatgen (pip install sciRL[crystal])")

from domains.crystal import DOMAIN as CRYSTAL
from domains.crystal.codec import WyText, origin_variants
from domains.crystal.reward import training_set
from domains.crystal.rubrics import make_rubric
from domains.gflownet.crystals import (
    NONE,
    CrystalEnvironment,
    prototype_elements,
    prototype_templates,
    templates_of,
)
from domains.gflownet.rewards import RubricReward
from sciRL.errors import UserError
from sciRL.flow.rollout import draw
from sciRL.task import Task

TASK = Task("crystal", ({"role": "user", "content": "Propose a crystal."},))
MONOCLINIC = "Ag4O4\nSG 14\nCELL 5.860 3.484 5.500 107.50\nAg 4e 0.295 0.350 0.230\nO 4e 0.100 0.200 0.300"


def flat(texts: object) -> list[float]:
    return [0.0] * len(texts)  # type: ignore[arg-type]


ENVIRONMENT = CrystalEnvironment(flat)


def walk(environment: CrystalEnvironment, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All (state, action) pairs of n uniform walks."""
    generator = torch.Generator().manual_seed(seed)
    states, pairs = environment.source(n), []
    while len(states):
        actions = draw(environment.forward_mask(states).double().cumsum(-1), generator)
        pairs.append((states, actions))
        moving = actions != environment.stop
        states = environment.step(states[moving], actions[moving])
    return torch.cat([s for s, _ in pairs]), torch.cat([a for _, a in pairs])


def objects(environment: CrystalEnvironment, n: int, seed: int) -> torch.Tensor:
    states, actions = walk(environment, n, seed)
    return states[actions == environment.stop]


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_every_choice_is_taken_back_and_made_again(seed: int) -> None:
    states, actions = walk(ENVIRONMENT, 8, seed)
    moving = actions != ENVIRONMENT.stop
    parents, forward = states[moving], actions[moving]
    children, undo = ENVIRONMENT.step(parents, forward), ENVIRONMENT.back_of(parents, forward)
    assert ENVIRONMENT.backward_mask(children).gather(1, undo.unsqueeze(1)).all()
    assert torch.equal(ENVIRONMENT.back(children, undo), parents)
    assert torch.equal(ENVIRONMENT.forth_of(children, undo), forward)
    assert not ENVIRONMENT.backward_mask(ENVIRONMENT.source(1)).any()
    assert ENVIRONMENT.forward_mask(states).any(-1).all()
    complete = ENVIRONMENT.complete(states)
    assert torch.equal(ENVIRONMENT.forward_mask(states)[:, -1], complete)
    assert bool((ENVIRONMENT.forward_mask(states).sum(-1)[complete] == 1).all())


def test_different_states_are_different_texts_and_are_read_back() -> None:
    states = torch.unique(objects(ENVIRONMENT, 300, seed=0), dim=0)
    texts = ENVIRONMENT.texts(states)
    assert len(set(texts)) == len(states)
    assert torch.equal(ENVIRONMENT.read(texts), states)
    codec = WyText()
    assert [codec.canonical(codec.decode(text)) for text in texts] == texts


def test_features_tell_states_apart() -> None:
    states = torch.unique(walk(ENVIRONMENT, 100, seed=2)[0], dim=0)
    features = ENVIRONMENT.encode(states)
    assert features.shape == (len(states), ENVIRONMENT.feature_size)
    assert len(torch.unique(features, dim=0)) == len(states)


def test_every_space_group_and_prototype_of_the_embedded_table_can_be_chosen() -> None:
    assert ENVIRONMENT.groups == (122, 136, 164, 167, 186, 191, 194, 205, 216, 221, 223, 225, 227, 229)
    patterns = {(t.sg, tuple(len(slot) for slot in t.slots)) for t in prototype_templates()}
    assert (227, (1, 1, 1)) in patterns  # spinel
    assert len(prototype_elements()) == 70


def test_elements_of_exchangeable_slots_rise_so_that_no_origin_is_counted_twice() -> None:
    """Rock salt with three elements to choose from: three crystals, not six."""
    salt = templates_of(["Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b"])
    assert salt[0].rising == (False, True)
    environment = CrystalEnvironment(flat, salt, ("Na", "K", "Cl"))
    level = environment.source(1)
    for _ in range(4):
        rows, actions = environment.forward_mask(level)[:, :-1].nonzero(as_tuple=True)
        level = environment.step(level[rows], actions)
    assert {tuple(row) for row in level[:, 2:4].tolist()} == {(0, 1), (0, 2), (1, 2)}


def test_the_other_origin_is_read_as_the_same_state() -> None:
    environment = CrystalEnvironment(flat, templates_of(["Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b"]))
    state = objects(environment, 1, seed=4)
    crystal = WyText().decode(environment.texts(state)[0])
    moved = [WyText().canonical(variant) for variant in origin_variants(crystal)]
    assert moved
    assert moved[0] != environment.texts(state)[0]
    assert torch.equal(environment.read(moved[:1]), state)


def test_templates_of_any_crystal_system_work() -> None:
    environment = CrystalEnvironment(flat, templates_of([MONOCLINIC]), ("Cu", "Ag", "O", "S"))
    states = objects(environment, 50, seed=1)
    # a, b/a, c/a and beta are chosen; alpha and gamma are not free.
    assert (states[:, -3] == NONE).all()
    assert (states[:, -1] == NONE).all()
    assert (states[:, -2] >= 0).all()
    assert torch.equal(environment.read(environment.texts(states)), states)


@pytest.mark.parametrize(
    "text",
    [
        "Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b",  # not on the grid of lengths
        "He4O4\nSG 225\nCELL 4.301\nHe 4a\nO 4b",  # no such element
        MONOCLINIC,  # no such template
        "nothing",
    ],
)
def test_what_cannot_be_chosen_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="crystals-"):
        ENVIRONMENT.read([text])


def test_incomplete_states_are_no_objects() -> None:
    with pytest.raises(UserError, match="not complete"):
        ENVIRONMENT.texts(ENVIRONMENT.source(1))
    assert ENVIRONMENT.log_reward_partial(ENVIRONMENT.source(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("preset", ["strict", "multiplicative"])
def test_the_reward_is_the_crystal_rubric_s_score(preset: str) -> None:
    rubric = make_rubric(preset, training=training_set(CRYSTAL.default_data()))
    environment = CrystalEnvironment(RubricReward(rubric, TASK, floor=1e-3))
    states = objects(environment, 20, seed=5)
    texts = environment.texts(states)
    expected = [math.log(1e-3 + float(rubric.verify([(TASK, text)])[0].value or 0.0)) for text in texts]
    assert environment.log_reward(states).tolist() == pytest.approx(expected, abs=1e-12)
    assert len(set(expected)) > 1


def test_bad_arguments_are_named() -> None:
    with pytest.raises(UserError, match="no template"):
        CrystalEnvironment(flat, [])
    with pytest.raises(UserError, match="Xx"):
        CrystalEnvironment(flat, elements=("Na", "Xx"))
    with pytest.raises(UserError, match="2 elements"):
        CrystalEnvironment(flat, elements=("Na", "Cl"))
    with pytest.raises(UserError, match="template 1"):
        templates_of(["SG 225"])
    with pytest.raises(UserError, match="template 1: two elements"):
        templates_of(["Na1Cl1\nSG 1\nCELL 4 4 4 90 90 90\nNa 1a 0.000 0.000 0.000\nCl 1a 0.000 0.000 0.000"])
