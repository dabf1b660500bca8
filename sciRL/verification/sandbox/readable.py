"""Which files a process inside may read: interpreter, installed libraries, system libraries; never the project's own.

The project's packages are hidden because they may carry data sets, and with them the answers.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_INSTALLED = ("site-packages", "dist-packages")


def readable_paths(more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what may be read, outermost folders only.

    Example: `/usr/lib` covers `/usr/lib/python3/dist-packages`, which is not listed again.
    """
    stdlib = sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["platstdlib"]
    installed = (path for path in sys.path if os.path.basename(path) in _INSTALLED)
    paths = [*_SYSTEM, os.path.join(sys.base_prefix, "lib"), *stdlib, *installed, *more]
    existing = sorted({os.path.abspath(path) for path in paths if path and os.path.exists(path)})
    return tuple(path for path in existing if not any(_inside(path, other) for other in existing))


def hidden_folders(modules: Iterable[str]) -> tuple[str, ...]:
    """Return the folders of the top-level packages of some imported modules."""
    folders: list[str] = []
    for name in {module.partition(".")[0] for module in modules}:
        folders += getattr(sys.modules.get(name), "__path__", ())
    return tuple(sorted(os.path.abspath(folder) for folder in folders))


def around(readable: Sequence[str], hidden: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split readable folders around hidden ones: (what may be read whole, what may be listed only).

    Example: reading `/lib` but not `/lib/own` gives every entry of `/lib` except `own`, and `/lib` for listing.
    """
    whole: list[str] = []
    listed: list[str] = []
    for path in readable:
        if path in hidden:
            continue
        if any(_inside(secret, path) for secret in hidden):
            entries, below = around([os.path.join(path, name) for name in os.listdir(path)], hidden)
            whole += entries
            listed += [path, *below]
        else:
            whole.append(path)
    return whole, listed


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
