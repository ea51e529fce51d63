"""Extraction on hand-written pages, on the demo sites' pages and on damaged input."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from difflib import SequenceMatcher

import pytest
from demo.sites import ExpectedPage, expected, pages
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.extraction import SiteTemplate, extract
from processing.records import Article, Page, Rejection, Rights, State
from processing.urls import url_id, url_key

FETCHED = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "https://www.courier.example/city/2026/11/20/tram-line-opens"
PARAGRAPHS = (
    "The first tram of the new harbour line left the depot at five in the morning on Friday, with"
    " the mayor at the window and some two hundred people on the platform.",
    "Building it took four years and cost ninety million, eleven more than planned, which the city"
    " puts down to a Roman wall that nobody had expected below the fish market.",
    "From Monday a tram will run every eight minutes between the old town and the ferry terminal,"
    " and the number 14 bus will be withdrawn.",
)


def page(html: str | bytes, url: str = URL, **fields: object) -> Page:
    body = html.encode() if isinstance(html, str) else html
    return replace(Page(url, body, FETCHED), **fields)


def article_html(
    head: str = "", before: str = "", after: str = "", body: tuple[str, ...] = PARAGRAPHS
) -> str:
    text = "".join(f"<p>{p}</p>" for p in body)
    return (
        f'<!DOCTYPE html><html lang="en"><head><title>Tram line opens | The Courier</title>{head}'
        f"</head><body><nav><a href='/'>Home</a> <a href='/city'>City</a></nav>"
        f"<article><h1>Tram line opens</h1>{before}{text}{after}</article></body></html>"
    )


def json_ld(**said: object) -> str:
    node = {"@context": "https://schema.org", "@type": "NewsArticle", **said}
    return f'<script type="application/ld+json">{json.dumps(node)}</script>'


def found(html: str | bytes, url: str = URL, **fields: object) -> Article:
    outcome = extract(page(html, url, **fields))
    assert isinstance(outcome, Article), outcome
    return outcome


def refused(html: str | bytes, url: str = URL, **fields: object) -> Rejection:
    outcome = extract(page(html, url, **fields))
    assert isinstance(outcome, Rejection), outcome
    return outcome


# --- the demo sites

DEMO = [
    pytest.param(edition, record, id=f"{edition}-{record.url}")
    for edition in (1, 2)
    for record in expected(edition)
    if record.text and record.final_url in pages(edition)
]


def normal_lines(text: str) -> list[str]:
    return [line.removeprefix("- ") for line in text.split("\n")]


@pytest.mark.parametrize(("edition", "record"), DEMO)
def test_demo_article(edition: int, record: ExpectedPage) -> None:
    answer = pages(edition)[str(record.final_url)]
    article = found(answer.body, str(record.final_url), headers=answer.headers)
    assert article.title == record.title
    assert article.authors == record.authors
    assert article.published_at == record.published_at
    assert article.published_precision == record.published_precision
    assert article.modified_at == record.modified_at
    assert article.language == record.language
    assert article.section == record.section
    assert article.tags == record.tags
    assert article.is_accessible_for_free == record.is_accessible_for_free
    assert article.canonical_url in (None, record.canonical_url)
    assert [line for line in record.must_not if line in article.text] == []
    likeness = SequenceMatcher(None, normal_lines(article.text), normal_lines(str(record.text)))
    assert likeness.ratio() == 1.0


# --- text


def test_text_is_the_paragraphs_without_what_stands_around_them() -> None:
    html = article_html(
        before="<p>Tram line opens</p><p>By Ada Moss</p><figure><img src='a.jpg'>"
        "<figcaption>The tram at the depot. Photo: C. Reed</figcaption></figure>",
        after="<p>Read more: Bus drivers protest</p><p><a href='/x'>Ten years of bridges</a></p>"
        "<p>Sign up for our newsletter and never miss a story.</p><p>Leave a comment</p>"
        "<p>© 2026 The Courier. All rights reserved.</p>",
    )
    assert found(html).text == "\n".join(PARAGRAPHS)


def test_an_image_file_name_goes_and_what_follows_it_stays() -> None:
    first = f"harbour_tram_opening_AP_ – {PARAGRAPHS[0]}"
    assert found(article_html(body=(first, *PARAGRAPHS[1:]))).text == "\n".join(PARAGRAPHS)


def test_a_report_about_newsletters_keeps_its_last_paragraph() -> None:
    last = (
        "The company said that it would ask its customers to sign up for a newsletter, which the"
        " union called an insult to the four hundred people who had lost their work in the spring,"
        " to their families, and to a town that had given the works its land, its water and, for"
        " two generations, most of its young people and nearly all of its hopes."
    )
    assert found(article_html(body=(*PARAGRAPHS, last))).text.endswith(last)


def test_a_site_template_takes_its_lines_out() -> None:
    line = "The Courier is the oldest paper of the coast and belongs to its readers."
    html = article_html(after=f"<p>{line}</p>")
    assert line in found(html).text
    outcome = extract(page(html), SiteTemplate.of([line.upper()]))
    assert isinstance(outcome, Article)
    assert outcome.text == "\n".join(PARAGRAPHS)


def test_article_body_rescues_a_text_that_the_page_hides() -> None:
    body = " ".join(PARAGRAPHS) * 3
    html = article_html(head=json_ld(articleBody=body), body=(PARAGRAPHS[0],))
    assert found(html).text == body


def test_a_paywalled_teaser_is_an_article_that_is_not_free() -> None:
    head = json_ld(headline="Tram line opens", isAccessibleForFree="False")
    after = "<p>Subscribe now for unlimited access.</p>"
    article = found(article_html(head=head, after=after, body=PARAGRAPHS[:2]))
    assert article.is_accessible_for_free is False
    assert article.text == "\n".join(PARAGRAPHS[:2])


# --- fields


def test_json_ld_is_believed_before_meta_tags() -> None:
    head = (
        json_ld(
            headline="Harbour tram starts",
            author=[{"@type": "Person", "name": "By Ada Moss"}, {"name": "Ben Okoro and Cy Lund"}],
            datePublished="2026-11-20T06:15:00+01:00",
            dateModified="2026-11-20T09:00:00+01:00",
            articleSection="City",
            keywords="trams, harbour,Trams",
            image={"url": "/tram.jpg"},
        )
        + '<meta property="og:title" content="Something else">'
        '<meta name="author" content="The Desk">'
        '<link rel="canonical" href="/city/2026/11/20/tram-line-opens?utm_source=x">'
    )
    article = found(article_html(head=head))
    assert article.title == "Harbour tram starts"
    assert article.authors == ("Ada Moss", "Ben Okoro", "Cy Lund")
    assert article.published_at == datetime(2026, 11, 20, 5, 15, tzinfo=UTC)
    assert (article.published_source, article.published_precision) == ("json-ld", "second")
    assert article.modified_at == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert (article.section, article.tags) == ("City", ("trams", "harbour"))
    assert article.image_url == "https://www.courier.example/tram.jpg"
    assert article.id == url_id(url_key(URL))


@pytest.mark.parametrize(
    ("canonical", "trusted"),
    [
        ("https://courier.example/city/tram-line-opens", True),
        ("https://www.courier.example/", False),
        ("https://www.courier.example/city", False),
        ("https://agency.example/2026/harbour-tram-line-opens", True),
        ("https://agency.example/news", False),
        ("https://agency.example/2026/budget-vote-put-off", False),
        ("not a url at all", False),
        ("http://[broken", False),
    ],
)
def test_only_an_articles_canonical_is_trusted(canonical: str, trusted: bool) -> None:
    article = found(article_html(head=f'<link rel="canonical" href="{canonical}">'))
    assert (article.canonical_url == canonical) is trusted
    assert article.id == url_id(url_key(canonical if trusted else URL)) or not trusted


def test_a_listing_dates_a_page_that_does_not_date_itself() -> None:
    url = "https://www.courier.example/city/tram-line-opens"
    hints = {"published": "2026-11-20T05:00:00+00:00", "section": "City", "tags": ["trams"]}
    article = found(article_html(), url, hints=hints)
    assert article.published_at == datetime(2026, 11, 20, 5, tzinfo=UTC)
    assert (article.section, article.tags) == ("City", ("trams",))


def test_an_undated_page_says_so() -> None:
    article = found(article_html(), "https://www.courier.example/city/tram-line-opens")
    assert article.published_at is None
    assert article.published_source == "first-seen"
    assert article.first_seen_at == FETCHED


def test_agency_in_a_line_below_the_text() -> None:
    html = article_html(after="<p>© 2026 The Associated Press. All rights reserved.</p>")
    assert found(html).wire == "AP"
    assert found(html).text == "\n".join(PARAGRAPHS)
    assert found(article_html()).wire is None


def test_a_live_blog_is_flagged() -> None:
    live = json_ld(headline="Tram line opens", keywords="trams")
    html = article_html(head=live.replace("NewsArticle", "LiveBlogPosting"))
    assert found(html).tags == ("LiveBlogPosting", "trams")


def test_a_breadcrumb_stands_for_a_section_that_is_not_named() -> None:
    names = ("Home", "News", "City", "Tram line opens")
    steps = [{"@type": "ListItem", "position": n, "name": name} for n, name in enumerate(names, 1)]
    trail = json.dumps({"@type": "BreadcrumbList", "itemListElement": steps})
    head = f'<script type="application/ld+json">{trail}</script>'
    assert found(article_html(head=head)).section == "News > City"
    assert (
        found(article_html(head=head + json_ld(articleSection="Transport"))).section == "Transport"
    )


# --- what stands between the paragraphs


def test_an_embedded_post_leaves_its_words_alone() -> None:
    post = (
        '<blockquote class="twitter-tweet"><p lang="en">Five past five, and we are rolling.'
        ' <a href="https://t.co/x1">pic.twitter.com/x1</a></p>&mdash; Harbour Trams (@trams)'
        ' <a href="https://twitter.com/trams/status/1">November 20, 2026</a></blockquote>'
        '<blockquote class="instagram-media"><a href="https://instagram.com/p/1">A post shared by'
        " Harbour Trams (@trams) on the morning of the opening</a></blockquote>"
    )
    lines = found(article_html(after=post + "<p>The bells rang until six.</p>")).text.split("\n")
    assert lines == [
        *PARAGRAPHS,
        "Five past five, and we are rolling.",
        "The bells rang until six.",
    ]


def test_headings_lists_and_tables_stay_readable() -> None:
    after = (
        "<h2>What changes on Monday</h2><ul><li>Bus 14 stops running</li><li>Bus 9 runs less"
        " often</li></ul><table><tr><th>Line</th><th>Minutes</th></tr><tr><td>Harbour</td>"
        "<td>8</td></tr></table><p>Fares stay as they are,<br>the city says.</p>"
    )
    assert found(article_html(after=after)).text.split("\n")[len(PARAGRAPHS) :] == [
        "What changes on Monday",
        "- Bus 14 stops running",
        "- Bus 9 runs less often",
        "Line | Minutes",
        "Harbour | 8",
        "Fares stay as they are,",
        "the city says.",
    ]


# --- what is no article


def test_rights_are_what_page_response_and_site_said() -> None:
    head = '<meta name="robots" content="noai"><link rel="license" href="/terms">' + json_ld(
        headline="Tram line opens", license="https://other.example/terms"
    )
    site = {
        "robots": "allowed",
        "tdm": "denied",
        "licence": "https://www.courier.example/rsl.xml",
        "evidence": ["tdmrep.json: location /, tdm-reservation 1"],
    }
    headers = {"X-Robots-Tag": "noai", "TDM-Reservation": "0"}
    assert found(article_html(head), headers=headers, rights=site).rights == Rights(
        robots="allowed",
        tdm="denied",
        ai="denied",
        licence="https://www.courier.example/terms",
        evidence='<meta name="robots" content="noai">; <link rel="license" href="/terms">; '
        "json-ld: license: https://other.example/terms; TDM-Reservation: 0; X-Robots-Tag: noai; "
        "tdmrep.json: location /, tdm-reservation 1",
    )


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        (" https://a.example/terms ", "https://a.example/terms"),
        (
            [{"@type": "CreativeWork", "url": "https://a.example/by/4.0"}],
            "https://a.example/by/4.0",
        ),
        ({"@id": "#licence"}, None),
        ("https://a.example/\ud800", None),
        ("CC BY 4.0", None),
        ([None, 4, {}], None),
    ],
)
def test_json_ld_may_name_the_licence(said: object, licence: str | None) -> None:
    page_rights = found(article_html(json_ld(headline="Tram line opens", license=said))).rights
    assert page_rights is not None
    assert page_rights.licence == licence
    assert bool(page_rights.evidence) == bool(licence)


def test_a_page_of_which_nothing_is_said_has_unknown_rights() -> None:
    assert found(article_html()).rights == Rights("unknown", "unknown", "unknown")


def test_not_html() -> None:
    assert refused(b"%PDF-1.7 ...").state == State.REJECTED_NOT_HTML
    assert refused(b"").state == State.REJECTED_NOT_HTML
    assert refused(b'{"a": 1}').state == State.REJECTED_NOT_HTML
    assert refused(b"<?xml version='1.0'?><rss/>").state == State.REJECTED_NOT_HTML
    said = refused(article_html(), headers={"Content-Type": "image/png"})
    assert said == Rejection(State.REJECTED_NOT_HTML, "the content type is image/png")


@pytest.mark.parametrize(
    ("title", "text", "detail"),
    [
        ("Just a moment...", "Checking your browser before accessing the site.", "bot check"),
        ("The Courier", "Please verify you are a human to continue.", "bot check"),
        ("Before you continue", "We and our partners use cookies. Accept all", "consent wall"),
        ("The Courier", "Please enable JavaScript to view this page.", "JavaScript"),
        ("Page not found", "The page you asked for is not here.", "error page"),
        ("502 Bad Gateway", "nginx", "error page"),
    ],
)
def test_walls_and_errors_with_status_200(title: str, text: str, detail: str) -> None:
    html = f"<html><head><title>{title}</title></head><body><div><p>{text}</p></div></body></html>"
    said = refused(html)
    assert said.state == State.REJECTED_BLOCKED
    assert detail in said.detail


def test_an_article_about_captchas_is_an_article() -> None:
    head = json_ld(headline="Why captchas fail")
    body = ("Captchas were meant to tell people from robots.", *PARAGRAPHS, *PARAGRAPHS)
    assert found(article_html(head=head, body=body)).title == "Why captchas fail"


def test_front_pages_are_no_articles() -> None:
    cards = "".join(
        f"<h2><a href='/{n}'>A headline of five words {n}</a></h2><p>A teaser of a line, {n}.</p>"
        for n in range(12)
    )
    html = f"<html><head><title>City</title></head><body><main>{cards}</main></body></html>"
    assert refused(html, "https://c.example/city/").state == State.REJECTED_NOT_ARTICLE
    assert refused(article_html(), "https://c.example/").state == State.REJECTED_NOT_ARTICLE


def test_a_stub_is_too_short() -> None:
    said = refused(article_html(body=("Watch the video of the tram here.",)))
    assert said.state == State.REJECTED_TOO_SHORT


# --- bytes


@pytest.mark.parametrize(
    ("charset", "declared", "lang", "words"),
    [
        ("cp1252", False, "", "“Café” – naïve façade"),
        ("cp1252", True, "", "“Café” – naïve façade"),
        ("cp1251", False, "ru", "Трамвай вышел на линию"),
        ("cp1251", True, "ru", "Трамвай вышел на линию"),
        ("cp1250", False, "pl", "Żółta łódź płynie"),
        ("utf-8", False, "", "Żółta łódź – café"),
        ("utf-8-sig", False, "", "Żółta łódź – café"),
        ("utf-16", False, "", "Żółta łódź – café"),
        ("shift_jis", True, "ja", "路面電車が走る"),
        ("gb18030", True, "zh", "有轨电车开通"),
        ("euc-kr", True, "ko", "전차가 달린다"),
    ],
)
def test_charsets(charset: str, declared: bool, lang: str, words: str) -> None:
    meta = f'<meta charset="{charset}">' if declared else ""
    html = (
        f'<html lang="{lang}"><head>{meta}<title>{words}</title></head><body>'
        f"<h1>{words}</h1><p>{words}. {PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p></body></html>"
    )
    article = found(html.encode(charset))
    assert words in article.title
    assert words in article.text


def test_a_wrong_header_does_not_spoil_utf_8() -> None:
    html = article_html(body=("Żółta łódź – café. " + PARAGRAPHS[0], *PARAGRAPHS[1:]))
    article = found(html, headers={"content-type": "text/html; charset=iso-8859-1"})
    assert "Żółta łódź – café" in article.text


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=3000))
def test_any_bytes_give_an_outcome(body: bytes) -> None:
    outcome = extract(page(body))
    assert isinstance(outcome, Article | Rejection)
    assert outcome == extract(page(body))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_pages_give_an_outcome(data: st.DataObject) -> None:
    head = json_ld(headline="A", datePublished="2026-11-20T06:15:00Z", author=["B"])
    body = bytearray(article_html(head=head).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(body) - 1))
        cut = data.draw(st.integers(0, 60))
        body[at : at + cut] = data.draw(
            st.sampled_from([b"", b"\0", b"<", b">", b'"', b"\xff", b"&#0;", b"<table>"])
        )
    outcome = extract(page(bytes(body)))
    assert not (isinstance(outcome, Rejection) and outcome.state == State.FAILED_EXTRACTION)


@pytest.mark.parametrize(
    "junk",
    [
        "<div>" * 10_000,
        "<table><tr><td>" * 3_000,
        "<font>" * 5_000 + "<br><br>" * 5_000,
        "<a href='x'>" * 5_000,
        "\0" * 100_000,
        "&nbsp;" * 100_000,
        '<script type="application/ld+json">' + "[" * 100_000 + "</script>",
        "<p>" + "by " * 50_000 + "</p>",
        "<p>" + "2026-11-20 " * 20_000 + "</p>",
        "<p>" + "_a" * 50_000 + "</p>",
        "<p>" + "(" * 50_000 + "</p>",
    ],
    ids=lambda junk: junk[:20].replace("\0", "NUL"),
)
def test_hostile_markup_is_read_to_an_end(junk: str) -> None:
    assert isinstance(extract(page(article_html(after=junk))), Article | Rejection)


def test_day_precision_is_midnight_utc() -> None:
    article = found(article_html(head='<meta name="date" content="2026-11-20">'))
    assert article.published_at == datetime(2026, 11, 20, tzinfo=UTC)
    assert article.published_precision == "day"
    assert article.published_at.date() == date(2026, 11, 20)
