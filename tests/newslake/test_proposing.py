"""What is proposed for a source file, and on what evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.catalogue import Source, read_source
from crawlers.discovery import Entry, Kind
from crawlers.finding import Findings, Found
from newslake.proposing import Proposal, document, propose, source_id, source_of
from processing.exceptions import ConfigurationError
from processing.records import TOPICS

HOME = "https://www.paper.de/"
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def proposed(
    urls: Sequence[str] = (f"{HOME}a",),
    sample: Sequence[dict[str, Any]] = (),
    *,
    every: timedelta | None = None,
    newest: datetime = NOW,
    homepage: str = HOME,
    kind: Kind = Kind.FEED,
) -> dict[str, Any]:
    """The values proposed for a site with one listing that gets an entry ``every`` so often."""
    entries = [
        Entry(url, published=newest - every * number if every is not None else None)
        for number, url in enumerate(urls)
    ]
    found = Found(f"{homepage}feed", "link tag", kind, tuple(entries))
    proposals = propose(Findings(homepage, "The Paper", (found,), ()), sample, NOW)
    return {proposal.field: proposal.value for proposal in proposals}


def tried(*paths: str, state: str = "publishable", language: str | None = "de") -> list[dict]:
    """Rows of a dry run."""
    return [{"url": f"{HOME}{path}", "state": state, "language": language} for path in paths]


def numbered(path: str, count: int) -> list[str]:
    return [f"{path}{number}" for number in range(count)]


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "id_"),
    [
        ("www.example-times.com", "example-times"),
        ("www.bbc.co.uk", "bbc"),
        ("harbour-herald.example", "harbour-herald"),
        ("пример.рф", "xn--e1afmkfd"),
        ("The_Paper.example", "the-paper"),
    ],
)
def test_an_id_is_the_name_in_the_domain(host: str, id_: str):
    assert source_id(host) == id_


def test_a_host_without_letters_gives_no_id():
    with pytest.raises(ConfigurationError, match="give one with --id"):
        source_id("___.example")


@pytest.mark.parametrize(
    ("homepage", "country"),
    [
        ("https://www.paper.de/", "de"),
        ("https://paper.co.uk/", "gb"),
        ("https://paper.com/", None),
        ("https://paper.tv/", None),
        ("https://paper.eu/", None),
    ],
)
def test_only_a_countrys_own_domain_tells_a_country(homepage: str, country: str | None):
    assert proposed(homepage=homepage).get("country") == country


# --- schedule and age -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "schedule"),
    [
        (timedelta(minutes=2), "every-15-minutes"),
        (timedelta(minutes=30), "hourly"),
        (4 * HOUR, "every-6-hours"),
        (30 * HOUR, "daily"),
        (None, "hourly"),
        (timedelta(0), "hourly"),
    ],
)
def test_a_source_is_due_as_often_as_its_entries_come(every, schedule):
    assert proposed(numbered(HOME, 20), every=every)["schedule"] == schedule


def test_the_days_on_which_pages_changed_tell_no_schedule():
    entries = tuple(Entry(url, modified=NOW) for url in numbered(HOME, 20))
    listing = Found(f"{HOME}sitemap.xml", "robots.txt", Kind.SITEMAP, entries)
    findings = Findings(HOME, "The Paper", (listing,), ())
    assert Proposal("schedule", "hourly") in propose(findings, (), NOW)


@pytest.mark.parametrize(("days", "most"), [(2, None), (8, 30), (40, 365), (800, 3650)])
def test_a_source_with_old_entries_only_takes_in_older_ones(days: int, most: int | None):
    newest = NOW - timedelta(days=days)
    assert proposed(every=HOUR, newest=newest).get("max_age_days") == most


# --- rules ----------------------------------------------------------------------------------


def test_folders_that_hold_no_articles_by_their_names_are_denied():
    urls = [
        f"{HOME}{path}" for path in ("Video/a", "sport/live-ticker/b", "c", "d", "e/videos", "f")
    ]
    assert proposed(urls)["deny"] == ["/Video/", "/live-ticker/"]


def test_a_folder_with_most_of_the_pages_is_not_denied_by_its_name():
    assert "deny" not in proposed([*numbered(f"{HOME}live/", 3), f"{HOME}x"])


def test_a_folder_of_which_all_pages_were_rejected_is_denied():
    sample = [
        *tried(*numbered("news/games/", 2), "one/x", state="rejected-not-article"),
        *tried(*numbered("news/", 3)),
        *tried("mixed/a", "mixed/b", state="rejected-not-article"),
        *tried("mixed/c", "gone/a", "gone/b", state="rejected-too-short"),
    ]
    assert proposed(sample=sample)["deny"] == ["/games/"]


def test_a_pattern_of_all_articles_that_no_other_page_has_is_allowed():
    articles = tried(*numbered("2026/03/", 8))
    others = tried("a", "b", state="rejected-not-article")
    assert proposed(sample=[*articles, *others])["allow"] == [r"/20\d\d/"]


@pytest.mark.parametrize(
    ("articles", "others"),
    [
        (tried(*numbered("2026/03/", 7)), tried("a", "b", state="rejected-not-article")),
        (tried(*numbered("2026/03/", 8)), tried("a", state="rejected-not-article")),
        (tried(*numbered("2026/03/", 8)), tried("a", "b", state="failed-http")),
        (tried(*numbered("2026/03/", 8), "x"), tried("a", "b", state="rejected-not-article")),
        (tried(*numbered("2026/03/", 8)), tried("d/a", "d/b", state="rejected-not-article")),
    ],
    ids=["few articles", "few others", "others unknown", "an article without it", "denied anyway"],
)
def test_without_the_evidence_nothing_is_allowed_for(articles, others):
    assert "allow" not in proposed(sample=[*articles, *others])


PATHS = st.lists(
    st.sampled_from(["2026", "03", "news", "a-123", "story-1234567", "video", "live", "x.html"]),
    min_size=1,
    max_size=4,
).map("/".join)
STATES = st.sampled_from(
    ["publishable", "rejected-not-article", "rejected-not-html", "failed-http"]
)
SAMPLES = st.dictionaries(PATHS, STATES, max_size=20)


@settings(deadline=None)
@given(SAMPLES)
def test_no_rule_from_the_sample_loses_an_article_of_it(sample: dict[str, str]):
    rows = [row for path, state in sample.items() for row in tried(path, state=state)]
    found = proposed(sample=rows)  # its listing names none of them, so no name denies any
    source = Source.model_validate({"id": "x", **found})
    for row in rows:
        if row["state"] == "publishable":
            assert not any(re.search(rule, row["url"]) for rule in source.deny)
            assert not source.allow or any(re.search(rule, row["url"]) for rule in source.allow)


# --- topics and language --------------------------------------------------------------------


def test_sections_that_the_lexicon_knows_become_topics():
    paths = (
        "Sport/a",
        "sport/b",
        "politik/a",
        "en/business/a",
        "en/business/b",
        "news/a",
        "news/b",
    )
    paths += ("sport/politik/a", "sport/politik/b", "2026/kultur/a", "2026/kultur/b")
    assert proposed([f"{HOME}{path}" for path in paths])["topics"] == {
        "/sport/": "sport",
        "/en/business/": "economy-business-and-finance",
        "/kultur/": "arts-culture-entertainment-and-media",
    }


def test_a_section_in_another_script_is_written_as_it_is_read():
    urls = [f"{HOME}%D1%81%D0%BF%D0%BE%D1%80%D1%82/{name}" for name in "ab"]
    assert proposed(urls)["topics"] == {"/спорт/": "sport"}


def test_the_language_is_that_of_most_articles():
    german, english = tried("a", "b", language="de-AT"), tried("c", language="en")
    assert proposed(sample=[*german, *english])["language"] == "de"
    assert "language" not in proposed(sample=[*german, *english, *tried("d", language=None)])
    assert "language" not in proposed()


# --- the file -------------------------------------------------------------------------------


def test_a_file_has_its_fields_in_their_order_and_reasons_beside_them():
    proposals = [
        Proposal("deny", [r"/live/", r"it's\d"], "no articles: live by its name"),
        Proposal("topics", {"/sport/": "sport"}, "by the names of its sections"),
        Proposal("feeds", [f"{HOME}feed"]),
        Proposal("homepage", HOME),
        Proposal("name", "No"),
        Proposal("country", "no"),
    ]
    assert document("paper", proposals) == (
        "id: paper\n"
        "name: 'No'\n"
        "homepage: https://www.paper.de/\n"
        "country: 'no'\n"
        "feeds:\n"
        "  - https://www.paper.de/feed\n"
        "deny: ['/live/', 'it''s\\d']  # no articles: live by its name\n"
        "topics:  # by the names of its sections\n"
        "  /sport/: sport\n"
    )


TEXT = st.text(max_size=20).map(lambda text: " ".join(text.split())).filter(bool)
PROPOSALS = st.fixed_dictionaries(
    {"name": TEXT, "homepage": st.just(HOME), "feeds": st.just([HOME])},
    optional={
        "country": st.sampled_from(["no", "de"]),
        "language": st.sampled_from(["no", "pt-BR"]),
        "schedule": st.just("daily"),
        "sitemaps": st.lists(st.just(f"{HOME}x.xml?a=b:c#d"), min_size=1),
        "allow": st.lists(
            st.sampled_from([r"/20\d\d/", "it's", r"[#&*]", ": #", r"a\\"]), min_size=1
        ),
        "deny": st.lists(st.from_regex(r"/[\w%~-]{1,9}/", fullmatch=True), min_size=1),
        "max_age_days": st.just(30),
        "topics": st.dictionaries(TEXT, st.sampled_from(TOPICS), min_size=1),
    },
)


@settings(deadline=None)
@given(PROPOSALS)
def test_a_file_is_read_as_the_source_that_was_proposed(tmp_path_factory, values):
    proposals = [Proposal(name, value, "so it is") for name, value in values.items()]
    file: Path = tmp_path_factory.mktemp("sources") / "paper.yaml"
    file.write_text(document("paper", proposals), encoding="utf-8")
    assert read_source(file) == source_of("paper", proposals)
