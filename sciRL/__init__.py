"""sciRL: reinforcement learning for science with verifiers that can be trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciRL.domain import ControlDomain, FlowDomain, LanguageDomain, load_domain
    from sciRL.run.inference import evaluate
    from sciRL.run.pipeline import train
    from sciRL.score import Score
    from sciRL.task import Task
    from sciRL.verification.base import Rubric, Verifier

__version__ = "0.1.0"
__all__ = [
    "ControlDomain",
    "FlowDomain",
    "LanguageDomain",
    "Rubric",
    "Score",
    "Task",
    "Verifier",
    "__version__",
    "evaluate",
    "load_domain",
    "train",
]

# Names are imported when first used: `import sciRL` pulls in neither torch nor a domain's libraries.
_HOMES = {
    "ControlDomain": "sciRL.domain",
    "FlowDomain": "sciRL.domain",
    "LanguageDomain": "sciRL.domain",
    "Rubric": "sciRL.verification.base",
    "Score": "sciRL.score",
    "Task": "sciRL.task",
    "Verifier": "sciRL.verification.base",
    "evaluate": "sciRL.run.inference",
    "load_domain": "sciRL.domain",
    "train": "sciRL.run.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sciRL' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
