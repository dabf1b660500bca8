"""Which layers are enough, what they do alone, and what is readable inside."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import toy_sandbox
from hostile import MODULES, scripts
from hostile_attempts import ATTEMPTS, NEEDS_OWN_ROOT
from toy_sandbox import TOY

from sciRL.errors import UserError
from sciRL.verification.sandbox import landlock, layers
from sciRL.verification.sandbox.failure import ScriptFailure
from sciRL.verification.sandbox.huge_pages import huge_ranges
from sciRL.verification.sandbox.layers import LAYERS, demand_enough, demand_platform, strength
from sciRL.verification.sandbox.outcome import Job, one_line
from sciRL.verification.sandbox.pool import SandboxPool
from sciRL.verification.sandbox.profile import Limits
from sciRL.verification.sandbox.readable import around, readable_paths

linux = pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="the sandbox needs Linux")


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (LAYERS, "strong"),
        (("rlimits", "landlock", "seccomp"), "strong"),
        (("rlimits", "namespaces", "own root", "seccomp"), "strong"),
        (("rlimits", "namespaces", "user", "seccomp"), "files readable"),
        (("rlimits", "namespaces", "own root", "user", "landlock"), "unsafe"),
        (("rlimits", "user", "seccomp"), "unsafe"),
        (("namespaces", "landlock", "seccomp"), "unsafe"),
        ((), "unsafe"),
    ],
)
def test_strength(present: tuple[str, ...], expected: str) -> None:
    assert strength(present) == expected
    if expected == "unsafe":
        with pytest.raises(UserError, match=r"cannot lock untrusted code in.*unsafe=True"):
            demand_enough(present, "toy")
    else:
        demand_enough(present, "toy")


@pytest.mark.parametrize(
    ("system", "unsafe", "message"),
    [
        ("linux", False, None),
        ("darwin", False, "darwin has no locks for untrusted code. Run on Linux"),
        ("darwin", True, None),
        ("win32", False, "run in a Linux container or WSL"),
        ("win32", True, "run in a Linux container or WSL"),
    ],
)
def test_platforms(monkeypatch: pytest.MonkeyPatch, system: str, unsafe: bool, message: str | None) -> None:
    monkeypatch.setattr(layers.sys, "platform", system)
    if message is None:
        demand_platform("toy", unsafe)
    else:
        with pytest.raises(UserError, match=message):
            demand_platform("toy", unsafe)


@linux
def test_too_few_layers_are_refused_unless_asked_for() -> None:
    with SandboxPool(TOY, without=("seccomp",)) as pool, pytest.raises(UserError, match="missing: seccomp"):
        pool.run([Job("result = 1")])
    with SandboxPool(TOY, unsafe=True, without=LAYERS) as pool:
        assert pool.run([Job("result = 1")])[0].ok
        assert pool.layers == ()


@linux
@pytest.mark.parametrize("without", [("landlock",), ("namespaces", "own root"), ("user",)])
def test_attempts_fail_without_one_of_the_layers_too(without: tuple[str, ...]) -> None:
    """The layers overlap: a kernel that lacks one still holds everything, as long as the rest is called strong."""
    limits = Limits(cpu_s=2, wall_s=5, memory_mb=256, threads=32)
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder, "keep")
        secret.write_text("secret")
        os.chmod(folder, 0o777)
        sources = scripts(Path(folder), secret, 1)
        profile = toy_sandbox.open_to_all(limits, tuple(MODULES))
        with SandboxPool(profile, workers=2, without=without) as pool:
            if strength(pool.layers) != "strong":
                pytest.skip(f"this machine has only {pool.layers}")
            names = [name for name in ATTEMPTS if "own root" in pool.layers or name not in NEEDS_OWN_ROOT]
            for name, outcome in zip(names, pool.run([Job(sources[name]) for name in names]), strict=True):
                held = outcome.measurements["text"] == "'held'" if outcome.ok else outcome.code == "exec_error"
                assert held, (name, outcome)
        assert [path.name for path in Path(folder).iterdir()] == ["keep"]


def test_huge_pages_are_the_whole_ones_of_private_memory() -> None:
    maps = [
        "1ff000-801000 rw-p 00000000 00:00 0          [heap]",
        "7f0000000000-7f0000400000 rw-p 00000000 00:00 0 ",
        "7f1000000000-7f1000400000 r-xp 00000000 00:00 0 ",
        "7f2000000000-7f2000400000 rw-p 00000000 fe:00 9     /usr/lib/libx.so",
        "7f3000001000-7f3000200000 rw-p 00000000 00:00 0 ",
    ]
    assert huge_ranges(maps) == [(0x200000, 0x800000), (0x7F0000000000, 0x7F0000400000)]


@linux
def test_a_profile_may_name_further_readable_folders() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in ("open", "closed"):
            Path(folder, name).mkdir()
            Path(folder, name, "table").write_text(name)
        source = f"import os\nresult = open({folder!r} + '/open/table').read()\nos.listdir({folder!r} + '/closed')"
        profile = replace(toy_sandbox.TOY, modules=("os",), readable=(f"{folder}/open",))
        with SandboxPool(profile) as pool:
            allowed, refused = pool.run([Job(source.rpartition("\n")[0]), Job(source)])
        assert allowed.measurements["text"] == "'open'"
        assert refused.code == "exec_error"
        assert "(line 3)" in refused.message


def test_landlock_handles_all_rights_of_each_version() -> None:
    sizes = {abi: len(landlock.ruleset_attributes(abi)) for abi in range(1, 9)}
    assert sizes == {1: 8, 2: 8, 3: 8, 4: 16, 5: 16, 6: 24, 7: 24, 8: 24}
    assert landlock.ruleset_attributes(1) == (0x1FFF).to_bytes(8, sys.byteorder)
    assert landlock.ruleset_attributes(6)[:8] == (0xFFFF).to_bytes(8, sys.byteorder)


def test_hidden_folders_are_cut_out_of_readable_ones(tmp_path: Path) -> None:
    for name in ("lib/own/data", "lib/other", "lib/deep/inner", "share"):
        (tmp_path / name).mkdir(parents=True)
    lib, share = str(tmp_path / "lib"), str(tmp_path / "share")
    whole, listed = around([lib, share], [f"{lib}/own", f"{lib}/deep/inner"])
    assert sorted(whole) == [f"{lib}/other", share]
    assert sorted(listed) == [lib, f"{lib}/deep"]


def test_readable_paths_are_the_libraries_and_no_project() -> None:
    paths = readable_paths()
    inside = [path for path in paths if os.__file__.startswith(path + "/")]
    assert len(inside) == 1
    project = str(Path(toy_sandbox.__file__).parents[2])
    assert not any(project.startswith(path + "/") or path.startswith(project + "/tests") for path in paths)
    assert "/" not in paths


def test_messages_are_one_printable_line() -> None:
    assert one_line("a\n\tb\x00\x1b[0m\u202e\ud800c") == "a b [0m c"
    assert len(one_line("x" * 10_000)) == 500
    one_line("x\ud800").encode()


def test_a_failure_has_a_known_code() -> None:
    assert ScriptFailure("invalid", "open shell").code == "invalid"
    with pytest.raises(ValueError, match="'sandbox_error' is no failure code of a script"):
        ScriptFailure("sandbox_error", "x")


def test_the_package_loads_without_the_libraries_of_a_domain() -> None:
    code = "import sys, sciRL.verification.sandbox.pool as p; print({'torch', 'numpy', 'resource'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
