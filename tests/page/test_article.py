"""What belongs to a text is found by its keys and days, from whichever source it came."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from filled_lake import FIRST, NOON, SECOND, article, published

from newslake.page import article as texts
from newslake.reader import Lake
from processing.exceptions import StoreError, UnknownArticle
from processing.publishing import RunFacts, publish
from processing.records import FETCHED, Visit
from processing.staging import StagedSource
from processing.storage import Store
from processing.urls import address_id

STORY = "https://herald.example/a"
LATER = NOON + timedelta(days=90)


@pytest.fixture
def lake(store: Store) -> Lake:
    """A story; weeks later another source's page of its address, and an equal text elsewhere."""
    published(store, FIRST, article("/a", "Text of a."), finished=NOON)
    again = article("/a", "Something else.", LATER, fetched_at=LATER)
    equal = article("/b", "Text of a.", LATER, fetched_at=LATER)
    staged = StagedSource(SECOND, "mirror")
    for each in (again, equal):
        staged.add(
            Visit(each.url, FETCHED, "feed", LATER),
            replace(each, source="mirror", first_seen_at=LATER),
        )
    staged.put(store)
    facts = RunFacts(SECOND, ("mirror",), LATER, {}, {}, {})
    publish(store, facts, clock=lambda: LATER)
    return Lake(store)


def test_a_row_is_found_by_id_and_source(lake: Lake):
    own = texts.find(lake, STORY, None, None)
    assert (own["source"], texts.kind(own)) == ("herald", "article")
    copy = texts.find(lake, own["id"], "mirror", None)
    assert (copy["source"], copy["id"], texts.kind(copy)) == ("mirror", own["id"], "copy")
    assert texts.counterpart(lake, copy) == own
    assert texts.counterpart(lake, own) is None
    with pytest.raises(UnknownArticle, match=r"nothing is published under .* from gale"):
        texts.find(lake, STORY, "gale", None)


def test_a_copy_with_the_same_address_is_found_on_any_day(lake: Lake):
    found = texts.copies(lake, texts.find(lake, STORY, None, None))
    assert found.last < LATER.date()
    assert [(row["source"], row["relation"]) for row in found.rows] == [("mirror", "same-url")]
    assert found.count == 1
    other = texts.find(lake, "https://herald.example/b", None, None)
    assert texts.kind(other) == "article", "equal texts are no copies that far apart"
    assert texts.copies(lake, other).rows == []


def test_no_more_copies_are_listed_than_a_person_reads(lake: Lake, monkeypatch):
    monkeypatch.setattr(texts, "MOST_COPIES", 0)
    found = texts.copies(lake, texts.find(lake, STORY, None, None))
    assert (found.rows, found.count) == ([], 1)


def test_earlier_texts_are_held_against_the_next(store: Store):
    for number, words in enumerate(("One.", "Two.", "Three.")):
        at = NOON + timedelta(days=number)
        told = article("/a", words, fetched_at=at)
        published(store, f"2026111{number}T120000Z-abcdef", told, finished=at)
    lake = Lake(store)
    row = texts.find(lake, STORY, None, None)
    assert [text["revision"] for text in texts.revisions(lake, row)] == [1, 0]
    assert texts.find(lake, STORY, None, 2) == row
    for number, following in ((0, "Two."), (1, "Three.")):
        earlier = texts.find(lake, STORY, None, number)
        assert texts.kind(earlier) == "revision"
        assert texts.counterpart(lake, earlier)["text"] == following
    with pytest.raises(UnknownArticle, match="has no earlier text with the number 3"):
        texts.find(lake, STORY, None, 3)


def test_nothing_is_forgotten_that_was_never_there(lake: Lake):
    assert texts.forgotten_at(lake, STORY) is None
    assert texts.forgotten_at(lake, address_id("https://herald.example/never")) is None


def test_a_file_that_cannot_be_read_is_told_in_a_sentence(lake: Lake):
    row = texts.find(lake, STORY, None, None)
    lake.store.delete(found.key for found in lake.store.objects("copies/date="))
    with pytest.raises(StoreError, match=r"cannot read s3://.*/copies: .*newslake doctor"):
        texts.copies(lake, row)
