"""The hostile scripts again, in a sandbox that an ordinary user starts (user namespaces instead of root's)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534
ROOT = Path(__file__).parents[4]

# In a mount namespace of its own, the way to the interpreter is opened where it leads through root's private home.
_OPEN_HOME = """
set -e
if [ -n "$1" ]; then
    mount --bind "$1" /mnt
    mount -t tmpfs -o mode=755 none "$2"
    mkdir -p "$1"
    mount --move /mnt "$1"
fi
shift 2
exec "$@"
"""


def private_home() -> Path | None:
    """The topmost folder on the way to the interpreter that others may not enter."""
    for folder in reversed(Path(sys.base_prefix).parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"),
    reason="only root can become another user",
)
def test_hostile_scripts_fail_for_an_ordinary_user_too() -> None:
    home = private_home()
    identity = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all"]
    pytest_run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", "-k", "not endless"]
    tests = [f"--confcutdir={Path(__file__).parent}", str(Path(__file__).with_name("test_hostile.py"))]
    arguments = ["", ""] if home is None else [sys.base_prefix, str(home)]
    finished = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _OPEN_HOME, "sh", *arguments, *identity, *pytest_run, *tests],
        cwd=ROOT,
        env={**os.environ, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stdout[-5000:] + finished.stderr[-2000:]
    assert " passed" in finished.stdout
