"""Whatever is done to a page, extraction keeps its promises (``fuzz_extraction`` names them)."""

from __future__ import annotations

import pytest
from fuzz_extraction import CONTENT_TYPES, PAGES, PIECES, URL, verify
from hypothesis import given, settings
from hypothesis import strategies as st

OWN = [path.read_bytes() for path in sorted(PAGES.glob("*.html"))]
TYPES = st.sampled_from(CONTENT_TYPES)


@st.composite
def damaged_pages(draw: st.DrawFn) -> bytes:
    """One of our own pages, cut, doubled, or spliced with others and with what pages break on."""
    body = bytearray(draw(st.sampled_from(OWN)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(body)))
        cut = draw(st.sampled_from([0, 0, 1, 9, 300]))
        other = draw(st.sampled_from(OWN))
        start = draw(st.integers(0, len(other)))
        body[at : at + cut] = draw(
            st.one_of(
                st.sampled_from(PIECES).map(lambda piece: piece.encode()),
                st.sampled_from(PIECES).map(lambda piece: piece.encode() * 300),
                st.just(other[start : start + 500]),
                st.binary(max_size=12),
            )
        )
    return bytes(body)


@settings(deadline=None, max_examples=100)
@given(damaged_pages(), TYPES)
def test_damaged_pages_keep_the_promises(body: bytes, content_type: str) -> None:
    verify(body, content_type)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=40), max_size=30), TYPES)
def test_heaps_of_pieces_keep_the_promises(pieces: list[str], content_type: str) -> None:
    verify("".join(pieces).encode(errors="surrogatepass"), content_type)


@settings(deadline=None, max_examples=20)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=60))
def test_any_address_keeps_the_promises(path: str) -> None:
    verify(OWN[0], "text/html", f"{URL}/{path}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("headline", "a \\ud800 b"),
        ("author", "\\u0000A Moss"),
        ("keywords", "\\udfff"),
        ("description", "\\ud83d\\u0000"),
        ("articleBody", "\\ud83d and on and on" * 100),
        ("headline", "a tram \\ud83d\\ude8b opens"),
    ],
    ids=["high", "nul", "low", "split", "body", "pair"],
)
def test_what_json_escapes_can_be_stored(name: str, said: str) -> None:
    script = f'<script type="application/ld+json">{{"@type": "NewsArticle", "{name}": "{said}"}}'
    body = (PAGES / "fr-no-metadata.html").read_bytes()
    verify(body.replace(b"</head>", f"{script}</script></head>".encode()), "text/html")
