"""Task: what a policy is asked."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from sciRL.errors import UserError

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
    arrays, sequences or images as JSON-compatible values, for environments and verifiers. `images` are paths of PNG
    files (absolute, or relative to the working directory) that the policy sees before the text of the last user
    message. `id` is a hash of everything that defines the question (domain, prompt, reference, inputs, and what the
    image files hold), so that equal questions have equal ids. `image_digests` are the sha256 of the files; a task that
    brings them along, as a saved one does, is made without reading the files.

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
    images: tuple[str, ...] = ()
    image_digests: tuple[str, ...] = ()

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
        self._settle_images()
        digest = self._content_hash()
        if self.id and self.id != digest:
            raise ValueError(f"task id {self.id!r} does not match its content (expected {digest!r})")
        object.__setattr__(self, "id", digest)

    def _settle_images(self) -> None:
        if isinstance(self.images, str):
            raise ValueError(f"images must be a sequence of paths; found the text {self.images!r}")
        images = tuple(str(path) for path in self.images)
        digests = tuple(self.image_digests) or tuple(image_digest(path) for path in images)
        if len(digests) != len(images):
            raise ValueError(f"a task of {len(images)} images needs as many image digests; found {len(digests)}")
        if images and all(message["role"] != "user" for message in self.prompt):
            raise ValueError("a task with images needs a user message in its prompt, which they belong to")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "image_digests", digests)

    def _content_hash(self) -> str:
        content: list[Any] = [self.domain, [dict(m) for m in self.prompt], self.reference, dict(self.inputs)]
        if self.images:
            content.append(list(self.image_digests))
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
        """Return a JSON-compatible dictionary; the keys of images are there only where there are some."""
        images = {"images": list(self.images), "image_digests": list(self.image_digests)} if self.images else {}
        return {
            "id": self.id,
            "domain": self.domain,
            "prompt": [dict(message) for message in self.prompt],
            "reference": self.reference,
            "inputs": dict(self.inputs),
            "metadata": dict(self.metadata),
            **images,
        }

    def to_json(self) -> str:
        """Return one line of JSON."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Task:
        """Build a task from `to_dict` output; missing or unknown keys raise `ValueError`."""
        known = {"id", "domain", "prompt", "reference", "inputs", "metadata", "images", "image_digests"}
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
            images=tuple(data.get("images") or ()),
            image_digests=tuple(data.get("image_digests") or ()),
        )

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Build a task from one line of JSON."""
        return cls.from_dict(json.loads(line))


def image_digest(path: str) -> str:
    """Return the sha256 of an image file, in hexadecimal; the file is read once for as long as it does not change.

    Raises:
        UserError: no such file, or one that cannot be read.
    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"task image {path}: is no regular file; a PNG file is needed")
        return _file_digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise UserError(f"task image {path}: cannot be read ({error.strerror}); a PNG file is needed") from error


@lru_cache(maxsize=65_536)
def _file_digest(path: str, modified: int, size: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
