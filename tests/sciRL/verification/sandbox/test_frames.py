"""The message format: what goes in comes out, and hostile bytes are refused, quickly and by one exception."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciRL.verification.sandbox.control import MessageReader
from sciRL.verification.sandbox.frames import FrameError, decode, encode

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def header(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode()


@given(st.dictionaries(st.text(), json_values, max_size=4), st.lists(st.binary(max_size=50), max_size=4))
def test_round_trip(content: dict[str, object], blobs: list[bytes]) -> None:
    assert decode(encode(content, blobs)) == (content, blobs)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    try:
        content, _ = decode(data)
    except FrameError:
        return
    assert isinstance(content, dict)


@given(st.integers(0, 60), st.binary(min_size=0, max_size=3))
def test_a_damaged_frame_never_gives_other_blobs(at: int, patch: bytes) -> None:
    frame = encode({"a": 1}, [b"one", b"two"])
    damaged = frame[:at] + patch + frame[at + len(patch) :]
    try:
        content, blobs = decode(damaged)
    except FrameError:
        return
    assert b"".join(blobs) == damaged[len(damaged) - 6 :] or (content, blobs) == ({"a": 1}, [])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        b"\xff\xff\xff\xff{}",
        header("[" * 100_000),
        header('{"a":' * 50_000),
        header("[{}]"),
        header("[[], []]"),
        header("[{}, [-1]]"),
        header("[{}, [true]]"),
        header("[{}, [1.0]]"),
        header("[{}, [5]]") + b"1234",
        header("[{}, [3]]") + b"1234",
        header(f"[{{}}, [{2**70}]]"),
        header("[{}, [" + "9" * 10_000 + "]]"),
        header('[{"a": NaN}, []]'),
        header('[{"a": Infinity}, []]'),
        struct.pack(">I", 4) + b"\xff\xfe\xfd\xfc",
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode(data)


def test_a_header_over_its_limit_is_not_even_read() -> None:
    frame = encode({"text": "x" * 1000})
    assert decode(frame, 2000)[0] == {"text": "x" * 1000}
    with pytest.raises(FrameError, match="longer than allowed"):
        decode(frame, 1000)


def test_numbers_that_are_no_json_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode({"volume": float("nan")})


@given(st.lists(st.dictionaries(st.text(), st.integers(), max_size=2), max_size=4), st.integers(1, 7))
def test_messages_survive_any_cutting_of_the_stream(messages: list[dict[str, int]], size: int) -> None:
    texts = [json.dumps(message).encode() for message in messages]
    stream = b"".join(struct.pack(">I", len(text)) + text for text in texts)
    reader = MessageReader()
    found = [m for at in range(0, len(stream), size) for m in reader.feed(stream[at : at + size])]
    assert found == messages
