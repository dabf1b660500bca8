"""The sandbox profile of CAD: which libraries its processes load, what runs in them, and their limits."""

from __future__ import annotations

from dataclasses import replace

from domains.cad.screen import ALLOWED_MODULES
from sciRL.verification.sandbox.profile import Limits, SandboxProfile

KERNEL_MODULES = (
    "domains.cad.kernel.runner",
    "domains.cad.kernel.meter",
)

LAZY_KERNEL = (
    "OCP.BRepAdaptor",
    "OCP.BRepLib",
    "OCP.GCPnts",
    "OCP.HLRAlgo",
    "OCP.HLRBRep",
    "OCP.IFSelect",
    "OCP.STEPControl",
)
"""Parts of the kernel that are imported where they are used: writing STEP files and hidden-line drawings."""

CAD = SandboxProfile(
    name="cad",
    runner="domains.cad.kernel.runner:run",
    meter="domains.cad.kernel.meter:measure",
    # Nothing can be read from inside, so what the kernel's modules import lazily is loaded here.
    preload=("cadquery", "scipy.spatial", "scipy.sparse.csgraph", *LAZY_KERNEL, *KERNEL_MODULES),
    modules=ALLOWED_MODULES,
)
"""Programs in CadQuery, measured by the kernel."""


def cad_profile(wall_limit_s: float) -> SandboxProfile:
    """Return the profile with another wall limit for programs, in seconds; CPU time stays at half of it.

    Example: ``cad_profile(20.0) == CAD``.
    """
    limits: Limits = replace(CAD.limits, wall_s=wall_limit_s, cpu_s=wall_limit_s / 2)
    return replace(CAD, limits=limits)
