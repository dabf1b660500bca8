"""Links that hold files: the bytes come back, large files stay out, and a name is only a name."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.cad.drawing.downloads import MIME_TYPES, download_link
from sciRL.errors import UserError


class Link(HTMLParser):
    """The attributes of the only link, and how many elements of each kind there are."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "a":
            self.attributes = dict(attrs)


@given(st.binary(max_size=200), st.text(st.characters(exclude_characters="/\\", min_codepoint=32), min_size=1))
def test_the_bytes_and_the_name_come_back(content: bytes, name: str) -> None:
    if name in (".", ".."):
        return
    link = Link(download_link(name, content, MIME_TYPES["glb"]))
    kind, _, data = str(link.attributes["href"]).partition(";base64,")
    assert kind == "data:model/gltf-binary"
    assert base64.b64decode(data) == content
    assert link.attributes["download"] == name
    assert link.tags == ["a", "small"]


def test_large_files_are_named_but_not_held() -> None:
    html = download_link("<a>.stl", b"x" * 2_500, "model/stl", max_bytes=2_499)
    assert Link(html).tags == ["span", "small"]
    assert "&lt;a&gt;.stl" in html
    assert "3 kB" in html
    assert len(html) < 200


@pytest.mark.parametrize("name", ["", "..", "a/b.stl", "a\\b.stl", "a\nb.stl"])
def test_names_with_folders_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="without a folder"):
        download_link(name, b"", "model/stl")


@pytest.mark.parametrize("mime", ["", "model", 'model/stl" onclick="x', "text/html;charset=x"])
def test_other_types_are_refused(mime: str) -> None:
    with pytest.raises(UserError, match="type/subtype"):
        download_link("a.stl", b"", mime)
