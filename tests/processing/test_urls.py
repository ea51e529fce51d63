"""URL keys: what must be one page, what must stay two, and that keys are stable."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.urls import url_id, url_key

PLAIN = "https://example.com/2026/11/harbour-wall-4711"
SAME = [
    "http://example.com/2026/11/harbour-wall-4711",
    "https://www.example.com/2026/11/harbour-wall-4711/",
    "https://m.example.com/2026/11/harbour-wall-4711",
    "https://amp.example.com/2026/11/harbour-wall-4711",
    "https://example.com:443/2026/11/harbour-wall-4711",
    "https://EXAMPLE.com/2026/11/harbour-wall-4711",
    "https://example.com//2026/11/harbour-wall-4711",
    "https://example.com/2026/11/harbour-wall-4711#comments",
    "https://example.com/2026/11/harbour-wall-4711?utm_source=rss&utm_medium=feed",
    "https://example.com/2026/11/harbour-wall-4711?fbclid=IwAR0&gclid=1",
    "https://example.com/2026/11/harbour-wall-4711?ref=rss",
    "https://example.com/2026/11/harbour-wall-4711?at_medium=RSS&at_campaign=KARANGA",
    "https://example.com/2026/11/harbour-wall-4711?cmp=share_btn",
    "https://example.com/2026/11/harbour-wall-4711?outputType=amp",
    "https://example.com/2026/11/harbour-wall-4711/amp",
    "https://example.com/2026/11/harbour-wall-4711/amp/",
    "https://example.com/2026/11/harbour-wall-4711/index.html",
    "https://www.google.com/amp/s/example.com/2026/11/harbour-wall-4711",
    "https://example-com.cdn.ampproject.org/c/s/example.com/2026/11/harbour-wall-4711",
    " https://example.com/2026/11/harbour-wall-4711 ",
]
DIFFERENT = [
    ("https://example.com/story?id=1", "https://example.com/story?id=2"),
    ("https://example.com/story?articleId=1", "https://example.com/story?articleId=2"),
    ("https://example.com/story?sid=1", "https://example.com/story?sid=2"),
    ("https://example.com/s.php?p=1", "https://example.com/s.php?p=2"),
    ("https://example.com/AbC", "https://example.com/abc"),
    ("https://example.com/a", "https://example.com/b"),
    ("https://example.com/a", "https://example.org/a"),
    ("https://blog.example.com/a", "https://example.com/a"),
    ("http://127.0.0.1:8001/a", "http://127.0.0.1:8002/a"),
    ("https://example.com/ampere-law", "https://example.com/ere-law"),
    ("https://example.com/a?page=1", "https://example.com/a?page=2"),
    ("https://example.com/a%2Fb", "https://example.com/a/b"),
]
PATHS = st.lists(st.text("abcXYZ019-_äß中", min_size=1, max_size=8), min_size=1, max_size=4)


@pytest.mark.parametrize("variant", SAME)
def test_variants_of_one_page_have_one_key(variant):
    assert url_key(variant) == url_key(PLAIN) == "example.com/2026/11/harbour-wall-4711"


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_pages_have_different_keys(one, other):
    assert url_key(one) != url_key(other)


def test_the_order_of_the_query_does_not_matter():
    assert url_key("https://example.com/a?b=2&a=1") == url_key("https://example.com/a?a=1&b=2")


def test_an_umlaut_is_the_same_written_or_encoded():
    written = "https://example.de/kultur/orgel-für-jürgen"
    assert url_key(written) == url_key("https://example.de/kultur/" + quote("orgel-für-jürgen"))


@pytest.mark.parametrize(
    "bad", ["", "example.com/a", "/a", "mailto:a@b.c", "ftp://a/b", "http:///a"]
)
def test_what_is_no_web_address_is_refused(bad):
    with pytest.raises(ValueError, match="not an absolute"):
        url_key(bad)


@given(PATHS, st.dictionaries(st.text("abcid", min_size=1, max_size=5), st.text(max_size=5)))
def test_a_key_is_its_own_key(path, query):
    pairs = "&".join(f"{quote(n)}={quote(v)}" for n, v in query.items())
    url = "https://example.com/" + "/".join(map(quote, path)) + (f"?{pairs}" if pairs else "")
    key = url_key(url)
    assert url_key(f"http://{key}") == key
    assert url_key(f"{url}{'&' if pairs else '?'}utm_source=x#top") == key


@given(st.text(max_size=60))
def test_any_text_gives_a_key_or_a_value_error(text):
    for url in (text, f"https://{text}", f"https://example.com/{text}"):
        try:
            key = url_key(url)
        except ValueError:
            continue
        assert len(url_id(key)) == 32
