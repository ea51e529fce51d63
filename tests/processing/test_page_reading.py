"""The parts extraction is made of: JSON-LD, language, agencies, old layouts, comparable text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html
from lxml.html import HtmlElement

from processing.charset import decode
from processing.language import detect_language
from processing.layout import modernise
from processing.metadata import read_metadata
from processing.texts import content_hash, count_words, normalise_text
from processing.wire import find_agency

URL = "https://courier.example/city/tram"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["@type", "@graph", "author", "name", "image", "keywords", "url"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def tree_with(*scripts: str) -> HtmlElement:
    marked = "".join(f'<script type="application/ld+json">{s}</script>' for s in scripts)
    return html.document_fromstring(f"<html><head>{marked}</head><body><p>x</p></body></html>")


def test_the_node_of_this_page_is_chosen() -> None:
    other = {
        "@type": "NewsArticle",
        "url": "/other",
        "headline": "Other",
        "author": "A",
        "articleBody": "B",
    }
    own = {"@type": ["Thing", "NewsArticle"], "mainEntityOfPage": {"@id": URL}, "headline": "Own"}
    graph = {"@graph": [other, own, {"@type": "WebSite", "name": "The Courier"}]}
    said = read_metadata(tree_with(json.dumps(graph)), URL)
    assert said.headline == "Own"
    assert said.site_names == {"The Courier"}


@pytest.mark.parametrize(
    "script",
    [
        '{"@type": "NewsArticle", "headline": "Own",}',
        '<!-- {"@type": "NewsArticle", "headline": "Own"} -->',
        '//<![CDATA[\n{"@type": "NewsArticle", "headline": "Own"}\n//]]>',
        '{"@type": "NewsArticle", "headline": "Own", "articleBody": "a\nb"};',
    ],
)
def test_usual_slips_in_json_ld_are_mended(script: str) -> None:
    assert read_metadata(tree_with(script), URL).headline == "Own"


@settings(deadline=None)
@given(st.lists(JSON, max_size=3))
def test_any_json_ld_is_read(nodes: list[object]) -> None:
    typed = [
        {"@type": "NewsArticle", "author": n, "image": n, "keywords": n, "name": n} for n in nodes
    ]
    said = read_metadata(tree_with(json.dumps(nodes), json.dumps(typed)), URL)
    for value in (said.headline, said.section, said.summary, said.image_url):
        assert value is None or isinstance(value, str)
    assert all(isinstance(tag, str) for tag in said.tags)


def test_language() -> None:
    english = "The first tram of the new harbour line left the depot at five in the morning."
    german = "Die erste Straßenbahn der neuen Hafenlinie verließ das Depot um fünf Uhr morgens."
    assert detect_language(english, "en-GB") == "en"
    assert detect_language(german * 3, "en") == "de"
    assert detect_language(german, None) == "de"
    assert detect_language("Tram", "nb_NO") == "nb"
    assert detect_language("", None) is None


@pytest.mark.parametrize(
    ("authors", "text", "agency"),
    [
        (["Associated Press"], "A tram.", "AP"),
        (["Ada Moss", "dpa"], "A tram.", "dpa"),
        ([], "PARIS (Reuters) - A tram left.", "Reuters"),
        ([], "Berlin (dpa/lno) – Eine Bahn fuhr.", "dpa"),
        ([], "The party (PA) said: nothing.", None),
        ([], "Osney (Corrow Wire) – A tram left.", None),
        (["Ada Moss"], "A tram.\nPARIS (AP) — no dateline here.", None),
    ],
)
def test_agencies(authors: list[str], text: str, agency: str | None) -> None:
    assert find_agency(authors, text) == agency


def test_old_layouts_get_paragraphs_and_a_headline() -> None:
    words = "The tram left the depot at five in the morning with the mayor at the window. " * 3
    page = html.document_fromstring(
        "<html><body><table><tr><td><font size=6>The Courier</font></td></tr><tr><td>"
        f"<font size=5>Tram opens</font><br><br>{words}<br><br><i>And</i> {words}<br>more"
        "</td></tr></table></body></html>"
    )
    assert modernise(page) == "Tram opens"
    paragraphs = [" ".join(p.text_content().split()) for p in page.iter("p")]
    assert paragraphs[1:] == [words.strip(), f"And {words.strip()} more"]
    assert not list(page.iter("table", "td"))


def test_modern_pages_and_data_tables_are_left_alone() -> None:
    data = "<table><tr><td>1<br><br>2</td></tr></table>"
    source = f"<html><body><p>{'word ' * 100}</p>{data}</body></html>"
    page = html.document_fromstring(source)
    before = html.tostring(page)
    assert modernise(page) is None
    assert html.tostring(page) == before


def test_words_are_counted_in_every_script() -> None:
    assert count_words("The mayor's tram, at 5.30!") == 5
    assert count_words("路面電車が走る") == 4
    assert count_words("трамвай идёт") == 2
    assert count_words(" … – ") == 0


@settings(deadline=None)
@given(st.text())
def test_normal_text_is_normal_already(text: str) -> None:
    normal = normalise_text(text)
    assert normalise_text(normal) == normal
    assert content_hash(text) == content_hash(f"  {text}\n")


def test_normal_text_folds_what_copies_change() -> None:
    assert normalise_text("“Tram” — OPENS!\n Ｔｒａｍ") == "tram opens tram"
    assert content_hash("A tram, opened.") == content_hash("a  tram\nopened")
    assert content_hash("A tram opened.") != content_hash("A bus opened.")


@settings(deadline=None)
@given(st.binary(), st.text(max_size=30))
def test_any_bytes_decode(body: bytes, content_type: str) -> None:
    assert isinstance(decode(body, content_type), str)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_utf_8_is_kept_whatever_is_declared(text: str) -> None:
    body = text.encode()
    if not body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        assert decode(body, "text/html; charset=latin-1") == text


DECLARED = '<html lang="{}"><meta charset="{}"><p>{}'


@pytest.mark.parametrize(
    ("written", "declared", "lang", "words"),
    [
        ("cp1252", "utf-8", "en", "“Café” – naïve façade"),
        ("cp1252", "utf-16", "en", "“Café” – naïve façade"),
        ("cp1252", "cp037", "en", "“Café” – naïve façade"),
        ("cp1252", "unicode_escape", "en", r"Café \u0041"),
        ("cp1252", "utf-7", "en", "Café +ACE-"),
        ("cp1252", "no-such-charset", "en", "Café"),
        ("cp1251", "utf-8", "ru", "Трамвай вышел на линию"),
        ("iso2022_jp", "iso-2022-jp", "ja", "路面電車が走る"),
        ("cp932", "x-sjis", "ja", "路面電車が走る"),
        ("big5", "big5", "zh", "有軌電車開通"),
        ("koi8-r", "koi8-r", "ru", "Трамвай вышел"),
    ],
)
def test_declared_charsets(written: str, declared: str, lang: str, words: str) -> None:
    body = DECLARED.format(lang, declared, words).encode(written)
    assert decode(body).endswith(words)


@pytest.mark.parametrize("declared", ["utf-8", "", "windows-1251"])
def test_utf_8_that_was_cut_stays_utf_8(declared: str) -> None:
    words = "Трамвай вышел на линию"
    text = decode(
        DECLARED.format("ru", "", words).encode() + b"\xd0", f"text/html; charset={declared}"
    )
    assert words in text


def test_a_header_says_more_than_the_page() -> None:
    body = DECLARED.format("ru", "cp1252", "Трамвай").encode("cp1251")
    assert decode(body, "text/html; charset=windows-1251").endswith("Трамвай")


def test_escapes_alone_are_no_charset() -> None:
    assert decode(b"<p>\x1b[1mbold\x1b[0m") == "<p>\x1b[1mbold\x1b[0m"
