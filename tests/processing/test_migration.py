"""A lake of an earlier format, brought up."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from deltalake import write_deltalake
from test_publishing import DAY, FIRST, SECOND, article, facts, rows, stage

from processing import dataset
from processing.exceptions import LakeFormatError, StoreError
from processing.migration import migrate
from processing.publishing import publish
from processing.tables import KEYS, to_table
from processing.urls import url_id, url_key

ADDED = ("similarity", "cluster_id", "signature", "winnowed")
LONG = " ".join(f"In ward {n} they mend wall {n * 7} before storm {n * 3}." for n in range(12))


def downgrade(store, version: int) -> None:
    """What earlier newslakes left: fingerprints without keys of texts (2), or none at all (1)."""
    held = dataset.scan(store, "fingerprints").to_table().drop_columns(list(ADDED))
    store.delete([found.key for found in store.objects("fingerprints/")])
    store.put("lake.json", json.dumps({"format_version": version}).encode())
    if version > 1:
        write_deltalake(
            f"{store.url}/fingerprints",
            held,
            partition_by=["date"],
            storage_options=store.delta_options,
        )


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_lake_is_refused_by_publish_with_the_command_that_brings_it_up(store, version):
    stage(store, FIRST, article("https://herald.example/a"))
    publish(store, facts(FIRST))
    downgrade(store, version)
    stage(store, SECOND, article("https://herald.example/b", "Other."))
    with pytest.raises(LakeFormatError, match="newslake dataset migrate"):
        publish(store, facts(SECOND))


@pytest.mark.parametrize("version", [1, 2])
def test_a_migrated_lake_knows_its_texts_again(store, version):
    copy = article("https://tribune.example/b", LONG, source="tribune")
    far = article("https://herald.example/c", "Another.", published_at=DAY - timedelta(days=40))
    stage(store, FIRST, article("https://herald.example/a", LONG), copy, far)
    publish(store, facts(FIRST))
    before = rows(store, "fingerprints")
    downgrade(store, version)
    assert migrate(store) == (version, 3)
    assert rows(store, "fingerprints") == before
    assert migrate(store) == (3, 3)
    edited = article("https://gazette.example/d", f"{LONG} So it was said.", source="gazette")
    stage(store, SECOND, edited)
    publish(store, facts(SECOND, "herald", "gazette"))
    assert len(rows(store, "articles")) == 2
    assert [row["relation"] for row in rows(store, "copies")].count("near") == 1


def test_a_migration_cut_off_between_two_days_goes_on(store, monkeypatch):
    days = (DAY, DAY - timedelta(days=40))
    pages = [
        article(f"https://herald.example/{n}", f"{n} {LONG}", published_at=day)
        for n, day in enumerate(days)
    ]
    stage(store, FIRST, *pages)
    publish(store, facts(FIRST))
    before = rows(store, "fingerprints")
    downgrade(store, 2)
    commit, done = dataset.commit, []

    def once(*args, **more):
        if done:
            raise StoreError("the store went away")
        done.append(commit(*args, **more))

    monkeypatch.setattr(dataset, "commit", once)
    with pytest.raises(StoreError, match="went away"):
        migrate(store)
    monkeypatch.setattr(dataset, "commit", commit)
    assert migrate(store) == (2, 3)
    assert rows(store, "fingerprints") == before


def test_a_page_is_known_by_what_its_address_is_compared_by_today(store):
    page = article("https://herald.example/a?via=feed", LONG)
    copy = article("https://tribune.example/b?via=feed", LONG, source="tribune")
    stage(store, FIRST, page, copy)
    publish(store, facts(FIRST))
    # As the earlier rules would have it: their keys kept what follows the question mark.
    older = {url_id(url_key(each.url)): url_id(url_key(each.url) + "?via") for each in (page, copy)}
    held = rows(store, "keys")
    said = to_table([{**row, "key": older[row["key"]]} for row in held], KEYS)
    write_deltalake(
        f"{store.url}/keys", said, mode="overwrite", storage_options=store.delta_options
    )
    downgrade(store, 2)
    assert migrate(store) == (2, 3)
    assert len(rows(store, "keys")) == 4
    again = [
        article(
            f"{url}?via=mail", f"{LONG} More.", source=source, fetched_at=DAY + timedelta(days=1)
        )
        for url, source in (
            ("https://herald.example/a", "herald"),
            ("https://tribune.example/b", "tribune"),
        )
    ]
    stage(store, SECOND, *again)
    publish(store, facts(SECOND))
    assert [(row["id"], row["revision"]) for row in rows(store, "articles")] == [(page.id, 1)]
    assert len(rows(store, "copies")) == 1


def test_a_newer_lake_is_left_alone(store):
    store.put("lake.json", json.dumps({"format_version": 99}).encode())
    with pytest.raises(LakeFormatError, match="upgrade newslake"):
        migrate(store)


def test_where_no_lake_is_there_is_nothing_to_migrate(store):
    with pytest.raises(StoreError, match="no lake is at"):
        migrate(store)
