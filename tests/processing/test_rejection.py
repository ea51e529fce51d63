"""What stands in front of an article, or in its place, is told from articles that look like it.

Whole pages of every kind, in many languages, lie in ``tests/evaluation/pages``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html
from lxml.html import HtmlElement

from processing import phrases
from processing.metadata import PageMetadata, read_metadata
from processing.records import Page, Rejection, State
from processing.rejection import (
    Headlines,
    blocked,
    linked_headlines,
    not_article,
    not_html,
    too_short,
)
from processing.texts import count_words

URL = "https://courier.example/city/2026/11/20/tram-line-opens"
SECTION = "https://courier.example/city/"
STORY = (
    "The first tram of the new harbour line left the depot at five in the morning on Friday, with"
    " the mayor at the window and some two hundred people on the platform.\n"
    "Building it took four years and cost ninety million, eleven more than planned, which the city"
    " puts down to a Roman wall that nobody had expected below the fish market."
)
BRIEF = STORY.partition("\n")[0]
NONE_LINKED = Headlines(0)


def tree_of(body: str, head: str = "") -> HtmlElement:
    return html.document_fromstring(f"<html><head>{head}</head><body>{body}</body></html>")


def said_of(head: str = "", url: str = URL) -> PageMetadata:
    return read_metadata(tree_of("<p>x</p>", head), url)


def typed(*kinds: str, og: str = "") -> PageMetadata:
    nodes = "".join(
        f'<script type="application/ld+json">{{"@type": "{k}", "headline": "T"}}</script>'
        for k in kinds
    )
    return said_of(nodes + (f'<meta property="og:type" content="{og}">' if og else ""))


def cards(*teasers: str) -> str:
    return "".join(
        f"<div><h3><a href='/{n}'>Headline number {n} of a front</a></h3><p>{teaser}</p></div>"
        for n, teaser in enumerate(teasers)
    )


# --- walls

WALLS = [
    ("Just a moment...", "", "bot check"),
    ("courier.example", "Checking your browser before you go on.", "bot check"),
    ("Access denied", "You don't have permission to access this page on this server.", "bot check"),
    ("", "Please enable JS and disable any ad blocker", "bot check"),
    ("Robot check", "Bestätigen Sie, dass Sie kein Roboter sind.", "bot check"),
    ("", "あなたがロボットではありません", "bot check"),
    ("Before you continue", "We and our 90 partners store information on your device.", "consent"),
    ("", "Nous et nos 90 partenaires. Continuer sans accepter", "consent wall"),
    ("", "Wir und unsere 90 Partner. Zustimmen und weiter", "consent wall"),
    ("", "You need to enable JavaScript to run this app.", "JavaScript"),
    ("", "It does not work properly without JavaScript enabled.", "JavaScript"),
    ("Page not found", "Try the search.", "error page"),
    ("404 | The Courier", "", "error page"),
    ("Error 503", "The site is temporarily unavailable.", "error page"),
    ("", "Эта страница не найдена", "error page"),
    ("courier.example", "This domain may be for sale.", "error page"),
    ("", "Our journalism is currently unavailable in your region.", "error page"),
]


@pytest.mark.parametrize(("title", "text", "detail"), WALLS)
@pytest.mark.parametrize("claims", [False, True])
def test_walls_are_blocked(title: str, text: str, detail: str, claims: bool) -> None:
    said = blocked(title, text, "", claims=claims)
    assert said is not None
    assert said.state == State.REJECTED_BLOCKED
    assert detail in said.detail


SPOKEN = {
    "a bot check": """
        Bekräfta att du inte är en robot | Bekreft at du ikke er en robot | et ole robotti
        Підтвердіть, що ви не робот | Potvrďte, že nejste robot | Erősítse meg, hogy nem robot
        Confirmați că nu sunteți robot | Robot olmadığınızı doğrulayın | δεν είστε ρομπότ
        יש לאשר שאינך רובוט | 確認您不是機器人 | 请确认您不是机器人 | 로봇이 아닙니다 | रोबोट नहीं हैं
        Anda bukan robot | Xác nhận bạn không phải là người máy | ยืนยันว่าคุณไม่ใช่บอท
        Confirme que no eres un robot | Confirme que você não é um robô
        Conferma che non sei un robot
        Bevestig dat je geen robot bent | Potwierdź, że nie jesteś robotem
        Êtes-vous un robot ?""",
    "a consent wall": """
        Vi trenger ditt samtykke | Vi behöver ditt samtycke | Hyväksy kaikki | Az összes elfogadása
        Acceptați toate | Tümünü kabul et | Принять все | Прийняти всі | Αποδοχή όλων | すべて許可
        全部接受 | 모두 동의 | Terima semua | Chấp nhận tất cả | Přijmout vše | Godta alle
        Accetta tutti | Tout accepter | Aceptar todo | Alles accepteren | Akceptuj wszystko""",
    "needs JavaScript": """
        Veuillez activer JavaScript | Habilita JavaScript | Attiva JavaScript per leggere
        Zet JavaScript aan | Włącz obsługę JavaScript | Включите JavaScript
        Bitte JavaScript aktivieren
        JavaScriptを有効にしてください | 请启用JavaScript | JavaScript를 활성화해 주세요
        JavaScript'i etkinleştirin | Aktifkan JavaScript | Hãy bật JavaScript""",
    "an error page": """
        Sidan kunde inte hittas | Siden findes ikke | Siden finnes ikke | Sivua ei löydy
        Az oldal nem található | Pagina nu a fost găsită | Sayfa bulunamadı | Сторінку не знайдено
        Η σελίδα δεν βρέθηκε | הדף לא נמצא | पेज नहीं मिला | 페이지를 찾을 수 없습니다 | 找不到该页面
        Halaman tidak ditemukan | Không tìm thấy trang | ไม่พบหน้านี้ | Página não encontrada
        Pagina non trovata | Pagina niet gevonden | Strona nie została znaleziona
        Stránka nenalezena
        Domaine à vendre | Questo dominio è in vendita | Dit domein is te koop | HTTP Error 404""",
}


@pytest.mark.parametrize("detail", SPOKEN)
def test_walls_speak_many_languages(detail: str) -> None:
    said = [part.strip() for row in SPOKEN[detail].split("\n") for part in row.split("|") if row]
    found = {line: blocked("", line, "", claims=False) for line in said if line}
    assert len(found) > 10
    assert [line for line, wall in found.items() if not wall or detail not in wall.detail] == []


def test_what_is_only_shown_tells_a_wall_where_no_text_was_found() -> None:
    shown = "Menu Home City Please verify that you are human Terms"
    assert blocked("The Courier", "", shown, claims=False)
    assert blocked("The Courier", STORY, shown, claims=False) is None
    assert blocked("The Courier", "", f"{shown} {STORY * 8}", claims=False) is None


def test_the_reason_quotes_what_was_read() -> None:
    said = blocked("Oops", "This domain is\u00a0for  sale.", "", claims=False)
    assert said is not None
    assert said.detail.endswith(": “domain is for sale”")


def test_a_check_that_asks_for_scripts_is_a_check() -> None:
    text = "JavaScript is disabled. Enable JavaScript and prove that you are not a robot."
    said = blocked("Enable JavaScript", text, "", claims=False)
    assert said is not None
    assert "bot check" in said.detail


def test_a_brief_above_a_banner_is_kept() -> None:
    banner = "We value your privacy. We and our 43 partners use cookies. Accept all"
    assert blocked("Tram opens", f"{BRIEF}\n{banner}", "", claims=True) is None
    assert blocked("Tram opens", f"A tram opened.\n{banner}", "", claims=True)


@pytest.mark.parametrize(
    "headline",
    [
        "Ferry service unavailable for two weeks",
        "Security check at the harbour takes three hours",
        "Access denied: how reporters were kept out of the trial",
        "500 days of rain, and what they did to the river",
        "404: the number that became a museum",
        "Domain name of the old post office sold",
        "Are you human? The test that my mother failed",
        "Why captchas fail",
        "Court bans consent banners that cannot be refused",
        "Bridge under maintenance until Friday",
        "Die Seite, die es nicht mehr gibt",
    ],
)
def test_a_story_about_walls_is_kept(headline: str) -> None:
    text = f"{STORY}\n{headline}, said the mayor. Accept all cookies, the banner read."
    assert blocked(headline, text, "", claims=False) is None
    assert blocked(headline, text, "", claims=True) is None


def test_a_title_that_says_nothing_else_outweighs_teasers() -> None:
    teasers = "\n".join(
        f"A teaser of the paper's other stories, with a few words, {n}." for n in "abcdef"
    )
    assert blocked("Page not found - The Courier", teasers, "", claims=False)
    assert blocked("What a page not found tells about us", teasers, "", claims=False) is None


PRINTABLE = st.characters(codec="utf-8", exclude_categories=["Cc"])


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=300), st.text(max_size=3000), st.text(PRINTABLE), st.booleans())
def test_any_text_has_a_verdict(title: str, text: str, shown: str, claims: bool) -> None:
    for said in (
        blocked(title, text, shown, claims=claims),
        not_article(said_of(), text, NONE_LINKED),
        too_short(text, tree_of(f"<p>{escape(shown)}</p>")),
    ):
        assert said is None or (said.state.startswith("rejected-") and said.detail)


@pytest.mark.parametrize("name", ["CHECKS", "CONSENT", "SCRIPT", "ERRORS"])
def test_no_phrase_is_empty_or_what_any_story_says(name: str) -> None:
    pattern = getattr(phrases, name)
    lines = ["", " ", *STORY.split("\n"), *STORY.split()]
    assert [line for line in lines if pattern.search(line)] == []


@pytest.mark.parametrize(
    "piece",
    ["_a", "a\n", '"', ". ", "a.", "verify "],
    ids=["word", "line", "quote", "stop", "dot", "phrase"],
)
def test_of_an_endless_text_the_beginning_is_judged(piece: str) -> None:
    text = piece * 100_000
    assert blocked("Page not found", text, text, claims=False) is None or count_words(text) < 400
    many = Headlines(1000, tuple(str(n) for n in range(1000)))
    said = not_article(said_of(url=SECTION), text, many)
    assert said is None or said.state == State.REJECTED_NOT_ARTICLE


# --- pages of another kind


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("https://courier.example", True),
        ("https://courier.example/index.html", True),
        ("https://courier.example/?p=4711", False),
        ("https://courier.example/tram", False),
    ],
)
def test_home_pages(url: str, refused: bool) -> None:
    said = not_article(said_of(url=url), STORY, NONE_LINKED)
    assert (said == Rejection(State.REJECTED_NOT_ARTICLE, "the home page of a site")) is refused


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (typed("CollectionPage"), "the page calls itself CollectionPage"),
        (typed("CollectionPage", og="article"), "the page calls itself CollectionPage"),
        (typed("ProfilePage"), "the page calls itself ProfilePage"),
        (typed("NewsArticle", "ImageGallery"), None),
        (typed("WebPage"), None),
        (typed("VideoObject", og="video.other"), "a video page with 32 words"),
        (typed("NewsArticle", og="video.other"), None),
    ],
    ids=[
        "list",
        "list-as-og-article",
        "person",
        "gallery-in-story",
        "page",
        "video",
        "story-of-video",
    ],
)
def test_a_page_is_what_it_calls_itself(said: PageMetadata, detail: str | None) -> None:
    found = not_article(said, BRIEF, NONE_LINKED)
    assert found == (Rejection(State.REJECTED_NOT_ARTICLE, detail) if detail else None)


FIGURES = "Monday\n14° / 5°\nWind 12 km/h from the west\n| Saltmere | 14 | 10 | 2 | 32 |\n" * 4
CLUES = "\n".join(f"- River of the west and of the poets, {n} letters" for n in "abcdefgh")


def test_lists_and_figures_are_no_text() -> None:
    said = not_article(said_of(), FIGURES, NONE_LINKED)
    assert said == Rejection(State.REJECTED_NOT_ARTICLE, "lists or figures, no running text")
    assert not_article(typed("NewsArticle"), FIGURES, NONE_LINKED) is None
    assert not_article(said_of(), f"{FIGURES}\n{BRIEF}", NONE_LINKED) is None


def test_a_table_may_hold_the_text() -> None:
    assert not_article(said_of(), f"|  | {BRIEF} |\n|---|---|", NONE_LINKED) is None


def test_sentences_may_be_broken_into_lines() -> None:
    broken = BRIEF.replace(" on ", "\non ").replace(" and ", "\n  and ").replace(" the ", " the\n")
    assert max(map(count_words, broken.split("\n"))) < 12
    assert not_article(said_of(), broken, NONE_LINKED) is None


def test_scripts_without_stops_are_text() -> None:
    thai = "ชาวบ้านท่าเรือกว่าห้าร้อยคนเดินข้ามสะพานไม้เก่าเมื่อเช้าวันพฤหัสบดี"
    assert not_article(said_of(), f"{thai}\n{thai}", NONE_LINKED) is None


def test_a_puzzle_is_told_by_its_title() -> None:
    puzzle = said_of(
        '<meta property="og:type" content="article">'
        '<meta property="og:title" content="Kreuzworträtsel 12">'
    )
    assert not_article(puzzle, CLUES, NONE_LINKED) == Rejection(
        State.REJECTED_NOT_ARTICLE, "a puzzle"
    )
    assert not_article(puzzle, STORY, NONE_LINKED) is None


TEASERS = (
    "The mayor was at the window.",
    "Nobody had expected it.",
    "It will be withdrawn.",
    "They were on the platform.",
    "Four years went by.",
)


@pytest.mark.parametrize("url", [URL, SECTION])
def test_headlines_with_teasers_are_a_list(url: str) -> None:
    tree = tree_of(f"<h1>City</h1>{cards(*TEASERS)}")
    headlines = linked_headlines(tree)
    said = not_article(said_of(url=url), "\n".join(["City", *TEASERS]), headlines)
    assert said is not None
    assert said.detail == "a list of 5 linked headlines, not one text"


def test_a_story_among_headlines_is_none() -> None:
    story = "".join(f"<p>{line}</p>" for line in STORY.split("\n"))
    tree = tree_of(f"{cards(*TEASERS)}<h1>Tram opens</h1>{story}{cards(*TEASERS)}")
    assert not_article(said_of(url=SECTION), f"{STORY}\n{STORY}", linked_headlines(tree)) is None


def test_little_text_on_a_fronts_address_is_none() -> None:
    headlines = linked_headlines(tree_of(f"<p>{BRIEF}</p>{cards(*TEASERS)}"))
    assert not_article(said_of(url=SECTION), BRIEF, headlines)
    assert not_article(said_of(url=URL), BRIEF, headlines) is None
    assert not_article(said_of(url=SECTION), BRIEF, NONE_LINKED) is None


def test_headlines_are_links_of_some_words() -> None:
    tram = "Tram opens on the old line"
    tree = tree_of(
        f"<a href='/1'><h2>{tram}</h2></a><h3><a href='/2'>{tram}</a></h3>"
        "<li><a href='/3'>路面電車が走りはじめた日</a></li><li><a href='/4'>City</a></li>"
        f"<h2>{tram}</h2>"
        "<p>Between.<!-- no --> After.<script>no()</script></p>"
        f"<h4><a href='/5'>{tram}</a></h4>"
    )
    found = linked_headlines(tree)
    assert found.count == 4
    assert found.stretches[0] == ""
    assert found.stretches[3].endswith("tram opens on the old line between after")
    assert found.share_out("Between. After.\nNot there\nTram opens on the old line") == {3: 2, 1: 6}


# --- stubs


def test_only_paragraphs_of_the_page_count_in_a_short_text() -> None:
    tree = tree_of(f"<button>{BRIEF}</button><p>Watch the tram here.</p>")
    said = too_short(f"{BRIEF}\nWatch the tram here.", tree)
    assert said == Rejection(State.REJECTED_TOO_SHORT, "4 words of text, fewer than 25")
    assert too_short(BRIEF, tree_of(f"<p>{BRIEF}</p>")) is None
    assert too_short(BRIEF, tree_of(f"<div>{BRIEF}</div>")) is None


@pytest.mark.parametrize(
    ("body", "free", "state", "detail"),
    [
        (
            "<figure><img></figure>" * 5,
            None,
            State.REJECTED_NOT_ARTICLE,
            "a gallery of 5 pictures, with 1 word of text",
        ),
        (
            "<figure><a href='/'><img></a></figure>" * 5,
            None,
            State.REJECTED_TOO_SHORT,
            "1 word of text, fewer than 25",
        ),
        (
            "<a href='/'><figure><img></figure></a>" * 5,
            None,
            State.REJECTED_TOO_SHORT,
            "1 word of text, fewer than 25",
        ),
        (
            "<video src='/v'></video>",
            None,
            State.REJECTED_NOT_ARTICLE,
            "a video, with 1 word of text",
        ),
        (
            "<iframe src='https://play.example/embed/1'></iframe>",
            None,
            State.REJECTED_NOT_ARTICLE,
            "a video, with 1 word of text",
        ),
        (
            "<iframe src='https://ads.example/1'></iframe>",
            None,
            State.REJECTED_TOO_SHORT,
            "1 word of text, fewer than 25",
        ),
        (
            "<audio src='/a'></audio>",
            None,
            State.REJECTED_NOT_ARTICLE,
            "a recording, with 1 word of text",
        ),
        (
            "<video src='/v'></video>",
            False,
            State.REJECTED_TOO_SHORT,
            "1 word of text, fewer than 25: the rest is for subscribers",
        ),
        (
            "<script src='/app.js'></script>",
            None,
            State.REJECTED_TOO_SHORT,
            "1 word of text, the page needs JavaScript to show its text: try `render: true`",
        ),
        (
            "<script src='/app.js'></script><p>" + "menu " * 80,
            None,
            State.REJECTED_TOO_SHORT,
            "1 word of text, fewer than 25",
        ),
        (
            "<script type='application/ld+json'>{}</script>",
            None,
            State.REJECTED_TOO_SHORT,
            "1 word of text, fewer than 25",
        ),
    ],
    ids=[
        "gallery",
        "teasers",
        "linked-teasers",
        "video",
        "player",
        "frame",
        "audio",
        "paywall",
        "scripts",
        "menu",
        "data",
    ],
)
def test_a_stub_says_what_there_is_instead(
    body: str, free: bool | None, state: State, detail: str
) -> None:
    assert too_short("Tram", tree_of(body), free) == Rejection(state, detail)


# --- not HTML


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        (b"%PDF-1.7", "", "the body is a PDF document"),
        (b"\x89PNG", "text/html", "the body is a PNG image"),
        (b'{"a": 1}', "", "the body is JSON"),
        (b"<?xml version='1.0'?><rss/>", "text/xml", "the body is a feed or sitemap"),
        (b" \n", "text/html", "the body is empty"),
        (b"Tram opens", "text/plain", "the body is plain text without markup"),
        (b"<p>Tram", "image/png; q=1", "the content type is image/png"),
        (b"<p>Tram", "TEXT/HTML; charset=utf-8", None),
        (b"<p>Tram", "", None),
        ("<p>Tram".encode("utf-16"), "text/html", None),
    ],
    ids=["pdf", "png", "json", "feed", "empty", "plain", "type", "html", "untyped", "utf-16"],
)
def test_what_is_not_html(body: bytes, kind: str, detail: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    said = not_html(Page(URL, body, datetime(2026, 11, 22, tzinfo=UTC), headers))
    assert said == (Rejection(State.REJECTED_NOT_HTML, detail) if detail else None)
