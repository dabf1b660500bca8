"""From an answer text to a crystal, decoded once however many verifiers ask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from domains.crystal.codec.base import Codec, CodecError
from domains.crystal.crystal import Crystal
from sciRL.verification.parsing import extract_answer, parse_sections

CACHE_SIZE = 16_384
MAX_CACHED_CHARACTERS = 10_000


@dataclass(frozen=True)
class Unreadable:
    """Why a text is no crystal: the codec's error code (or E_TAGS) and the message."""

    code: str
    reason: str


@dataclass(frozen=True)
class Reader:
    """Finds the answer in a text and decodes it; equal texts are decoded once per process.

    Args:
        codec: a hashable, picklable codec.
        require_tags: whether the answer must stand between <answer> and </answer>.

    Example: `Reader(WyText()).read("Cu4\\nSG 225\\nCELL 3.615\\nCu 4a")` is a `Crystal` of 4 atoms.
    """

    codec: Codec
    require_tags: bool = False

    def read(self, text: str) -> Crystal | Unreadable:
        """Return the crystal of an answer text, or why there is none; never raises on a text."""
        if len(text) > MAX_CACHED_CHARACTERS:
            return _read(self, text)
        return _read_cached(self, text)


def _read(reader: Reader, text: str) -> Crystal | Unreadable:
    answer = extract_answer(text, require_tags=reader.require_tags)
    if answer is None:
        return Unreadable("E_TAGS", parse_sections(text).problem)
    try:
        return reader.codec.decode(answer)
    except CodecError as error:
        return Unreadable(error.code, str(error))


_read_cached = lru_cache(maxsize=CACHE_SIZE)(_read)
