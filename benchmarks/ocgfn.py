"""Outcome-conditioned pre-training on a 2D hypergrid of side 8, converted to rewards, against GFlowNets from scratch.

Pre-training reads no reward and is counted once. Three rewards are then served in two ways: exact conversion, with no
training (64 rewards evaluated), and amortised conversion from the frozen network. The control is one TB GFlowNet a
reward, each with a third of all trajectories that the other arm spent in total, and again with the fine-tuning's alone.
An evaluated reward counts as a trajectory. L1 = SUM |p - q| of exact terminal laws, no sampling. One thread.

    python benchmarks/ocgfn.py --seeds 3
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any, get_args

import torch

from domains.gflownet.hypergrid import Hypergrid, Reward
from sciRL.flow.amortised import AmortisedSettings, AmortisedTrainer, ConditionedEdges, exact_edges, network_edges
from sciRL.flow.exact import l1_distance, target_law, terminal_law
from sciRL.flow.graph import StateGraph
from sciRL.flow.outcome import outcome_flow
from sciRL.flow.outcome_network import Reachability, convert_network
from sciRL.flow.outcome_trainer import OutcomeSettings, OutcomeTrainer
from sciRL.flow.trainer import FlowSettings, FlowTrainer

REWARDS: tuple[Reward, ...] = ("original", "cosine", "deceptive")
OBJECTIVES = ("mle", "anchor", "positives", "contrastive", "teleport")
ASKED = 1000
"""Outcomes asked for in a success rate."""


def generator(seed: int) -> torch.Generator:
    """Return a seeded generator."""
    return torch.Generator().manual_seed(seed)


def pretrain(objective: str, steps: int, seed: int) -> OutcomeTrainer:
    """Return a pre-trained network, learning rate falling to 0."""
    settings = OutcomeSettings.model_validate({"objective": objective, "optimiser": {"decay_steps": steps}})
    trainer = OutcomeTrainer(Hypergrid(2, 8), settings, generator(seed))
    for _ in range(steps):
        trainer.step()
    return trainer


def conversions(trainer: OutcomeTrainer) -> dict[str, dict[str, float]]:
    """Return L1 of the exact conversion, by what is masked and by reward."""
    graph = StateGraph.of(trainer.environment)
    found: dict[str, dict[str, float]] = {}
    masks: tuple[Reachability, ...] = get_args(Reachability)
    for mask in masks:
        found[mask] = {}
        for reward in REWARDS:
            environment = Hypergrid(2, 8, reward)
            log_reward = environment.log_reward(graph.states)
            made = convert_network(environment, trainer.network, log_reward, graph.states, mask, graph)
            found[mask][reward] = l1_distance(made.law, target_law(environment, graph))
    return found


def describe(trainer: OutcomeTrainer, seconds: float) -> dict[str, Any]:
    """Return the row of one pre-training."""
    return {
        "trajectories": trainer.trajectories,
        "success": trainer.success(ASKED, generator(1000)),
        "success_greedy": trainer.success(ASKED, generator(1000), greedy=True),
        "converted_l1": conversions(trainer),
        "cpu_s": seconds,
    }


def amortise(reward: Reward, edges: ConditionedEdges, steps: int, seed: int) -> dict[str, float]:
    """Return the L1 that an amortised sampler reaches, and what it spent."""
    environment = Hypergrid(2, 8, reward)
    graph = StateGraph.of(environment)
    settings = AmortisedSettings.model_validate({"optimiser": {"decay_steps": 4 * steps, "decay_to": 0.1}})
    trainer = AmortisedTrainer(environment, edges, graph.states, settings, generator(seed))
    begin = time.process_time()
    for _ in range(steps):
        trainer.step()
    return {
        "l1": l1_distance(terminal_law(environment, trainer.network), target_law(environment, graph)),
        "trajectories": trainer.trajectories + len(graph.states),
        "edges": trainer.edges_seen,
        "cpu_s": time.process_time() - begin,
    }


def from_scratch(reward: Reward, trajectories: int, seed: int) -> float:
    """Return the L1 of a TB GFlowNet after so many trajectories, in batches of 64."""
    environment = Hypergrid(2, 8, reward)
    trainer = FlowTrainer(environment, FlowSettings(), generator(seed))
    for _ in range(max(1, trajectories // trainer.settings.batch)):
        trainer.step()
    return l1_distance(terminal_law(environment, trainer.network), target_law(environment))


def one_seed(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run all arms of a seed."""
    begin = time.process_time()
    trainer = pretrain("mle", options.steps, seed)
    result: dict[str, Any] = {"seed": seed, "pretraining": describe(trainer, time.process_time() - begin)}
    objects = StateGraph.of(trainer.environment).states
    edges = network_edges(trainer.environment, trainer.network, objects)
    result["amortised"] = {reward: amortise(reward, edges, options.finetuning, seed) for reward in REWARDS}
    exact = exact_edges(trainer.environment, outcome_flow(trainer.environment))
    result["amortised_from_exact_flow"] = amortise("original", exact, options.finetuning, seed)

    tuned = [int(row["trajectories"]) for row in result["amortised"].values()]
    share = (trainer.trajectories + sum(tuned)) // len(REWARDS)
    result["scratch_trajectories"] = {"total": share, "finetuning": tuned[0]}
    begin = time.process_time()
    result["scratch"] = {reward: from_scratch(reward, share, seed) for reward in REWARDS}
    result["scratch_cpu_s"] = time.process_time() - begin
    result["scratch_at_finetuning"] = {reward: from_scratch(reward, tuned[0], seed) for reward in REWARDS}
    result["objectives"] = {}
    for objective in OBJECTIVES:
        begin = time.process_time()
        made = pretrain(objective, options.compared, seed)
        result["objectives"][objective] = describe(made, time.process_time() - begin)
    return result


def table(results: list[dict[str, Any]]) -> list[str]:
    """Return the lines that are printed: means over seeds, and the worst of them."""

    def row(name: str, pick: Any) -> str:
        cells = []
        for reward in REWARDS:
            values = [pick(result, reward) for result in results]
            cells.append(f"{statistics.mean(values):.3f} ({max(values):.3f})")
        return f"| {name} | " + " | ".join(cells) + " |"

    spent = results[0]["pretraining"]["trajectories"]
    tuned, share = results[0]["scratch_trajectories"]["finetuning"], results[0]["scratch_trajectories"]["total"]
    lines = [f"L1, mean (worst) of {len(results)} seeds", f"| arm | {' | '.join(REWARDS)} |", "|---|---|---|---|"]
    for mask in get_args(Reachability):
        name = f"exact conversion, mask {mask}: {spent} once + 64"
        lines.append(row(name, lambda r, reward, mask=mask: r["pretraining"]["converted_l1"][mask][reward]))
    lines.append(row(f"amortised: {spent} once + {tuned}", lambda r, reward: r["amortised"][reward]["l1"]))
    lines.append(row(f"scratch, equal total: {share}", lambda r, reward: r["scratch"][reward]))
    lines.append(row(f"scratch, fine-tuning's alone: {tuned}", lambda r, reward: r["scratch_at_finetuning"][reward]))
    lines += [
        "",
        "| pre-training | success | greedy | L1 original, no mask | with mask | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    arms = {f"mle, {spent} trajectories": [result["pretraining"] for result in results]}
    for objective in OBJECTIVES:
        rows = [result["objectives"][objective] for result in results]
        arms[f"{objective}, {rows[0]['trajectories']} trajectories"] = rows
    for name, rows in arms.items():
        values = [
            statistics.mean(pick)
            for pick in (
                [r["success"] for r in rows],
                [r["success_greedy"] for r in rows],
                [r["converted_l1"]["none"]["original"] for r in rows],
                [r["converted_l1"]["flow"]["original"] for r in rows],
            )
        ]
        lines.append(f"| {name} | " + " | ".join(f"{v:.3f}" for v in values) + f" | {rows[0]['cpu_s']:.0f} |")
    exact = [result["amortised_from_exact_flow"] for result in results]
    lines.append("")
    lines.append(f"amortised from the exact flow, {exact[0]['edges']} edges: L1 {[round(r['l1'], 3) for r in exact]}")
    return lines


def write(options: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    """Write what is known so far as JSON."""
    described = {
        "settings": {k: v for k, v in vars(options).items() if k != "out"},
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "table": table(results),
        "seeds": results,
    }
    aside = options.out.with_suffix(".part")
    aside.write_text(json.dumps(described, indent=2) + "\n")
    os.replace(aside, options.out)


def main() -> None:
    """Run the seeds, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000, help="pre-training steps of 64 trajectories")
    parser.add_argument("--finetuning", type=int, default=300, help="amortised steps of 16 trajectories a reward")
    parser.add_argument("--compared", type=int, default=700, help="steps of each objective in the comparison")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ocgfn.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        results.append(one_seed(seed, options))
        print(f"seed {seed} done, {time.process_time():.0f} CPU s so far", flush=True)
        write(options, results)
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
