"""Forgetting by rows: who else follows, what is asked for, and what a kill leaves to repeat."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faultproxy import FaultProxy
from test_publishing import DAY, FIRST, SECOND, THIRD, article, facts, rows, stage, states

from crawlers import state
from crawlers.state import KnownListing, KnownUrl, SourceState
from processing import dataset, erasure, forgetting
from processing.commits import read_manifest
from processing.exceptions import ConfigurationError, UnknownArticle
from processing.publishing import publish
from processing.records import State
from processing.storage import Store
from processing.tombstones import Tombstone, all_forgotten
from processing.urls import address_id, mask, url_key
from processing.verification import verify

LEASE_SECONDS = 2.0
FORGET = "20261120T120000Z-f0f0f0"
STORY = "https://herald.example/news/quillfeather"


def forget(store: Store, target: str, run_id: str = FORGET, **how: bool) -> Tombstone:
    return forgetting.forget(
        store,
        target,
        run_id=run_id,
        with_copies=how.get("with_copies", False),
        software={"newslake": "test"},
        forget_state=state.forget,
        lease_seconds=LEASE_SECONDS,
    )


@pytest.fixture
def lake(store: Store) -> Store:
    """A story named by its canonical address, a later copy of it, and a story of its own."""
    story = article(f"{STORY}?page=1", canonical_url=STORY)
    stage(store, FIRST, story, article("https://herald.example/other", "Another text."))
    publish(store, facts(FIRST))
    copy = article("https://tribune.example/b", source="tribune", canonical_url=STORY)
    late = article(
        "https://gazette.example/c", source="gazette", published_at=DAY + timedelta(hours=2)
    )
    stage(store, SECOND, copy, late)
    publish(store, facts(SECOND, "herald", "tribune", "gazette"))
    return store


def test_the_copy_that_follows_does_not_name_the_forgotten_address(lake):
    assert {r["relation"] for r in rows(lake, "copies")} == {"same-url", "exact"}
    stone = forget(lake, f"{STORY}?utm_source=x")
    heir = next(r for r in rows(lake, "articles") if r["source"] == "tribune")
    (left,) = rows(lake, "copies")
    assert heir["canonical_url"] is None and heir["run_id"] == FORGET
    assert (left["article_id"], left["cluster_id"]) == (heir["id"], heir["id"])
    kinds = {k["source"]: k["kind"] for k in rows(lake, "keys") if k["source"] != "herald"}
    assert kinds == {"tribune": "article", "gazette": "copy"}
    relations = {r["id"]: (r["article_id"], r["relation"]) for r in rows(lake, "fingerprints")}
    assert relations[heir["id"]] == (heir["id"], None)
    assert relations[left["id"]] == (heir["id"], left["relation"])
    assert stone.rows == {
        "articles": 1,
        "copies": 0,
        "revisions": 0,
        "coverage": 1,
        "keys": 2,
        "fingerprints": 1,
    }
    assert states(lake, FIRST)[mask(f"{STORY}?page=1")] == State.FORGOTTEN
    assert {r["article_id"] for r in rows(lake, "coverage") if r["run_id"] == SECOND} == {
        heir["id"]
    }
    assert verify_rows(lake) == []


def verify_rows(store: Store) -> list[object]:
    """What verification finds besides pages: these rows never had any."""
    return [f for f in verify(store, workers=1).findings if f.check not in ("page", "text")]


def test_manifests_count_what_coverage_holds_afterwards(lake):
    forget(lake, STORY)
    said = read_manifest(lake, FIRST)
    assert said and said["counts"]["herald"] == {"forgotten": 1, "published": 1}
    own = read_manifest(lake, FORGET)
    assert own and own["dag_id"] == "forget" and own["removed"]["articles"] == 1
    assert "quillfeather" not in json.dumps([said, own])


def test_it_is_named_by_its_id_too_and_again_without_harm(lake):
    (story,) = (r for r in rows(lake, "articles") if "quillfeather" in r["url"])
    found = forgetting.find(lake, story["id"], with_copies=True)
    assert ([r["id"] for r in found.articles], len(found.copies)) == ([story["id"]], 2)
    first = forget(lake, story["id"], with_copies=True)
    assert (first.rows["articles"], first.rows["copies"]) == (1, 2)
    before = {name: rows(lake, name) for name in dataset.SCHEMAS}
    again = forget(lake, story["id"], "20261121T120000Z-f0f0f0")
    assert again.done and not any(again.rows.values())
    assert {name: rows(lake, name) for name in dataset.SCHEMAS} == before


def test_an_unknown_id_is_told_and_an_unknown_url_is_remembered(lake):
    with pytest.raises(UnknownArticle, match="nothing is published under the id 0000"):
        forgetting.find(lake, "0" * 32, with_copies=False)
    with pytest.raises(ConfigurationError, match="neither an id"):
        forgetting.find(lake, "quillfeather", with_copies=False)
    assert not all_forgotten(lake)
    forget(lake, "https://herald.example/never/seen")
    assert all_forgotten(lake) == {address_id("https://herald.example/never/seen")}
    assert len(rows(lake, "articles")) == 2


def test_a_page_that_arrives_later_is_withheld(lake):
    forget(lake, STORY)
    by_fetched = article(f"{STORY}?page=1", "Yet another text.", canonical_url=STORY)
    by_canonical = article("https://herald.example/new", "The same again.", canonical_url=STORY)
    known = article(
        "https://tribune.example/b",
        "A longer text.",
        source="tribune",
        canonical_url=STORY,
        fetched_at=DAY + timedelta(days=1),
    )
    stage(lake, THIRD, by_fetched, by_canonical, known, others=((STORY, "rejected-too-short"),))
    manifest = publish(lake, facts(THIRD))
    assert states(lake, THIRD) == {
        mask(by_fetched.url): State.FORGOTTEN,
        mask(by_canonical.url): State.FORGOTTEN,
        mask(STORY): State.FORGOTTEN,
        known.url: State.UPDATED,
    }
    assert manifest["counts"]["herald"] == {"forgotten": 3}
    (row,) = (r for r in rows(lake, "articles") if r["source"] == "tribune")
    assert (row["text"], row["canonical_url"]) == ("A longer text.", None)
    assert not any("herald.example/new" in str(row) for row in rows(lake, "coverage"))


def test_the_state_of_a_source_keeps_no_byte_of_it(store):
    said = state.SourceState()
    for n in range(300):
        url = f"https://herald.example/page-{n}"
        said.put(known(url, hints=json.dumps({"title": f"Title of page-{n}-" * 20})))
    child = ["https://herald.example/page-7", None]
    listing = KnownListing(
        "https://herald.example/map", "sitemap-index", "", "r", children=json.dumps([child])
    )
    said.put(listing)
    said.save(store, "herald")
    assert state.forget(store, {address_id(child[0] or "")}) == 1
    data = store.get("state/sources/herald.sqlite").data
    assert b"page-7-" not in data and b'page-7"' not in data and b"page-70" in data
    assert state.forget(store, {address_id(child[0] or "")}) == 0
    again = SourceState.load(store, "herald")
    assert again.url(url_key("https://herald.example/page-8")) is not None
    left = again.listing("https://herald.example/map")
    assert left is not None and left.children == "[]"


def known(url: str, **more: str) -> KnownUrl:
    said = {"status": "seen", "run_id": "", "first_seen": DAY.isoformat(), **more}
    return KnownUrl(
        key=url_key(url), url=url, fetched_at=DAY.isoformat(), discovered_via="feed", **said
    )


def test_a_crawl_drops_what_is_forgotten_but_what_publishing_has_yet_to_erase(store):
    said = SourceState()
    said.put(known("https://herald.example/seen"))
    said.put(known("https://herald.example/pending", status="pending", run_id=FIRST))
    said.save(store, "herald")
    ids = {address_id(f"https://herald.example/{word}") for word in ("seen", "pending")}
    loaded = SourceState.load(store, "herald", ids)
    assert loaded.url("herald.example/seen") is None
    assert [row.url for row in loaded.pending()] == ["https://herald.example/pending"]
    loaded.save(store, "herald")
    assert b"herald.example/seen" not in store.get("state/sources/herald.sqlite").data


@pytest.mark.parametrize(
    "url",
    [
        "http://www.herald.example/caf%C3%A9/quillfeather-affair/?utm_source=rss#top",
        "https://m.herald.example/café/quillfeather%2Daffair",
        "https://herald.example/café/quillfeather-affair/amp",
        "HTTPS://Herald.example:443/café//quillfeather-affair/index.html",
        "https://www.google.com/amp/s/herald.example/café/quillfeather-affair",
    ],
)
def test_an_address_is_found_however_it_is_spelled(url):
    written = "https://herald.example/café/quillfeather-affair"
    addresses = forgetting._Addresses([address_id(written)])
    addresses.know(written)
    assert addresses.words == {"quillfeather-affair"}
    column = pa.table({"url": ["https://herald.example/other", url, None, mask(url)]})
    assert erasure.hits(column, addresses.ids, addresses.words) == [1, 3]


STEPS = {
    "its tombstone stands": r"PUT /[^/]+/lease\.json",
    "its plan is put": r"PUT .*/commit\.json",
    "articles are committed": r"PUT /[^/]+/articles/_delta_log/",
    "its manifest is put": rf"PUT /[^/]+/runs/{FORGET}",
    "an earlier manifest is corrected": rf"PUT /[^/]+/runs/{FIRST}",
    "a log is cut": r"PUT /[^/]+/keys/_delta_log/.*checkpoint",
    "old files are deleted": r"POST /[^/?]+/?\?delete",
    "it is done": r"PUT /[^/]+/forgotten/",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_forget_killed_there_is_finished_by_another(lake, lake_env, step):
    skip = 3 if step == "it is done" else 0  # one before the lease, two before the commit
    met = 0

    def kill(_: object) -> bool:
        nonlocal met
        met += 1
        if met > skip:
            running[0].kill()
        return met <= skip

    running: list[subprocess.Popen[bytes]] = []
    with FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], STEPS[step], kill, skip + 1) as proxy:
        environ = {**lake_env, "AWS_ENDPOINT_URL_S3": proxy.url}
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-P", __file__, STORY]
        running.append(subprocess.Popen(command, env=environ, stderr=subprocess.PIPE))
        said = running[0].communicate()[1].decode()
    assert running[0].returncode == -9, f"it never came to where {step}:\n{said[-3000:]}"
    begun = Tombstone.read(lake, address_id(STORY))
    assert begun and not begun.done
    stone = forget(lake, STORY, "20261122T120000Z-f0f0f0")
    assert stone.done and stone.run_id == begun.run_id
    assert stone.rows["articles"] == 1 and stone.rows["coverage"] == 1
    assert not [o.key for o in lake.objects() if b"quillfeather" in unpacked(lake.get(o.key).data)]
    assert verify_rows(lake) == []
    assert len(rows(lake, "articles")) == 2 and len(rows(lake, "copies")) == 1


def unpacked(data: bytes) -> bytes:
    if data[:4] == b"PAR1":
        return str(pq.read_table(io.BytesIO(data)).to_pylist()).encode()
    return data


if __name__ == "__main__":
    forget(Store.from_environment(os.environ), sys.argv[1])
