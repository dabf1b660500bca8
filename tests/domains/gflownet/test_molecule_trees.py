"""Molecules: valid by construction, actions and their inverses, symmetric stems, the law over trees, reading back."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciRL.errors import UserError
from sciRL.flow.rollout import draw

Chem = pytest.importorskip("rdkit.Chem", reason="rdkit is not installed (pip install sciRL[gflownet])")

from domains.gflownet.assembly import smiles_of, take_apart  # noqa: E402
from domains.gflownet.fragments import FRAGMENTS, Fragment, fragment_table  # noqa: E402
from domains.gflownet.molecules import MoleculeEnvironment, MoleculeReward, count_rootings  # noqa: E402
from domains.gflownet.trees import NONE, Trees, canonical  # noqa: E402

ENVIRONMENT = MoleculeEnvironment()
SMALL = tuple(f for f in FRAGMENTS if f.name in ("carbon", "amidine carbon", "sulfonyl", "m-phenylene", "fluoro"))


def number(name: str) -> int:
    return [fragment.name for fragment in FRAGMENTS].index(name)


def walk(environment: MoleculeEnvironment, n: int, seed: int, stop: float) -> tuple[torch.Tensor, torch.Tensor]:
    """All (state, action) pairs of n uniform walks that stop with probability `stop` at each molecule, as one batch."""
    generator = torch.Generator().manual_seed(seed)
    states, pairs = environment.source(n), []
    while len(states):
        law = environment.forward_mask(states).double()
        law[:, -1] *= torch.where(law[:, :-1].any(-1), stop / (1 - stop) * law[:, :-1].sum(-1), 1.0)
        actions = draw(law.cumsum(-1), generator)
        pairs.append((states, actions))
        moving = actions != environment.stop
        states = environment.step(states[moving], actions[moving])
    return torch.cat([s for s, _ in pairs]), torch.cat([a for _, a in pairs])


def objects(environment: MoleculeEnvironment, n: int, seed: int, stop: float = 0.15) -> torch.Tensor:
    states, actions = walk(environment, n, seed, stop)
    return states[actions == environment.stop]


def test_a_thousand_random_molecules_are_valid_connected_and_canonical() -> None:
    texts = ENVIRONMENT.texts(objects(ENVIRONMENT, 1000, seed=0))
    assert len(texts) == 1000
    for text in texts:
        mol = Chem.MolFromSmiles(text)
        assert mol is not None, text
        assert "." not in text
        assert Chem.MolToSmiles(mol) == text
        assert not mol.HasSubstructMatch(HETERO_BOND), text


HETERO = "[N,n,O,o,F,Cl,Br;!$([N+](=O)[O-]);!$([O-][N+])]"
HETERO_BOND = Chem.MolFromSmarts(f"{HETERO}-!@{HETERO}")


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), stop=st.sampled_from([0.02, 0.2, 0.5]))
def test_every_action_has_its_inverse_and_every_state_is_its_own_canonical_form(seed: int, stop: float) -> None:
    states, actions = walk(ENVIRONMENT, 16, seed, stop)
    moving = actions != ENVIRONMENT.stop
    parents, forward = states[moving], actions[moving]
    children = ENVIRONMENT.step(parents, forward)
    undo = ENVIRONMENT.back_of(parents, forward)
    assert ENVIRONMENT.backward_mask(children).gather(1, undo.unsqueeze(1)).all()
    assert torch.equal(ENVIRONMENT.back(children, undo), parents)
    assert torch.equal(ENVIRONMENT.forth_of(children, undo), forward)
    # And from the other side: every allowed backward action, not only the one just made.
    rows, backward = ENVIRONMENT.backward_mask(children).nonzero(as_tuple=True)
    before = ENVIRONMENT.back(children[rows], backward)
    again = ENVIRONMENT.forth_of(children[rows], backward)
    assert ENVIRONMENT.forward_mask(before).gather(1, again.unsqueeze(1)).all()
    assert torch.equal(ENVIRONMENT.step(before, again), children[rows])
    assert torch.equal(ENVIRONMENT.back_of(before, again), backward)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_no_two_actions_lead_to_the_same_child_or_parent(seed: int) -> None:
    environment = MoleculeEnvironment(max_nodes=7, fragments=SMALL)
    state = walk(environment, 1, seed, 0.05)[0][-1:]
    forward = environment.forward_mask(state)[0, :-1].nonzero().squeeze(1)
    children = environment.step(state.expand(len(forward), -1), forward)
    assert len(torch.unique(children, dim=0)) == len(forward)
    backward = environment.backward_mask(state)[0].nonzero().squeeze(1)
    parents = environment.back(state.expand(len(backward), -1), backward)
    assert len(torch.unique(parents, dim=0)) == len(backward)


def test_masks_offer_every_tree_once() -> None:
    """Two carbons, by hand: CH3-CH3 from the root; a third on the root or on the child: two rooted trees of propane."""
    environment = MoleculeEnvironment(max_nodes=3, fragments=(Fragment("carbon", "*C(*)*"),))
    levels = [environment.source(1)]
    for _ in range(3):
        states = levels[-1]
        rows, actions = environment.forward_mask(states)[:, :-1].nonzero(as_tuple=True)
        levels.append(torch.unique(environment.step(states[rows], actions), dim=0))
    assert [len(level) for level in levels] == [1, 1, 1, 2]
    assert environment.texts(levels[3]) == ["CCC", "CCC"]
    # The two states share the reward of the one tree: P(propane) is proportional to R(propane).
    reward = environment.log_molecule_reward(levels[3])[0].exp()
    assert float(environment.log_reward(levels[3]).exp().sum()) == pytest.approx(float(reward))


def test_states_of_one_tree_are_counted_by_brute_force() -> None:
    """In a whole small space, each tree has as many states as `rootings` says, and they are its re-rooted forms."""
    environment = MoleculeEnvironment(max_nodes=4, fragments=SMALL[1:3])
    level, found = environment.source(1), []
    for _ in range(4):
        rows, actions = environment.forward_mask(level)[:, :-1].nonzero(as_tuple=True)
        level = torch.unique(environment.step(level[rows], actions), dim=0)
        found.append(level)
    states = torch.cat(found)
    owners, turned = zip(*((k, row) for k, s in enumerate(states) for row in rerooted(environment, s)), strict=True)
    rows_of = Trees.of(torch.tensor(turned))
    forms: dict[int, set[tuple[int, ...]]] = {}
    for owner, row in zip(
        owners, canonical(rows_of, environment._tables, torch.full((len(turned),), NONE))[0].tolist(), strict=True
    ):
        forms.setdefault(owner, set()).add(tuple(row))
    everything = {tuple(row) for row in states.tolist()}
    assert len(everything) > 150
    for owner, count in enumerate(environment.rootings(states).tolist()):
        assert tuple(states[owner].tolist()) in forms[owner] <= everything
        assert len(forms[owner]) == count


def rerooted(environment: MoleculeEnvironment, state: torch.Tensor) -> list[list[int]]:
    """The rows of a tree, not yet canonical, with each of its nodes as the root."""
    nodes = environment._nodes(state.tolist())
    links: dict[int, list[tuple[int, int, int]]] = {k: [] for k in range(len(nodes))}
    for child, (_, parent, stem, entry) in enumerate(nodes):
        if parent >= 0:
            links[parent].append((child, stem, entry))
            links[child].append((parent, entry, stem))
    out = []
    for root in range(len(nodes)):
        turned, queue = [], [(root, NONE, NONE, NONE)]
        while queue:
            node, parent, stem, entry = queue.pop(0)
            turned.append((nodes[node][0], parent, stem, entry))
            queue += [(to, len(turned) - 1, own, theirs) for to, own, theirs in links[node] if own != entry]
        out.append(environment._row(turned))
    return out


def test_trees_that_differ_only_by_symmetric_stems_are_one_row() -> None:
    """Two fluorines and a bromine on a benzene with three equal stems, in any order: the same state."""
    names = ("m-phenylene", "fluoro", "bromo")
    environment = MoleculeEnvironment(max_nodes=4, fragments=tuple(FRAGMENTS[number(name)] for name in names))
    blocks = [environment.table.fragments[f].name for f, _ in environment.blocks]
    rows = []
    for order in (("fluoro", "fluoro", "bromo"), ("fluoro", "bromo", "fluoro"), ("bromo", "fluoro", "fluoro")):
        state = environment.step(environment.source(1), torch.tensor([blocks.index("m-phenylene")]))
        for name in order:
            stems = environment.forward_mask(state)[0, :-1].view(-1, len(blocks))[:, blocks.index(name)]
            assert stems.tolist().count(True) == 1
            state = environment.step(state, torch.tensor([blocks.index(name)]))
        rows.append(state)
    assert all(torch.equal(a, b) for a, b in pairwise(rows))
    assert environment.texts(rows[0]) == ["Fc1cc(F)cc(Br)c1"]
    # Of the two equal fluorines one may be removed.
    assert int(environment.backward_mask(rows[0]).sum()) == 2


def test_only_molecules_stop_and_full_trees_only_stop() -> None:
    environment = MoleculeEnvironment(max_nodes=2)
    assert not environment.forward_mask(environment.source(1))[0, -1]
    full = objects(environment, 20, seed=1, stop=0.0)
    assert Trees.of(full).present.all()
    assert environment.forward_mask(full).sum(-1).tolist() == [1] * 20


def test_the_stems_that_are_offered_fit_their_number() -> None:
    """No state has more open representative stems than actions are made for, and none is left out."""
    environment = MoleculeEnvironment(max_nodes=9, fragments=SMALL[1:4])
    states, _ = walk(environment, 200, seed=3, stop=0.01)
    trees = Trees.of(states)
    offered = (environment._stems(trees) >= 0).sum(-1)
    assert int(offered.max()) <= environment.most_open
    room = trees.present.any(-1) & ~trees.present.all(-1)
    assert bool((environment.forward_mask(states[room])[:, :-1].any(-1) == (offered[room] > 0)).all())


def test_features_tell_states_apart() -> None:
    states = torch.unique(walk(ENVIRONMENT, 200, seed=5, stop=0.1)[0], dim=0)
    features = ENVIRONMENT.encode(states)
    assert features.shape == (len(states), ENVIRONMENT.feature_size)
    assert len(torch.unique(features, dim=0)) == len(states)


def test_molecules_are_read_back() -> None:
    states = objects(ENVIRONMENT, 60, seed=11)
    texts = ENVIRONMENT.texts(states)
    again = ENVIRONMENT.read(texts)
    assert ENVIRONMENT.texts(again) == texts
    assert torch.equal(ENVIRONMENT.read(texts), again)
    # What is read is a state like any other: it can be walked back to the source.
    for _ in range(ENVIRONMENT.max_nodes):
        living = ENVIRONMENT.backward_mask(again).any(-1)
        again = ENVIRONMENT.back(again[living], ENVIRONMENT.backward_mask(again[living]).long().argmax(1))
    assert not (again >= 0).any()


@pytest.mark.parametrize("text", ["C1CC12CC2", "C.C", "[Fe]", "c1ccccc1" * 12, "CCCCCCCCCCCC", "not a molecule"])
def test_what_no_tree_makes_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError, match="molecules-9"):
        ENVIRONMENT.read([text])


def test_aspirin_is_read_and_rewarded_as_written_down() -> None:
    state = ENVIRONMENT.read(["CC(=O)Oc1ccccc1C(=O)O"])
    expected = 0.550122 * (1 / (1 + math.exp(-1.3101 / 0.3))) * ((10 - 1.58004) / 9)
    assert float(ENVIRONMENT.log_molecule_reward(state).exp()) == pytest.approx(expected, rel=1e-4)
    names = sorted(FRAGMENTS[fragment].name for fragment in Trees.of(state).fragments[0].tolist() if fragment >= 0)
    assert names == ["carbon", "carbonyl", "carbonyl", "ether", "ether", "o-phenylene"]
    assert float(ENVIRONMENT.rootings(state)) == 6.0


def test_reward_has_a_floor_and_powers() -> None:
    assert MoleculeReward()(["C(", ""]) == [math.log(1e-4)] * 2
    plain, sharp = MoleculeReward()(["c1ccccc1O"])[0], MoleculeReward(qed_power=2.0)(["c1ccccc1O"])[0]
    from domains.gflownet.properties import measured

    assert sharp - plain == pytest.approx(math.log(measured("Oc1ccccc1").qed))
    with pytest.raises(UserError, match="floor"):
        MoleculeReward(floor=0.0)


def test_no_fragment_is_a_tree_of_others() -> None:
    """With all its stems in use, no fragment can be made from the others."""
    table, nitrile = fragment_table(), number("nitrile")
    for index, fragment in enumerate(FRAGMENTS):
        if "1" in fragment.smiles:
            continue  # bonds of rings are never cut
        others = fragment_table(FRAGMENTS[:index] + FRAGMENTS[index + 1 :])
        bound = smiles_of(
            [(index, NONE, NONE, NONE), *((nitrile, 0, stem, 0) for stem in range(table.stems(index)))], table
        )
        assert isinstance(take_apart(bound, others, 9), str), fragment


def test_the_default_list_is_what_it_says() -> None:
    table = fragment_table()
    stems = [table.stems(f) for f in range(len(FRAGMENTS))]
    assert len(FRAGMENTS) == 83
    assert [stems.count(k) for k in (1, 2, 3)] == [6, 72, 5]
    assert len(table.blocks) == 128
    assert ENVIRONMENT.n_actions == 1281


@pytest.mark.parametrize(
    ("smiles", "message"),
    [("CC", "0 stems"), ("*C(*)(*)*", "4 stems"), ("*=C", "single bond"), ("*C(", "no SMILES"), ("**", "single bond")],
)
def test_bad_fragments_are_named(smiles: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MoleculeEnvironment(fragments=(Fragment("odd", smiles),))


def test_rootings_of_a_symmetric_chain() -> None:
    """Three carbons in a row have two kinds of node; an end and the middle."""
    carbon = number("carbon")
    chain = [(carbon, -1, -1, -1), (carbon, 0, 0, 0), (carbon, 1, 1, 0)]
    assert count_rootings(chain, fragment_table()) == 2
