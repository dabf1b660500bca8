"""The peer's side of `gflownet_step.py`: TB on a hypergrid with torchgfn, in the peer's own Python environment.

Reads one JSON command a line from standard input and answers each with one JSON line. Imports nothing of sciRL.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import torch
from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym import HyperGrid
from gfn.preprocessors import KHotPreprocessor
from gfn.utils.modules import MLP


class Run:
    """One training run: the networks, Adam and the environment."""

    def __init__(self, dimensions: int, side: int, batch: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.batch = batch
        self.env = HyperGrid(ndim=dimensions, height=side, validate_modes=False)
        encode = KHotPreprocessor(height=side, ndim=dimensions)
        forward = MLP(encode.output_dim, self.env.n_actions, 256, 2, activation_fn="leaky_relu")
        backward = MLP(encode.output_dim, self.env.n_actions - 1, 256, 2, trunk=forward.trunk)
        self.forward = DiscretePolicyEstimator(forward, self.env.n_actions, preprocessor=encode)
        back = DiscretePolicyEstimator(backward, self.env.n_actions, preprocessor=encode, is_backward=True)
        self.flow = TBGFlowNet(pf=self.forward, pb=back, init_logZ=0.0)
        groups = [
            {"params": self.flow.pf_pb_parameters(), "lr": 1e-3},
            {"params": self.flow.logz_parameters(), "lr": 1e-1},
        ]
        self.optimiser = torch.optim.Adam(groups, fused=True)

    def step(self) -> None:
        """One iteration; the log-probabilities of sampling are reused, which is the peer's fast on-policy way."""
        drawn = self.flow.sample_trajectories(self.env, n=self.batch, save_logprobs=True)
        self.optimiser.zero_grad()
        loss = self.flow.loss(self.env, drawn, recalculate_all_logprobs=False)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.flow.pf_pb_parameters(), 10.0)
        self.optimiser.step()

    def log_forward(self, cells: list[list[int]]) -> list[list[float]]:
        """Return log P_F of the cells given."""
        states = self.env.states_from_tensor(torch.tensor(cells))
        with torch.no_grad():
            logits = self.forward(states)
        logits = logits.masked_fill(~states.forward_masks, -1e9)
        table: list[list[float]] = torch.log_softmax(logits, -1).tolist()
        return table


def main() -> None:
    """Answer commands until the input ends."""
    torch.set_num_threads(1)
    runs: dict[str, Run] = {}
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {"version": version("torchgfn")}
        name = command["name"]
        if command["do"] == "make":
            runs[name] = Run(*(command[key] for key in ("dimensions", "side", "batch", "seed")))
        elif command["do"] == "step":
            begin = time.process_time()
            for _ in range(command["n"]):
                runs[name].step()
            answer["cpu_s"] = time.process_time() - begin
        else:
            answer["log_forward"] = runs[name].log_forward(command["cells"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
