"""SandboxProfile: which libraries a sandbox loads, what it runs, and the limits of one job."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from sciRL.errors import UserError

MIN_MEMORY_MB = 32


def whole_seconds(cpu_s: float) -> int:
    """Return a CPU limit as the kernel takes it.

    Example: 0.5 s becomes 1 s.
    """
    return math.ceil(cpu_s)


@dataclass(frozen=True)
class Limits:
    """What one job may use; the CPU limits decide first, the wall limits are the backstop for a process that sleeps.

    Args:
        cpu_s: CPU seconds of a script (whole seconds, rounded up).
        wall_s: wall seconds of a script.
        memory_mb: address space (MiB) of a script beyond what the loaded libraries take.
        payload_mb: largest result of a script, and largest answer of the meter (MiB).
        meter_cpu_s: CPU seconds of a measurement.
        meter_wall_s: wall seconds of a measurement.
        meter_memory_mb: address space (MiB) of a measurement beyond what the loaded libraries take.
        threads: threads a process may have.
    """

    cpu_s: float = 10.0
    wall_s: float = 20.0
    memory_mb: int = 768
    payload_mb: float = 32.0
    meter_cpu_s: float = 30.0
    meter_wall_s: float = 60.0
    meter_memory_mb: int = 2048
    threads: int = 64

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"sandbox limit {limit.name} must be a number above 0; found {value!r}")
        for name in ("memory_mb", "meter_memory_mb"):
            if getattr(self, name) < MIN_MEMORY_MB:
                raise UserError(f"sandbox limit {name} must be at least {MIN_MEMORY_MB}; found {getattr(self, name)}")


@dataclass(frozen=True)
class SandboxProfile:
    """What a sandbox is for: one runner, one meter, and the libraries both need.

    Args:
        name: for messages.
        runner: "module:function"; called in a script's process with the source, returns the payload bytes. It raises
            `ScriptFailure` to name a failure; any other exception is "exec_error". It must compile the source under
            the file name `SCRIPT_FILENAME`.
        meter: "module:function"; called in a meter's process with (payload, request, blobs), returns (measurements,
            blobs). It raises `ScriptFailure` when the payload is at fault; any other exception is "sandbox_error". What
            only touches the payload belongs under `blame.payload_alone`, so that a crash there is the script's.
        preload: modules imported once, before the forks; what runner and meter import lazily from their own package
            belongs here too, since no project folder can be read from inside.
        modules: top-level modules that a script may import; each is imported beforehand.
        readable: further files and folders that processes inside may read (fonts, tables).
        limits: what one job may use.
    """

    name: str
    runner: str
    meter: str
    preload: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for role in ("runner", "meter"):
            module, _, function = getattr(self, role).partition(":")
            if not module or not function.isidentifier():
                raise UserError(
                    f'sandbox profile {self.name!r}: {role} must be "module:function"; found {getattr(self, role)!r}'
                )
        for module in self.modules:
            if not module.isidentifier():
                raise UserError(
                    f"sandbox profile {self.name!r}: modules are top-level names such as 'math'; found {module!r}"
                )
