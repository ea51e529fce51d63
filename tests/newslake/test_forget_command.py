"""Forgetting on the command line: shown first, on consent only, and told as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from newslake import forget as forgetting
from processing import dataset
from processing.publishing import RunFacts, publish
from processing.records import FETCHED, Article, Visit
from processing.staging import StagedSource
from processing.texts import content_hash
from processing.urls import tombstone, url_id, url_key

RUN, DAY = "20261110T120000Z-abcdef", datetime(2026, 11, 10, 12, tzinfo=UTC)
URL = "https://herald.example/a"


@pytest.fixture
def lake(store):
    story = Article(
        id=url_id(url_key(URL)),
        url=URL,
        title="A title of its own",
        text="A text.",
        fetched_at=DAY,
        first_seen_at=DAY,
        content_hash=content_hash("A text."),
        word_count=2,
        extractor="test",
    )
    staged = StagedSource(RUN, "herald")
    staged.add(Visit(URL, FETCHED, "feed", DAY), story)
    staged.put(store)
    publish(store, RunFacts(RUN, ("herald",), DAY, {}, {}, {}))
    return store


def newslake(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "newslake", "dataset", "forget", *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def ids(store) -> list[str]:
    return dataset.scan(store, "articles").to_table(columns=["id"])["id"].to_pylist()


def test_what_will_go_is_shown_and_without_consent_nothing_goes(lake):
    shown: list[str] = []

    def refuse(found: forgetting.Found) -> bool:
        shown.extend(forgetting.lines(found))
        return False

    assert forgetting.forget(lake, URL, refuse, DAY, with_copies=False) is None
    assert shown == [
        "article of 2026-11-10, herald: A title of its own",
        f"    {URL}",
        "0 earlier texts, 1 coverage rows",
    ]
    assert len(ids(lake)) == 1 and not list(lake.objects("forgotten/"))


def test_the_command_forgets_by_id_and_tells_it_as_json(lake, lake_env):
    (id_,) = ids(lake)
    unasked = newslake(lake_env, URL)
    assert unasked.returncode == 2 and "--yes" in unasked.stderr
    unknown = newslake(lake_env, "0" * 32, "--yes")
    assert unknown.returncode == 1 and unknown.stderr.startswith("newslake: nothing is published")
    done = newslake(lake_env, id_, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    (said,) = json.loads(done.stdout)
    assert said["done"] and said["keys"] == [id_] and said["rows"]["articles"] == 1
    assert ids(lake) == [] and lake.exists(tombstone(id_))
