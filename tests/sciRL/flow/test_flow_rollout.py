"""Ragged trajectories: forward samples, backward walks, joined batches."""

from __future__ import annotations

import pytest
import torch
from flow_cases import environments, generator, network

from domains.gflownet.hypergrid import Hypergrid
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import exact_flow, l1_distance, target_law, terminal_law
from sciRL.flow.network import MASKED, explored
from sciRL.flow.rollout import Trajectories, draw, join, sample, walk_back

CASES = [pytest.param(case, id=f"{type(case).__name__}-{case.name}") for case in environments()]


def check_structure(environment: FlowEnvironment, batch: Trajectories) -> None:
    """Every fact that the losses rely on."""
    n, stopped = len(batch), batch.actions == environment.stop
    assert torch.equal(batch.states[:n], environment.source(n))
    assert torch.equal(batch.moving, (~stopped).nonzero().squeeze(1))
    # The order trick: children of the moving entries are the entries from B on.
    assert torch.equal(environment.step(batch.states[batch.moving], batch.actions[batch.moving]), batch.states[n:])
    assert torch.equal(batch.rows[batch.moving], batch.rows[n:])
    assert torch.equal(batch.steps[batch.moving] + 1, batch.steps[n:])
    assert torch.equal(environment.back(batch.states[n:], batch.undo), batch.states[batch.moving])
    assert torch.equal(batch.rows[batch.last], torch.arange(n))
    assert bool(stopped[batch.last].all())
    assert int(stopped.sum()) == n
    assert torch.equal(batch.lengths, torch.bincount(batch.rows))
    assert int(batch.lengths.max()) <= environment.max_length
    assert bool(environment.forward_mask(batch.states).gather(1, batch.actions.unsqueeze(1)).all())
    torch.testing.assert_close(batch.log_reward, environment.log_reward(batch.objects).double())


@pytest.mark.parametrize("environment", CASES)
def test_samples_walks_and_joins_have_the_same_structure(environment: FlowEnvironment) -> None:
    policy, random = network(environment), generator(1)
    forward = sample(environment, policy, 17, random, epsilon=0.1, temperature=1.5)
    check_structure(environment, forward)
    backward = walk_back(environment, policy, forward.objects, random)
    check_structure(environment, backward)
    assert torch.equal(backward.objects, forward.objects)
    both = join(environment, [forward, backward])
    check_structure(environment, both)
    assert torch.equal(both.objects, torch.cat([forward.objects, backward.objects]))
    assert torch.equal(both.lengths, torch.cat([forward.lengths, backward.lengths]))


def test_walk_from_the_source_alone_has_one_entry() -> None:
    environment = Hypergrid(2, 3)
    batch = walk_back(environment, network(environment), environment.source(2), generator())
    check_structure(environment, batch)
    assert batch.lengths.tolist() == [1, 1]


def test_same_seed_gives_the_same_trajectories_and_another_does_not() -> None:
    environment = Hypergrid(3, 4)
    policy = network(environment)
    first, again, other = (sample(environment, policy, 32, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.states, again.states)
    assert first.objects.tolist() != other.objects.tolist()


def test_forward_samples_follow_the_exact_law() -> None:
    environment = Hypergrid(2, 4)
    policy = network(environment)
    batch = sample(environment, policy, 40_000, generator())
    counts = torch.bincount(environment.index(batch.objects), minlength=16).double() / len(batch)
    # 16 cells at 40,000 draws: the expected sum |p - q| is below 0.02.
    assert l1_distance(counts, terminal_law(environment, policy)) < 0.03


def test_backward_walks_of_objects_drawn_from_the_target_visit_states_as_the_exact_flow_says() -> None:
    environment = Hypergrid(2, 3)
    flow = exact_flow(environment)
    law = target_law(environment)
    chosen = torch.multinomial(law, 40_000, replacement=True, generator=generator(5))
    batch = walk_back(environment, flow.table, environment.enumerate()[chosen], generator(6))
    visits = torch.bincount(environment.index(batch.states), minlength=9).double() / len(batch)
    expected = (flow.table.all.log_flow - flow.table.log_z).exp()
    torch.testing.assert_close(visits, expected, atol=0.015, rtol=0)


def test_draw_never_takes_a_column_of_probability_zero() -> None:
    law = torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    drawn = draw(law.cumsum(-1).repeat(20_000, 1), generator())
    assert set(drawn[0::2].tolist()) == {1, 3}
    assert set(drawn[1::2].tolist()) == {2}
    assert abs(float((drawn[0::2] == 1).double().mean()) - 0.3) < 0.015


def test_largest_uniform_number_stays_below_the_total() -> None:
    largest = 1.0 - 2.0**-53
    totals = torch.rand(100_000, dtype=torch.float64, generator=generator()) * 2
    assert bool((totals * largest < totals).all())


def test_exploration_mixes_in_the_uniform_law_of_the_allowed_actions() -> None:
    log_forward = torch.tensor([[0.8, 0.2, 0.0]]).log().clamp(min=MASKED)
    mask = torch.tensor([[True, True, False]])
    mixed = explored(log_forward, mask, 0.5, 1.0)[0]
    torch.testing.assert_close(mixed, torch.tensor([0.65, 1.0, 1.0], dtype=torch.float64))
    # Temperature 2 takes the square root: 0.8944 and 0.4472, that is 2/3 and 1/3.
    hot = explored(log_forward, mask, 0.0, 2.0)[0]
    torch.testing.assert_close(hot, torch.tensor([2 / 3, 1.0, 1.0], dtype=torch.float64), atol=1e-6, rtol=0)


def test_an_environment_that_does_not_end_is_refused() -> None:
    environment = Hypergrid(2, 8)
    environment.max_length = 3
    with pytest.raises(RuntimeError, match="max_length"):
        sample(environment, network(environment), 64, generator(), epsilon=1.0)
