"""Guard: what a request must look like before the page's app sees it, and the headers of every response.

The page listens on 127.0.0.1 only. A foreign site that makes a browser on the same machine call it is refused by the
name in Host (DNS rebinding) and by the content type (a form cannot send JSON, and no other site is allowed to).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 65_536
"""Bytes of a request's body."""

_NAMES = ("127.0.0.1", "localhost")
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware that refuses requests of a wrong form and adds the security headers.

    ======================================  ======
    request                                 status
    ======================================  ======
    Host names another machine or port      421
    POST that is not application/json       415
    POST without its length                 411
    POST of more than `MOST_BYTES`          413
    ======================================  ======
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = refusal(scope)
        if refused is not None:
            await _answer(send, *refused)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_header_pairs()]}
            await send(message)

        await self.app(scope, receive, send_guarded)


def refusal(scope: Scope) -> tuple[int, str] | None:
    """Return the status and the reason for which a request is refused, or None.

    Example: a request to 127.0.0.1:8000 with "Host: example.org" is refused with 421.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    port = scope["server"][1] if scope.get("server") else None
    allowed = [f"{name}:{port}" for name in _NAMES] + (list(_NAMES) if port == 80 else [])
    if headers.get("host", "").lower() not in allowed:
        return 421, f"this page answers to {' and '.join(allowed)} only"
    if scope["method"] != "POST":
        return None
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return 415, "the content type must be application/json"
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return 411, "the content length is missing"
    if int(length) > MOST_BYTES:
        return 413, f"a request may have {MOST_BYTES} bytes; this one has {length[:20]}"
    return None


async def _answer(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        # The body of the request was not read, so the connection cannot be used again.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_header_pairs()]})
    await send({"type": "http.response.body", "body": body})


def _header_pairs() -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
