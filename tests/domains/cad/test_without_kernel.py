"""Without CadQuery all but the kernel imports, and running a program says what is missing."""

from __future__ import annotations

import subprocess
import sys
import textwrap

BLOCKED = """
import sys
for name in ("cadquery", "OCP"):
    sys.modules[name] = None
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "cadquery" else found(name, *rest)
"""


def run(source: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter in which CadQuery cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + textwrap.dedent(source)], capture_output=True, text=True, timeout=120
    )


def test_all_but_the_kernel_imports() -> None:
    done = run("""
        import importlib, pkgutil
        import domains.cad as package
        names = [m.name for m in pkgutil.walk_packages(package.__path__, "domains.cad.")]
        kept = [name for name in names if not name.startswith("domains.cad.kernel.")]
        for name in kept:
            importlib.import_module(name)
        print(len(kept))
    """)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


def test_tasks_and_vocabulary_need_no_kernel() -> None:
    done = run("""
        from domains.cad import DOMAIN
        options = DOMAIN.Options(ask="design")
        data = DOMAIN.default_data()
        print(len(DOMAIN.tasks(data, "test", options)), len(DOMAIN.vocabulary(data, options).tokens))
    """)
    assert done.returncode == 0, done.stderr


def test_running_a_program_says_what_to_install() -> None:
    done = run("""
        from domains.cad import DOMAIN
        options = DOMAIN.Options()
        task = DOMAIN.tasks(DOMAIN.default_data(), "test", options)[0]
        DOMAIN.rubric(None, options, "cad_rl").verify([(task, "result = 1")])
    """)
    assert done.returncode != 0
    assert "UserError: running CAD programs needs CadQuery: install it with pip install 'sciRL[cad]'" in done.stderr
