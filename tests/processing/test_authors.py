"""Who wrote a page: what it states, what its byline shows, and which of the two is believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html
from lxml.html import HtmlElement

from processing.authors import read_authors, read_byline
from processing.metadata import read_metadata

URL = "https://www.courier.example/city/2026/11/20/tram-line-opens"
TEXT = "<p>The first tram of the new harbour line left the depot at five in the morning.</p>" * 30


def page(byline: str = "", head: str = "", foot: str = "") -> HtmlElement:
    return html.document_fromstring(
        f'<html><head>{head}<meta property="og:site_name" content="The Courier"></head><body>'
        "<header><nav><a href='/authors/all'>Our Authors</a></nav></header><main><article>"
        f"<h1>Tram line opens</h1>{byline}{TEXT}{foot}</article></main></body></html>"
    )


def json_ld(author: object) -> str:
    node = {"@type": "NewsArticle", "headline": "Tram line opens", "author": author}
    return f'<script type="application/ld+json">{json.dumps(node)}</script>'


def authors(byline: str = "", head: str = "", foot: str = "") -> tuple[list[str], list[str]]:
    tree = page(byline, head, foot)
    return read_authors(tree, read_metadata(tree, URL))


# --- what a page states


def test_json_ld_is_believed_before_meta_tags_and_these_before_the_page() -> None:
    shown = '<a rel="author" href="/a">Cy Lund</a>'
    meta = '<meta name="author" content="By Ben Okoro">'
    assert authors(shown, meta + json_ld({"name": "Ada Moss"})) == (["Ada Moss"], [])
    assert authors(shown, meta) == (["Ben Okoro"], [])
    assert authors(shown) == (["Cy Lund"], [])
    assert authors("", '<meta name="sailthru.author" content="Ada Moss">') == (["Ada Moss"], [])
    assert authors() == ([], [])


def test_houses_are_named_beside_persons_and_never_among_them() -> None:
    assert authors(head=json_ld(["Ada Moss", "dpa"])) == (["Ada Moss"], ["dpa"])
    assert authors(head=json_ld({"name": "The Courier"})) == ([], ["The Courier"])
    assert authors('<p class="byline">By Ada Moss</p>', json_ld("Courier")) == (
        ["Ada Moss"],
        ["Courier"],
    )
    assert authors('<p class="byline">Reuters</p>') == ([], ["Reuters"])


@pytest.mark.parametrize(
    ("stated", "shown", "believed"),
    [
        ("Ada Moss Ben Okoro", ["Ada Moss", "Ben Okoro"], ["Ada Moss", "Ben Okoro"]),
        ("Ada", ["Ada Moss"], ["Ada Moss"]),
        ("ada.moss", ["Ada B. Moss"], ["Ada B. Moss"]),
        ("adamoss", ["Ada Moss"], ["Ada Moss"]),
        ("Ada", ["Ben Okoro"], ["Ada"]),
        ("Ada Moss", ["Ada Moss", "Ben Okoro"], ["Ada Moss"]),
        ("Ada de la Cruz", ["Ada Cruz"], ["Ada de la Cruz"]),
    ],
)
def test_the_page_is_believed_where_it_tells_the_same_names_better(
    stated: str, shown: list[str], believed: list[str]
) -> None:
    byline = "".join(f'<span class="author">{name}</span>' for name in shown)
    assert authors(byline, json_ld(stated))[0] == believed


# --- what a page shows

BYLINES = {
    "rel": '<p>By <a rel="author" href="/x">Ada Moss</a></p>',
    "class": '<div class="article__authorName">Von Ada Moss</div>',
    "id": '<div id="byline">Ada Moss</div>',
    "test id": '<div data-testid="byline">By Ada Moss</div>',
    "author page": '<div><a class="x1" href="/author/ada-moss/">Ada Moss</a></div>',
    "microdata": '<div itemprop="author" itemscope><span itemprop="name">Ada Moss</span></div>',
    "microdata in meta": '<div itemprop="author"><meta itemprop="name" content="Ada Moss"></div>',
    "custom element": '<story-author class="author">Ada Moss</story-author>',
    "address": "<address>Ada Moss</address>",
    "comments of a script": '<span class="author">By<!-- --> <!-- -->Ada Moss</span>',
    "a word an element": '<span class="author"><i>Ada</i> <b>Moss</b></span>',
    "date": '<div class="byline">By <b>Ada Moss</b> <i>December 28, 2026 | Updated 4 pm</i></div>',
    "role": '<div class="author"><b>Ada Moss</b><br><i>Politics Editor</i></div>',
    "role class": '<div class="author"><b>Ada Moss</b><i class="author-role">Head of X</i></div>',
    "links": '<div class="byline"><a>Ada Moss</a><ul><li>View author archive<li>Get RSS</ul></div>',
    "buttons": '<div class="author"><a>Ada Moss</a><button class="follow">Follow Me</button></div>',
    "copied": '<div class="byline"><a>Ada Moss</a><span>Link Copied</span></div>',
    "place": '<div class="byline"><a>Ada Moss</a><span>London</span></div>',
    "house": '<div class="byline"><a>Ada Moss</a>, <a>Courier News</a></div>',
    "twice": '<p class="byline">Ada Moss</p><p class="byline mobile">ADA MOSS</p>',
    "in a footer": '<footer class="post-footer"><span class="author">Ada Moss</span></footer>',
    "in social-comments": '<div class="social-comments"><b class="author">Ada Moss</b></div>',
    "picture": '<figure><b class="author">Ben Okoro</b></figure><b class="author">Ada Moss</b>',
    "follow": '<button class="followAuthorBtn">Folgen</button><i class="byline">Ada Moss</i>',
}


@pytest.mark.parametrize("byline", BYLINES.values(), ids=BYLINES.keys())
def test_the_byline_by_the_headline(byline: str) -> None:
    assert authors(byline)[0] == ["Ada Moss"]


@pytest.mark.parametrize(
    "byline",
    [
        '<p class="byline">By ADA MOSS, BEN OKORO and CY LUND</p>',
        '<p class="byline">By <a>Ada Moss</a>, <a>Ben Okoro</a> and <b>Cy Lund</b>, Rome</p>',
        '<div rel="author"><div class="byline"><a href="/autor/a">Ada Moss</a>, <a href="/autor/b">'
        'Ben Okoro</a> y <a href="/autor/c">Cy Lund</a></div><div>Hace 13 horas</div></div>',
        '<ul><li class="author">Ada Moss<li class="author">Ben Okoro<li class=author>Cy Lund</ul>',
        '<p><span itemprop="author">Ada Moss</span> <span itemprop="author">Ben Okoro</span>'
        '<span itemprop="author">Cy Lund</span></p>',
    ],
)
def test_several_authors(byline: str) -> None:
    assert [name.title() for name in authors(byline)[0]] == ["Ada Moss", "Ben Okoro", "Cy Lund"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        '<ol id="comments"><li><span class="comment-author">Ben Okoro</span></ol>',
        '<div class="comments"><a rel="author">Ben Okoro</a></div>',
        '<div class="related-stories"><i class="byline">By Ben Okoro</i></div>',
        '<aside class="c-teaser"><i class="author">Ben Okoro</i></aside>',
        '<form class="comment-form"><label class="author">Name</label></form>',
        '<nav><a href="/author/ben">Ben Okoro</a></nav>',
        '<div><i class="byline">By Ben Okoro</i></div><p>And more.</p>'
        + TEXT
        + '<div><i class="byline">By Cy Lund</i></div>',
        '<p class="author">Name</p>',
        '<p class="byline">Updated on December 28, 2026</p>',
        '<p class="author-bio">Ben Okoro writes on trams.</p>',
        '<p class="authority">Harbour Board</p>',
        '<a href="https://creativecommons.org/licenses/by/4.0/">Creative Commons</a>',
    ],
)
def test_names_elsewhere_are_not_the_authors(elsewhere: str) -> None:
    assert authors(foot=elsewhere) == ([], [])
    assert authors('<i class="byline">By Ada Moss</i>', foot=elsewhere) == (["Ada Moss"], [])


def test_an_author_box_below_the_text() -> None:
    box = '<div class="author-box"><h4>About the author</h4><b>Ada Moss</b></div>'
    assert authors(foot=box) == (["Ada Moss"], [])
    assert authors(foot=box + TEXT + box) == (["Ada Moss"], [])


def test_a_page_wrapper_that_speaks_of_comments_hides_nothing() -> None:
    tree = html.document_fromstring(
        '<html><body class="single-author comments-open"><div class="has-sidebar comments">'
        f'<h1>Tram line opens</h1><p class="byline">By Ada Moss</p>{TEXT}</div></body></html>'
    )
    assert read_authors(tree, read_metadata(tree, URL)) == (["Ada Moss"], [])


def test_a_wrapper_named_after_authors_is_no_byline() -> None:
    tree = html.document_fromstring(
        f'<html><body><div class="author-ruler"><h1>Tram line opens</h1><div class="author-side">'
        f'<b class="author">Ada Moss</b>{TEXT}<b class="author">Ben Okoro</b></div></div></body>'
    )
    assert read_authors(tree, read_metadata(tree, URL)) == (["Ada Moss"], [])


def test_a_page_without_a_headline() -> None:
    for byline, persons in (('<b class="author">Ada Moss</b>', ["Ada Moss"]), ("", [])):
        tree = html.document_fromstring(
            f'<html><body><nav><a href="/author/ben">Ben Okoro</a></nav>{TEXT}{byline}</body>'
        )
        assert read_authors(tree, read_metadata(tree, URL)) == (persons, [])


def test_the_headline_is_told_from_the_papers_name() -> None:
    tree = html.document_fromstring(
        '<html><head><meta property="og:title" content="Tram line opens - Courier"></head><body>'
        f"<h1>The Courier</h1>{TEXT}<i class='byline'>By Ben Okoro</i>{TEXT}"
        f"<h2>Tram line opens</h2><i class='byline'>By Ada Moss</i>{TEXT}</body></html>"
    )
    assert read_authors(tree, read_metadata(tree, URL)) == (["Ada Moss"], [])


# --- bylines in the text


@pytest.mark.parametrize(
    ("line", "persons"),
    [
        ("By Ada Moss", ["Ada Moss"]),
        ("By Ada Moss | Staff", ["Ada Moss"]),
        ("Von Ada Moß, Berlin", ["Ada Moß"]),
        ("Text: Ada Moss und Ben Okoro", ["Ada Moss", "Ben Okoro"]),
        ("Автор: Анна Мох", ["Анна Мох"]),
        ("(责编：牛一、岳二三)", ["牛一", "岳二三"]),
        ("홍길동 기자 hong@courier.example", ["홍길동"]),
        ("Reporting by Ada Moss; Editing by Ben Okoro", ["Ada Moss"]),
        ("新华社北京4月24日电（记者张三、李四）" + "有轨电车开通了。" * 30, ["张三", "李四"]),
        ("Von Berlin nach Paris in vier Stunden", []),
        ("By the harbour stands a tram", []),
        ("By Monday", []),
        ("By Ada Moss the tram was opened, " * 10, []),
        ("Ada Moss", []),
    ],
)
def test_a_byline_in_the_text(line: str, persons: list[str]) -> None:
    body = ["The tram left the depot."] * 40
    for lines in ([line, *body], [*body, line], ["", line]):
        assert read_byline(lines) == persons
    assert read_byline([*body, line, *body]) == []


# --- hostile pages

MARKS = ['<div class="author">', '<a rel="author">', '<i class="byline">', '<b itemprop="author">']
TAGS = ["<h1>", "<p>", "</div>", "</a>", "</p>", "<!-- -->", "<form>", "<script>", "<svg>", "<br>"]
WORDS = ["By ", "Ada Moss", " and ", "Tram line opens", ", ", "Reporter", "12", "https://a.example"]
MARKUP = st.lists(st.sampled_from(MARKS + TAGS + WORDS), max_size=40).map("".join)


@settings(deadline=None, max_examples=100)
@given(MARKUP)
def test_any_markup_is_read(markup: str) -> None:
    persons, houses = authors(markup)
    for name in persons + houses:
        assert name.strip() == name != ""
        assert "http" not in name


@pytest.mark.parametrize(
    "markup",
    [
        '<b class="author">' + "<div>" * 5000 + "Ada Moss",
        '<div class="author">' * 5000,
        '<a rel="author" href="/x">Ada</a>' * 5000,
        "<p>" + '<i class="byline">By Ada Moss</i> and so on and on and on. ' * 3000,
    ],
    ids=["deep", "nested marks", "many marks", "marks in a text"],
)
def test_hostile_markup_is_read_to_an_end(markup: str) -> None:
    persons, _ = authors(markup)
    assert len(persons) <= 1
