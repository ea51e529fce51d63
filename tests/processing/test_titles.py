"""An article's title, from what a page states, its headings and its head."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from processing.metadata import read_metadata
from processing.records import Hints
from processing.titles import MAX_TITLE, read_title

URL = "https://www.courier.example/city/tram-line-opens.html"
NAMED = '<meta property="og:site_name" content="The Courier">'


def title(
    in_head: str = "",
    *headings: str,
    og: str = "",
    headline: str = "",
    hint: str | None = None,
    named: str = NAMED,
    url: str = URL,
) -> str:
    said = json.dumps({"@type": "NewsArticle", "headline": headline, "author": "Ada Moss"})
    tree = html.document_fromstring("<html><head></head><body><p>x</p></body></html>")
    head = tree.find("head")
    assert head is not None
    head.append(html.fragment_fromstring("<title></title>"))
    head[0].text = in_head
    for fragment in (f'<script type="application/ld+json">{said}</script>', named):
        head.append(html.fragment_fromstring(fragment))
    if og:
        meta = html.fragment_fromstring('<meta property="og:title">')
        meta.set("content", og)
        head.append(meta)
    return read_title(tree, read_metadata(tree, url), Hints(title=hint), list(headings))


def test_json_ld_is_believed_before_meta_tags_and_these_before_the_page() -> None:
    assert title("In head", "On page", og="Shared", headline="Stated") == "Stated"
    assert title("In head", "On page", og="Shared") == "Shared"
    assert title("In head", "On page") == "On page"
    assert title("In head") == "In head"
    assert title("", hint="Listed") == "Listed"
    assert title("", "First", "Second") == "First"
    assert title("In head", "First", "Second", hint="Second") == "Second"
    assert title() == ""


@pytest.mark.parametrize(
    "in_head",
    [
        "Tram line opens | The Courier",
        "Tram line opens – Courier",
        "Tram line opens › courier.example",
        "Tram line opens｜The Courier",
        "The Courier: Tram line opens".replace(":", " :"),
        "Tram line opens - The Courier - courier.example",
        "Tram line opens : 20.11.2026, 06.15 Uhr",
        "20.11.2026 - Tram line opens",
        "2026-11-20 | Tram line opens | The Courier",
        "Tram line \u00adopens",
    ],
)
def test_the_sites_name_and_the_day_are_no_part_of_it(in_head: str) -> None:
    assert title(in_head) == "Tram line opens"
    assert title("", og=in_head) == "Tram line opens"


@pytest.mark.parametrize("whole", ["The Courier", "20.11.2026", "Tram - line - opens", "9/11"])
def test_a_title_is_never_stripped_to_nothing(whole: str) -> None:
    assert title(whole) == whole


@pytest.mark.parametrize(
    ("in_head", "og", "heading", "expected"),
    [
        ("", "Tram line opens | City", "Tram line opens", "Tram line opens"),
        ("", "City - Tram line opens", "Tram line opens", "Tram line opens"),
        ("", "City: Tram line opens", "Tram line opens", "City: Tram line opens"),
        ("", "Tram line opens – Harbour Post", "Harbour Post", "Tram line opens – Harbour Post"),
        ("", "Tram line opens to...", "Tram line opens to the sea", "Tram line opens to the sea"),
        ("", "Tram line opens …", "Bus line closes", "Tram line opens …"),
        ("Tram line opens - Harbour Post", "", "Harbour Post", "Tram line opens"),
        ("Tram line opens - Harbour Post", "", "The Courier", "Tram line opens"),
        ("Harbour Post » Blog » Tram line opens", "", "Harbour Post", "Tram line opens"),
        ("Tram line opens | Tram lines", "", "Tram line opens", "Tram line opens"),
    ],
)
def test_headings_and_the_address_say_where_it_begins_and_ends(
    in_head: str, og: str, heading: str, expected: str
) -> None:
    assert title(in_head, heading, og=og) == expected


def test_an_address_that_tells_nothing_takes_nothing() -> None:
    in_head = "Tram line opens | Harbour Post"
    assert title(in_head) == "Tram line opens"
    for path in ("4711.html", "tram", "opens-harbour-line-post", "%zz"):
        assert title(in_head, url=f"https://courier.example/{path}") == in_head


TEXTS = st.lists(
    st.sampled_from([" | ", " - ", ": ", "...", "The Courier", "tram line", "20.11.2026", "\u00ad"])
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6),
    max_size=8,
).map("".join)


@settings(deadline=None, max_examples=100)
@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=3))
def test_any_texts_make_a_title(in_head: str, og: str, headings: list[str]) -> None:
    headings = [heading.strip() for heading in headings if heading.strip()]
    found = title(in_head, *headings, og=og)
    assert len(found) <= MAX_TITLE
    assert "\u00ad" not in found
    assert found == title(in_head, *headings, og=og)


def test_a_paragraph_in_the_wrong_place_is_cut() -> None:
    assert title("word " * 900) == ("word " * 900)[:MAX_TITLE]
