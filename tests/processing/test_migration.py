"""A lake of the first format, brought up."""

from __future__ import annotations

import json

import pytest
from test_publishing import FIRST, SECOND, article, facts, rows, stage

from processing.exceptions import LakeFormatError, StoreError
from processing.migration import migrate
from processing.publishing import publish


def downgrade(store) -> None:
    """What newslake 0.1 left: no fingerprints, format 1."""
    store.delete([found.key for found in store.objects("fingerprints/")])
    store.put("lake.json", json.dumps({"format_version": 1}).encode())


def test_an_older_lake_is_refused_by_publish_with_the_command_that_brings_it_up(store):
    stage(store, FIRST, article("https://herald.example/a"))
    publish(store, facts(FIRST))
    downgrade(store)
    stage(store, SECOND, article("https://herald.example/b", "Other."))
    with pytest.raises(LakeFormatError, match="newslake dataset migrate"):
        publish(store, facts(SECOND))


def test_a_migrated_lake_knows_its_texts_again(store):
    copy = article("https://tribune.example/b", source="tribune")
    stage(store, FIRST, article("https://herald.example/a"), copy)
    publish(store, facts(FIRST))
    before = rows(store, "fingerprints")
    downgrade(store)
    assert migrate(store) == (1, 2)
    assert rows(store, "fingerprints") == before
    assert migrate(store) == (2, 2)
    stage(store, SECOND, article("https://gazette.example/c", source="gazette"))
    publish(store, facts(SECOND, "herald", "gazette"))
    assert len(rows(store, "articles")) == 1
    assert len(rows(store, "copies")) == 2


def test_a_newer_lake_is_left_alone(store):
    store.put("lake.json", json.dumps({"format_version": 99}).encode())
    with pytest.raises(LakeFormatError, match="upgrade newslake"):
        migrate(store)


def test_where_no_lake_is_there_is_nothing_to_migrate(store):
    with pytest.raises(StoreError, match="no lake is at"):
        migrate(store)
