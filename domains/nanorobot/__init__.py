"""Nanorobot search: a micro-swimmer that smells a tumour's biomarker and must reach it by run and tumble.

Importing this package registers the Gymnasium environment `sciRL/Nanorobot-v0` (where Gymnasium is installed) and
imports neither torch nor scipy.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from domains.nanorobot.options import NanorobotOptions

if TYPE_CHECKING:
    import torch

    from sciRL.environments.vector import VectorEnvironment

GYMNASIUM_ID = "sciRL/Nanorobot-v0"


def make_environment(options: NanorobotOptions, n: int, device: torch.device) -> VectorEnvironment:
    """Return the tensor environment of the options: `NanorobotEnvironment`, or that of preset kavousinejad2024."""
    if options.preset == "kavousinejad2024":
        from domains.nanorobot.kavousinejad import Kavousinejad2024Environment

        return Kavousinejad2024Environment(options, n, device)
    from domains.nanorobot.environment import NanorobotEnvironment

    return NanorobotEnvironment(options, n, device)


def _register() -> None:
    import gymnasium

    if GYMNASIUM_ID not in gymnasium.registry:
        module = "domains.nanorobot.gymnasium_env"
        gymnasium.register(
            GYMNASIUM_ID, entry_point=f"{module}:NanorobotEnv", vector_entry_point=f"{module}:NanorobotVectorEnv"
        )


if find_spec("gymnasium") is not None:
    _register()
