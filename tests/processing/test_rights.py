"""What publishers say of their pages' rights, place by place, and put together."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from processing.records import Rights
from processing.rights import (
    AI_AGENTS,
    RobotsTxt,
    Statement,
    of_headers,
    of_html,
    of_page,
    of_tdmrep,
    reserved,
    together,
)

URL = "https://courier.example/news/2026/11/tram?page=2"
LICENCE = "https://courier.example/license.xml"

# A content delivery network writes files like this one for its customers.
MANAGED = """\
# As a condition of accessing this website, you agree to abide by:
# (a) If a content-signal = yes, you may collect content for the corresponding use.
User-Agent: *
Content-Signal: search=yes,ai-train=no
Allow: /

User-agent: Amazonbot
User-agent: GPTBot
Disallow: /
"""


def robots(text: str, url: str = URL) -> Statement:
    return RobotsTxt(text).says(url)


@pytest.mark.parametrize(
    ("text", "verdict", "evidence"),
    [
        ("", "unknown", ()),
        ("User-agent: *\nDisallow: /search", "unknown", ()),
        ("User-agent: Googlebot\nDisallow: /", "unknown", ()),
        ("User-agent: GPTBot\nAllow: /\n\nUser-agent: CCBot\nDisallow:", "unknown", ()),
        ("User-agent: GPTBot\nDisallow: /shop/", "unknown", ()),
        ("User-agent: GPTBot\nDisallow: /news/\nAllow: /news/2026/", "unknown", ()),
        (
            "User-agent: GPTBot\nDisallow: / # all of it",
            "denied",
            ("robots.txt: User-agent: GPTBot / Disallow: /",),
        ),
        (
            "user-agent: claudebot/1.0\nuser-agent: ccbot\ndisallow: /news",
            "denied",
            ("robots.txt: user-agent: claudebot/1.0 / disallow: /news",),
        ),
        (
            "\ufeffUser-agent: Bytespider\nSitemap: /s.xml\nDisallow: /*/tram?page=",
            "denied",
            ("robots.txt: User-agent: Bytespider / Disallow: /*/tram?page=",),
        ),
        (
            "User-agent: GPTBot\nDisallow: /shop\n\nUser-agent: GPTBot\nDisallow: /news/*=2$",
            "denied",
            ("robots.txt: User-agent: GPTBot / Disallow: /news/*=2$",),
        ),
        ("User-agent: GPTBot\nDisallow: /news$\nUser-agent:\nDisallow: /", "unknown", ()),
        ("User-agent: CCBot\nDisallow: /n%65ws/", "denied", None),
        ("User-agent: *GPTBot*\nDisallow: /", "denied", None),
        (
            MANAGED,
            "denied",
            (
                "robots.txt: User-agent: Amazonbot / Disallow: /",
                "robots.txt: Content-Signal: search=yes,ai-train=no",
            ),
        ),
        (
            "User-agent: *\nContent-signal: ai-train = YES, ai-input=yes",
            "allowed",
            ("robots.txt: Content-signal: ai-train = YES, ai-input=yes",),
        ),
        ("User-agent: *\nContent-Signal: ai-input=no, ai-train=yes", "denied", None),
        ("User-agent: *\nContent-Signal: search=no", "unknown", ()),
        ("User-agent: *\nContent-Signal: ai-train=perhaps", "unknown", ()),
        ("Content-Signal: ai-train=no\nUser-agent: *\nAllow: /", "denied", None),
        ("User-agent: Googlebot\nContent-Signal: ai-train=no", "unknown", ()),
        (
            "User-agent: *\nContent-Signal: ai-train=no\n\n"
            "User-agent: newslake\nContent-Signal: ai-train=yes",
            "allowed",
            ("robots.txt: Content-Signal: ai-train=yes",),
        ),
        ("User-agent: *\nContent-Signal: /shop/ ai-train=no", "unknown", ()),
        ("User-agent: *\nContent-Signal: /news/ ai-train=no", "denied", None),
        (
            "User-agent: *\nContent-Signal: ai-train=no\nContent-Signal: /news/ ai-train=yes",
            "allowed",
            ("robots.txt: Content-Signal: /news/ ai-train=yes",),
        ),
    ],
)
def test_robots_txt_speaks_of_ai(text: str, verdict: str, evidence: tuple[str, ...] | None) -> None:
    said = robots(text)
    assert (said.ai, said.robots) == (verdict, "allowed")
    assert (said.tdm, said.noindex, said.licence) == ("unknown", "unknown", None)
    assert evidence is None or said.evidence == evidence
    assert bool(said.evidence) == (verdict != "unknown")


@pytest.mark.parametrize("agent", sorted(AI_AGENTS))
def test_every_known_ai_agent_counts_by_its_own_name(agent: str) -> None:
    text = f"User-agent: {agent}\nDisallow: /\n\nUser-agent: {agent}-of-another-house\nAllow: /"
    assert robots(text).ai == "denied"
    assert robots(f"User-agent: not-{agent}\nDisallow: /").ai == "unknown"


@pytest.mark.parametrize(
    ("text", "verdict", "evidence"),
    [
        ("", "allowed", ()),
        ("User-agent: news\nUser-agent: lake\nDisallow: /", "allowed", ()),
        (
            "User-agent: *\nDisallow: /news",
            "denied",
            ("robots.txt: User-agent: * / Disallow: /news",),
        ),
        (
            "User-agent: *\nAllow: /\n\nUser-agent: NewsLake/0.1\nDisallow: /",
            "denied",
            ("robots.txt: User-agent: NewsLake/0.1 / Disallow: /",),
        ),
        ("User-agent: *\nDisallow: /\n\nUser-agent: newslake\nAllow: /news", "allowed", ()),
        # Protego forgives what the RFC does not; then only the agent's line can be quoted.
        ("Useragent *\nDisalow: /news", "denied", ("robots.txt: Useragent *",)),
        ("Disallow: /\nUser-agent: *\nAllow: /", "allowed", ()),
    ],
)
def test_robots_txt_speaks_to_us(text: str, verdict: str, evidence: tuple[str, ...]) -> None:
    said = robots(text)
    assert (said.robots, said.evidence) == (verdict, evidence)
    assert RobotsTxt(text).allows(URL) == (verdict == "allowed")


def test_a_crawl_delay_is_our_own_groups() -> None:
    text = "User-agent: *\nCrawl-delay: 5\n\nUser-agent: Bingbot\nCrawl-delay: 30"
    assert RobotsTxt(text).crawl_delay == 5.0
    assert RobotsTxt(f"{text}\n\nUser-agent: newslake\nAllow: /").crawl_delay is None


def test_a_robots_txt_with_an_rsl_licence_names_it_whatever_group_it_stands_in() -> None:
    text = f"User-agent: GPTBot\nDisallow: /\nLicense: /terms\nLicense: {LICENCE}\nHost: a.example"
    said = robots(text)
    assert said.licence == LICENCE
    assert said.evidence == (
        "robots.txt: User-agent: GPTBot / Disallow: /",
        f"robots.txt: License: {LICENCE}",
    )


def test_thousands_of_agents_with_thousands_of_rules_are_no_burden() -> None:
    # Agents times rules: by Protego alone this file takes minutes, and the test's time is up.
    agents = [f"User-agent: bot{n}" for n in range(10_000)]
    rules = [f"Disallow: /{n}*{n}" for n in range(15_000)]
    file = RobotsTxt("\n".join([*agents, "User-agent: GPTBot", "User-agent: CCBot", *rules]))
    assert file.says("https://courier.example/7/7").ai == "denied"
    assert file.says(URL).ai == "unknown"


def tdmrep(*rules: object) -> bytes:
    return json.dumps(rules).encode()


RESERVED = {"location": "/", "tdm-reservation": 1}


@pytest.mark.parametrize(
    ("body", "verdict", "evidence"),
    [
        (tdmrep(RESERVED), "denied", "tdmrep.json: location /, tdm-reservation 1"),
        (json.dumps(RESERVED).encode(), "denied", "tdmrep.json: location /, tdm-reservation 1"),
        (tdmrep(RESERVED | {"tdm-reservation": "1"}), "denied", None),
        (b"\xef\xbb\xbf" + tdmrep(RESERVED), "denied", None),
        (tdmrep(RESERVED | {"tdm-reservation": 0}), "allowed", None),
        (tdmrep(RESERVED | {"tdm-reservation": 2}), "unknown", None),
        (tdmrep(RESERVED | {"tdm-reservation": True}), "unknown", None),
        (tdmrep({"location": "/"}), "unknown", None),
        (tdmrep({"tdm-reservation": 1}), "unknown", None),
        (
            tdmrep(RESERVED | {"tdm-policy": "https://courier.example/tdm.json"}),
            "denied",
            "tdmrep.json: location /, tdm-reservation 1,"
            " tdm-policy https://courier.example/tdm.json",
        ),
        (tdmrep({"location": "/shop/", "tdm-reservation": 1}), "unknown", None),
        (tdmrep({"location": "/news/*/tram", "tdm-reservation": 1}), "denied", None),
        (tdmrep({"location": "/news/*/tram$", "tdm-reservation": 1}), "unknown", None),
        (tdmrep({"location": "*page=2$", "tdm-reservation": 1}), "denied", None),
        # "The most specific match is the first in sequence."
        (tdmrep({"location": "/news/", "tdm-reservation": 0}, RESERVED), "allowed", None),
        (tdmrep(RESERVED, {"location": "/news/", "tdm-reservation": 0}), "denied", None),
        (tdmrep("rules", None, RESERVED), "denied", None),
        (b"<html>Not found</html>", "unknown", None),
        (b'{"tdm": 1}', "unknown", None),
        (b"1", "unknown", None),
        (b"[" * 100_000, "unknown", None),
        (b"\xff\xfe\x00", "unknown", None),
    ],
)
def test_tdmrep_json_reserves_by_its_first_rule_that_fits(
    body: bytes, verdict: str, evidence: str | None
) -> None:
    said = of_tdmrep(body, URL)
    assert said.tdm == verdict
    assert evidence is None or said.evidence == (evidence,)
    assert bool(said.evidence) == (verdict != "unknown")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Statement()),
        ({"Content-Type": "text/html", "X-Robots-Tag": "nosnippet"}, Statement()),
        (
            {"TDM-Reservation": "1", "tdm-policy": "https://courier.example/tdm.json"},
            Statement(
                tdm="denied",
                evidence=("TDM-Reservation: 1", "TDM-Policy: https://courier.example/tdm.json"),
            ),
        ),
        (
            {"tdm-reservation": " 0 "},
            Statement(tdm="allowed", evidence=("TDM-Reservation: 0",)),
        ),
        (
            {"tdm-reservation": "0, 1"},
            Statement(tdm="denied", evidence=("TDM-Reservation: 0, 1",)),
        ),
        ({"tdm-reservation": "yes", "tdm-policy": "/tdm"}, Statement()),
        (
            {"x-robots-tag": "noai, noimageai"},
            Statement(ai="denied", evidence=("X-Robots-Tag: noai, noimageai",)),
        ),
        ({"x-robots-tag": "noimageai"}, Statement()),
        (
            {"X-ROBOTS-TAG": "NoIndex,nofollow"},
            Statement(noindex="denied", evidence=("X-Robots-Tag: NoIndex,nofollow",)),
        ),
        ({"x-robots-tag": "none"}, Statement(noindex="denied", evidence=("X-Robots-Tag: none",))),
        ({"x-robots-tag": "googlebot: noindex, noai"}, Statement()),
        (
            {"x-robots-tag": "googlebot: nofollow, newslake: noindex"},
            Statement(
                noindex="denied",
                evidence=("X-Robots-Tag: googlebot: nofollow, newslake: noindex",),
            ),
        ),
        ({"x-robots-tag": "max-image-preview: none, max-snippet:-1"}, Statement()),
        (
            {"x-robots-tag": "unavailable_after: 25 Jun 2026 15:00:00 PST, noai"},
            Statement(
                ai="denied",
                evidence=("X-Robots-Tag: unavailable_after: 25 Jun 2026 15:00:00 PST, noai",),
            ),
        ),
        (
            {"content-signal": "ai-train=yes, search=yes, ai-input=yes"},
            Statement(
                ai="allowed", evidence=("Content-Signal: ai-train=yes, search=yes, ai-input=yes",)
            ),
        ),
        (
            {
                "link": '<https://a.example/wp-json/>; rel="https://api.w.org/", '
                f'<{LICENCE}>; rel="license"; type="application/rsl+xml", '
                "<https://b.example/other>; rel=license"
            },
            Statement(
                licence=LICENCE,
                evidence=(
                    f'Link: <{LICENCE}>; rel="license"; type="application/rsl+xml"',
                    "Link: <https://b.example/other>; rel=license",
                ),
            ),
        ),
        ({"link": '</terms>; rel="license"'}, Statement()),
        ({"link": '<javascript:alert(1)>; rel="license"'}, Statement()),
        ({"link": f'<{LICENCE}>; title="license"'}, Statement()),
    ],
)
def test_response_headers(headers: dict[str, str], expected: Statement) -> None:
    assert of_headers(headers) == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("", Statement()),
        ('<meta name="robots" content="index, follow, max-image-preview:large">', Statement()),
        ('<meta name="robots" content="max-image-preview: none">', Statement()),
        ('<meta name="googlebot" content="noindex, noai"><meta name="robots">', Statement()),
        (
            '<meta name="Robots" content="noai, noimageai">',
            Statement(ai="denied", evidence=('<meta name="robots" content="noai, noimageai">',)),
        ),
        (
            '<meta name="newslake" content="none">',
            Statement(noindex="denied", evidence=('<meta name="newslake" content="none">',)),
        ),
        (
            '<meta name="tdm-policy" content="/tdm"><meta name="tdm-reservation" content="1">',
            Statement(
                tdm="denied",
                evidence=(
                    '<meta name="tdm-reservation" content="1">',
                    '<meta name="tdm-policy" content="/tdm">',
                ),
            ),
        ),
        (
            '<meta name="tdm-reservation" content="0">',
            Statement(tdm="allowed", evidence=('<meta name="tdm-reservation" content="0">',)),
        ),
        ('<meta name="tdm-policy" content="/tdm">', Statement()),
        ('<!-- <meta name="robots" content="noindex"> -->', Statement()),
        (
            '<link rel="license" href="/terms">',
            Statement(
                licence="https://courier.example/terms",
                evidence=('<link rel="license" href="/terms">',),
            ),
        ),
        (
            f'<link rel="alternate" type="application/rsl+xml" href="{LICENCE}">',
            Statement(licence=LICENCE, evidence=(f'<link rel="alternate" href="{LICENCE}">',)),
        ),
        (
            f'<p><a rel="license nofollow" href="{LICENCE}">CC BY</a></p>',
            Statement(licence=LICENCE, evidence=(f'<a rel="license nofollow" href="{LICENCE}">',)),
        ),
        (f'<figure><a rel="license" href="{LICENCE}">photo: CC BY</a></figure>', Statement()),
        ('<link rel="license" href="mailto:rights@courier.example">', Statement()),
        ('<link rel="license" href="https://[bad">', Statement()),
        ('<link rel="license">', Statement()),
    ],
)
def test_a_page_speaks_in_its_tags(markup: str, expected: Statement) -> None:
    page = f"<html><head><title>T</title>{markup}</head><body><p>Words.</p></body></html>"
    assert of_page(html.fromstring(page), URL) == expected
    assert of_html(page.encode(), URL) == expected


def test_the_heads_licence_comes_before_a_link_in_the_text() -> None:
    page = f'<p><a rel="license" href="/old">x</a><link rel="license" href="{LICENCE}"></p>'
    assert of_html(page.encode(), URL).licence == LICENCE


def test_a_denial_wins_then_a_permission_and_the_first_licence() -> None:
    page = Statement(tdm="allowed", licence="https://a.example/", evidence=("page",))
    header = Statement(ai="allowed", noindex="denied", evidence=("header", "page"))
    site = Statement("allowed", "denied", licence="https://b.example/", evidence=("site",))
    assert together(page, header, site) == Statement(
        robots="allowed",
        tdm="denied",
        ai="allowed",
        noindex="denied",
        licence="https://a.example/",
        evidence=("page", "header", "site"),
    )
    assert together() == Statement()


def test_evidence_stays_short_and_in_one_line() -> None:
    said = Statement(evidence=("a\x1b[31m\r\nb\ud800", "", "x" * 300, *map(str, range(1000))))
    assert said.evidence[:2] == ("a [31m b", "x" * 199 + "…")
    assert sum(map(len, said.evidence)) <= 1000
    "".join(said.evidence).encode()


@pytest.mark.parametrize(
    ("honour", "reason"),
    [
        ([], None),
        (["tdm"], None),
        (["noindex"], None),
        (["ai"], "ai is reserved: robots.txt: User-agent: GPTBot / Disallow: /"),
        (["tdm", "ai"], "ai is reserved: robots.txt: User-agent: GPTBot / Disallow: /"),
    ],
)
def test_only_what_is_honoured_and_denied_is_reserved(
    honour: list[str], reason: str | None
) -> None:
    text = f"User-agent: GPTBot\nDisallow: /\n\nLicense: {LICENCE}"
    statement = together(of_headers({"tdm-reservation": "0"}), robots(text))
    assert reserved(statement, honour) == reason


@pytest.mark.parametrize(
    ("right", "statement"),
    [
        ("tdm", of_tdmrep(tdmrep(RESERVED), URL)),
        ("tdm", of_headers({"tdm-reservation": "1"})),
        ("tdm", of_html(b'<meta name="tdm-reservation" content="1">', URL)),
        ("ai", robots(MANAGED)),
        ("ai", of_headers({"content-signal": "ai-input=no"})),
        ("ai", of_html(b'<meta name="robots" content="noai">', URL)),
        ("noindex", of_headers({"x-robots-tag": "none"})),
        ("noindex", of_html(b'<meta name="robots" content="noindex">', URL)),
    ],
)
def test_the_reason_quotes_what_reserves(right: str, statement: Statement) -> None:
    others = Statement(evidence=(f"Link: <{LICENCE}>",))
    reason = reserved(together(others, statement), ["tdm", "ai", "noindex"])
    assert reason == f"{right} is reserved: {'; '.join(statement.evidence)}"


def test_a_statement_becomes_the_rights_of_the_dataset() -> None:
    assert Statement().rights == Rights("unknown", "unknown", "unknown")
    said = Statement("allowed", "denied", "denied", "denied", LICENCE, ("one", "two"))
    assert said.rights == Rights("allowed", "denied", "denied", LICENCE, "one; two")


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        [],
        {"robots": "no", "tdm": 1, "ai": ["denied"], "noindex": None, "more": "x"},
        {"licence": "javascript:alert(1)", "evidence": "one"},
        {"licence": {"url": LICENCE}, "evidence": [1, None, {}]},
    ],
)
def test_what_is_no_statement_says_nothing(said) -> None:
    assert Statement.from_json(said) == Statement()
    assert Statement().to_json() == {}


verdicts = st.sampled_from(["allowed", "denied", "unknown"])
statements = st.builds(
    Statement,
    robots=verdicts,
    tdm=verdicts,
    ai=verdicts,
    noindex=verdicts,
    licence=st.sampled_from([None, LICENCE, "https://b.example/"]),
    evidence=st.lists(st.text(max_size=450), max_size=8).map(tuple),
)


@given(statements)
def test_a_statement_survives_json(statement: Statement) -> None:
    assert Statement.from_json(json.loads(json.dumps(statement.to_json()))) == statement


@given(st.lists(statements, max_size=4))
def test_no_order_hides_a_denial(said: list[Statement]) -> None:
    for order in itertools.islice(itertools.permutations(said), 24):
        whole = together(*order)
        for right in ("robots", "tdm", "ai", "noindex"):
            stated = {getattr(statement, right) for statement in said}
            assert (getattr(whole, right) == "denied") == ("denied" in stated)
            assert (getattr(whole, right) == "unknown") == (stated <= {"unknown"})
        assert bool(whole.licence) == any(statement.licence for statement in said)


FRAGMENTS = (
    b"User-agent: *", b"User-agent:", b"GPTBot", b"Disallow: /", b"Allow: /*$", b"Content-Signal:",
    b"ai-train=no", b"License: https://[", b"https://a.example/", b"\n", b"\r", b"#", b"%", b"*",
    b"$", b":", b'[{"location":', b'"/*"', b',"tdm-reservation":', b"1", b"}]", b'"\\ud800"',
    b"<meta name=robots content=", b"noai", b"noindex", b">", b"<a rel=license href=", b"<figure>",
    b"<link rel=license href=", b"<!--", b"&#xD800;", b"\x00", b"\xff",
)  # fmt: skip
anything = st.one_of(
    st.binary(max_size=300), st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join)
)


@settings(deadline=None, max_examples=300)
@given(anything)
def test_whatever_stands_there_no_reader_raises(body: bytes) -> None:
    text = body.decode("utf-8", "replace")
    wide = body.decode("utf-8", "surrogateescape")
    file = RobotsTxt(text)
    names = ("tdm-reservation", "tdm-policy", "x-robots-tag", "content-signal", "link")
    for said in (
        file.says(URL),
        of_tdmrep(body, URL),
        of_html(body, URL),
        of_headers(dict.fromkeys(names, wide)),
    ):
        assert Statement.from_json(said.to_json()) == said
        json.dumps(said.to_json(), ensure_ascii=False).encode()
    assert file.crawl_delay is None or file.crawl_delay >= 0
