"""Task: what a policy is asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

Json: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None
Message: TypeAlias = Mapping[str, str]

ROLES = ("system", "user", "assistant")


def canonical_json(value: Any) -> str:
    """Serialise `value` so that equal content gives equal text (sorted keys, no spaces)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Task:
    """One question to a policy, with what a verifier needs to judge the answer.

    `reference` is read by verifiers only and never reaches the policy. `inputs` holds named
    arrays, sequences or images as JSON-compatible values. `id` is a hash of everything that
    defines the question (domain, prompt, reference, inputs), so that equal questions have equal ids.

    Example:
        >>> task = Task("crystal", ({"role": "user", "content": "SG 225"},), reference={"sg": 225})
        >>> Task.from_json(task.to_json()) == task
        True
    """

    domain: str
    prompt: tuple[Message, ...]
    reference: Json = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        messages = tuple(MappingProxyType(dict(message)) for message in self.prompt)
        for index, message in enumerate(messages):
            if set(message) != {"role", "content"} or message["role"] not in ROLES:
                raise ValueError(
                    f"prompt[{index}] must have exactly the keys 'role' (one of {', '.join(ROLES)}) "
                    f"and 'content'; found {dict(message)!r}"
                )
        object.__setattr__(self, "prompt", messages)
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        digest = self._content_hash()
        if self.id and self.id != digest:
            raise ValueError(f"task id {self.id!r} does not match its content (expected {digest!r})")
        object.__setattr__(self, "id", digest)

    def _content_hash(self) -> str:
        content = [self.domain, [dict(m) for m in self.prompt], self.reference, dict(self.inputs)]
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return Task.from_dict, (self.to_dict(),)

    @property
    def text(self) -> str:
        """The prompt as plain text: the contents of its messages, one after the other."""
        return "\n".join(message["content"] for message in self.prompt)

    def with_metadata(self, **values: Any) -> Task:
        """Return the same question with metadata added or replaced (the id stays)."""
        return replace(self, metadata={**self.metadata, **values})

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary."""
        return {
            "id": self.id,
            "domain": self.domain,
            "prompt": [dict(message) for message in self.prompt],
            "reference": self.reference,
            "inputs": dict(self.inputs),
            "metadata": dict(self.metadata),
        }

    def to_json(self) -> str:
        """Return one line of JSON."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Task:
        """Build a task from `to_dict` output; missing or unknown keys raise `ValueError`."""
        known = {"id", "domain", "prompt", "reference", "inputs", "metadata"}
        missing = {"domain", "prompt"} - set(data)
        unknown = set(data) - known
        if missing or unknown:
            raise ValueError(
                f"task needs 'domain' and 'prompt' and allows {sorted(known)}; "
                f"missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        prompt: Sequence[Message] = data["prompt"]
        return cls(
            domain=data["domain"],
            prompt=tuple(prompt),
            reference=data.get("reference"),
            inputs=data.get("inputs") or {},
            metadata=data.get("metadata") or {},
            id=data.get("id", ""),
        )

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Build a task from one line of JSON."""
        return cls.from_dict(json.loads(line))
