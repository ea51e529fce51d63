"""Section pages: which links are followed."""

from __future__ import annotations

import pytest

from crawlers.discovery import Entry, Kind, read_listing

URL = "https://example.com/world/"
HEADLINE = "Council votes for a new bridge over the river"


def entries(html: str, url: str = URL) -> dict[str, str | None]:
    listing = read_listing(html.encode(), url, {"Content-Type": "text/html"})
    assert listing.kind is Kind.SECTION
    assert all(entry == Entry(entry.url, entry.title) for entry in listing.entries)
    return {entry.url: entry.title for entry in listing.entries}


def page(*links: tuple[str, str]) -> str:
    anchors = "".join(f'<p><a href="{target}">{text}</a></p>' for target, text in links)
    return f"<!doctype html><html><head><title>World</title></head><body>{anchors}</body></html>"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/2026/03/10/bridge-vote", ""),
        ("/world/2026-03-10/bridge-vote.html", ""),
        ("/council-votes-for-a-new-bridge", ""),
        ("/council_votes_for_a_new_bridge.html", ""),
        ("/world/council-votes-for-a-new-bridge/361373/", ""),
        ("/news.php?id=12", "Ferry stops for winter"),
        ("/?p=2895", "Ferry stops for winter"),
        ("/index.php?option=news&amp;nid=4711", "Ferry stops for winter"),
        ("/a/61363935", "Ferry stops for winter"),
        ("/story/bridge-14569871.php", "Ferry stops for winter"),
        ("/bridge-vote-delayed", "Bridge vote delayed once more"),
        ("/rasende-polizisten/", "Rasende Polizisten fahren durch die Stadt"),
        ("/news/articles/cq5z9x", HEADLINE),
        ("/archives/2146078", "市議会が新しい橋の建設を承認、来年春に着工へ"),
        ("/%E6%96%B0%E9%97%BB/12345.html", "市议会批准修建新的跨河大桥"),
        ("/%D0%BC%D0%BE%D1%81%D1%82-%D1%87%D0%B5%D1%80%D0%B5%D0%B7", HEADLINE),
        ("/themen/verkehr/der-rat-stimmt-fuer-die-neue-bruecke", ""),
        ("/newsletters/morning/2026/03/10/bridge-vote-00061134", ""),
        ("/education/archive/2026/03/plato-to-plumbers/361373/", ""),
        ("https://sport.example.com/cup-final-ends-in-a-draw-again", ""),
    ],
)  # fmt: skip
def test_an_articles_link_is_followed(target: str, text: str) -> None:
    assert len(entries(page((target, text)))) == 1


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/", "The front page of Example, the paper of record"),
        ("/world/", "World"),
        ("/world/#top", HEADLINE),
        ("/politics", "Politics"),
        ("/real-estate-news", "Real Estate News"),
        ("/product/shredder", "シュレッダー・ラミネーター"),
        ("/world/?page=2", "Next page"),
        ("/world/page/2", "The next page of this section of our paper"),
        ("/special-2026", "Special 2026"),
        ("/impressum", "Impressum und alle Angaben zum Verlag"),
        ("/privacy-policy", "How we handle the data of our readers"),
        ("/tag/all-that-we-have-on-bridges", "Everything that we have on bridges"),
        ("/category/news-from-all-over-the-world", "News from all over the world"),
        ("/author/jane-doe", "Jane Doe"),
        ("/themen/verkehr", "Verkehr"),
        ("/videos/", "All of the videos that our reporters made"),
        ("/login?next=/2026/03/10/bridge-vote", "Log in to read all of our articles"),
        ("/articleComments/Council-votes-for-a-new-bridge-14847624.php", "View comments"),
        ("/2026/03/10/accounts-of-the-town.pdf", "Accounts of the town for the year"),
        ("https://elsewhere.example/2026/03/10/not-our-own-story", HEADLINE),
        ("mailto:desk@example.com", "Write to the editors of this paper"),
        ("javascript:void(0)", HEADLINE),
        ("http://[", HEADLINE),
        ("", HEADLINE),
    ],
)
def test_any_other_link_is_not(target: str, text: str) -> None:
    assert entries(page((target, text))) == {}


def test_the_longest_words_of_an_articles_links_are_its_title() -> None:
    html = page(
        ("/2026/03/10/bridge-vote", "<img src=x>"),
        ("/2026/03/10/bridge-vote#comments", HEADLINE.replace(" ", "\n  ", 1)),
        ("/2026/03/10/bridge-vote?utm_source=front", "More"),
    )
    assert entries(html) == {"https://example.com/2026/03/10/bridge-vote": HEADLINE}


def test_a_link_without_words_has_its_label() -> None:
    html = f'<html><a href="/a" aria-label="{HEADLINE}"></a><a href="/b" title="{HEADLINE}"> </a>'
    assert entries(html) == {
        "https://example.com/a": HEADLINE,
        "https://example.com/b": HEADLINE,
    }


def test_links_of_navigation_do_not_count_and_those_marked_nofollow_do() -> None:
    link = f'<a href="/2026/03/10/bridge-vote-{{}}" rel="{{}}">{HEADLINE}</a>'
    html = (
        f"<html><nav>{link.format(1, '')}</nav><footer><p>{link.format(2, '')}</p></footer>"
        f"<article><header>{link.format(3, '')}</header></article>"
        f"{link.format(4, 'nofollow')}{link.format(5, 'sponsored')}</html>"
    )
    urls = [f"https://example.com/2026/03/10/bridge-vote-{number}" for number in (3, 4, 5)]
    assert list(entries(html)) == urls


@pytest.mark.parametrize(
    ("base", "meant"),
    [
        ("/news/", "https://example.com/news/2026/03/10/bridge-vote"),
        ("https://www.example.com/", "https://www.example.com/2026/03/10/bridge-vote"),
        ("http://[", "https://example.com/world/2026/03/10/bridge-vote"),
        ("", "https://example.com/world/2026/03/10/bridge-vote"),
    ],
)
def test_relative_links_hang_on_the_declared_base(base: str, meant: str) -> None:
    html = (
        f'<html><head><base href="{base}"></head><a href="2026/03/10/bridge-vote">Vote</a></html>'
    )
    assert list(entries(html)) == [meant]
