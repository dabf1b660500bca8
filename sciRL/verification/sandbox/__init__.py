"""Runs programs that a model wrote, in locked processes, and measures their results in others.

::

    trainer (SandboxPool) ── control ── zygote: libraries loaded, runs no script, holds no reference
       │                                  └─ one forked, locked child per script ──┐ payload bytes
       │◄──────────────────────────────────────────────────────────────────────────┘
       └────────────── control ── second zygote
                                          └─ one forked, locked meter per payload ─► JSON measurements

A script can forge only its own payload. What counts is what the meter measures, and the meter runs no script code.
The locks (`layers.py`, `lock.py`) need Linux; the package imports everywhere.
"""
