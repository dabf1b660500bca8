"""ChatEndpoint: one question to a language model over HTTP, with bounded patience (standard library only)."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from sciRL.errors import UserError

MAX_REPLY_BYTES = 1 << 20
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
GIVE_UP = 8
"""Questions in a row without an answer after which no other is sent: the endpoint is down, and a batch must end."""
_PASSING = frozenset({408, 409, 425, 429})
"""HTTP codes below 500 that may be gone at the next try."""


class EndpointError(Exception):
    """The endpoint gave no answer: one line that says what happened and never holds the key."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected request would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing: the redirection becomes an HTTP error."""


@dataclass
class ChatEndpoint:
    """A model behind `POST {base_url}/chat/completions` (the OpenAI form; vLLM, llama.cpp and Ollama speak it too).

    Raises:
        UserError: the address is not http(s), or a number is out of range.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0
    retries: int = 2
    _unanswered: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise UserError(f"endpoint base_url is {self.base_url!r}; it must begin with http:// or https://")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UserError("endpoint api_key holds characters that no HTTP header may hold")
        if not self.model:
            raise UserError("endpoint model is empty; name the model that the endpoint serves")
        if not 0 < self.timeout_s <= 3600:
            raise UserError(f"endpoint timeout_s is {self.timeout_s}; allowed: above 0, up to 3600 seconds")
        if not 0 <= self.retries <= 10:
            raise UserError(f"endpoint retries is {self.retries}; allowed: 0 to 10")

    def ask(self, question: str) -> str:
        """Return the model's reply at temperature 0; raises `EndpointError` after the last try.

        May be called from several threads.
        """
        if self._unanswered >= GIVE_UP:
            raise EndpointError(f"{self.base_url}: not asked after {GIVE_UP} questions in a row without an answer")
        try:
            reply = self._ask_again_and_again(question)
        except EndpointError:
            self._unanswered += 1
            raise
        self._unanswered = 0
        return reply

    def _ask_again_and_again(self, question: str) -> str:
        for tries_left in reversed(range(self.retries + 1)):
            try:
                return self._reply(question)
            except urllib.error.HTTPError as error:
                error.close()
                failure = EndpointError(f"{self.base_url}: HTTP {error.code} {error.reason}"[:200])
                if error.code < 500 and error.code not in _PASSING:
                    raise failure from None
            except (OSError, http.client.HTTPException, UnicodeError) as error:
                failure = EndpointError(f"{self.base_url}: {type(error).__name__}: {error}"[:200])
            if tries_left:
                time.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self.retries - tries_left)))
        raise failure

    def _reply(self, question: str) -> str:
        body = {"model": self.model, "messages": [{"role": "user", "content": question}], "temperature": 0}
        headers = {"Content-Type": "application/json"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        address = f"{self.base_url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout_s) as response:
            content = response.read(MAX_REPLY_BYTES + 1)
        try:
            reply = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            reply = None
        if not isinstance(reply, str) or len(content) > MAX_REPLY_BYTES:
            raise EndpointError(f"{self.base_url}: the response is no chat completion: {content[:120]!r}")
        return reply
