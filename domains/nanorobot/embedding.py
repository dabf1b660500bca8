"""Figures that move: markup, data and script in one piece of HTML that fetches nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent / "scripts"


def embed(markup: str, data: dict[str, Any], script: str) -> str:
    """Return a block that holds `markup`, and runs `scripts/<script>.js` with its root element and `data`.

    The block's id is made from its content, so that several of them can stand in one page.
    """
    # "<" cannot then end the script element, whatever an arm is called.
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    identity = f"nanorobot-{hashlib.sha256((script + markup + text).encode()).hexdigest()[:12]}"
    code = (_HERE / f"{script}.js").read_text(encoding="utf-8")
    return (
        f'<div id="{identity}" style="font:13px system-ui,sans-serif;color:var(--ink,#1c2530)">{markup}'
        f"<script>({code})(document.getElementById({json.dumps(identity)}), {text});</script></div>"
    )
