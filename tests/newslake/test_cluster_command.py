"""A story's texts in time order with what differs, by the library and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from filled_lake import FIRST, NOON, SECOND, article, published

from newslake import clusters
from newslake.reader import Lake
from processing.exceptions import UnknownArticle
from processing.storage import Store

SENTENCES = [
    f"On day {n} the council of ward {n * 7} heard {n + 3} speakers about the wall of harbour {n}."
    for n in range(12)
]
STORY = "\n".join(SENTENCES)
EDITED = "\n".join(["Our own reporter adds this.", *SENTENCES[:5], *SENTENCES[6:]])
HOUR = timedelta(hours=1)


@pytest.fixture
def lake(store: Store) -> Lake:
    """A story, a page apart, and in a second run an edited copy dated earlier."""
    published(store, FIRST, article("/a", STORY), article("/c", "Another."), finished=NOON)
    published(store, SECOND, article("/b", EDITED, NOON - HOUR), finished=NOON)
    return Lake(store)


def test_a_cluster_is_told_in_time_order_with_what_differs(lake: Lake):
    for target in ("https://herald.example/b", article("/a", "").id):
        copy, first = clusters.rows(lake, target)
        assert [copy["url"], first["url"]] == [
            "https://herald.example/b",
            "https://herald.example/a",
        ]
        assert (copy["relation"], copy["article_id"]) == ("near", first["id"])
        assert (first["relation"], first["compared_with"], first["differences"]) == (None, None, [])
        assert copy["compared_with"] == first["id"]
        added, removed = copy["differences"]
        assert added == {
            "before": "",
            "removed": "",
            "added": "Our own reporter adds this.",
            "after": "On day 0 the",
        }
        assert (removed["removed"], removed["added"]) == (SENTENCES[5], "")


def test_a_text_that_tells_only_its_day_comes_at_the_end_of_it(store: Store):
    midnight = NOON.replace(hour=0)
    published(
        store,
        FIRST,
        article("/a", STORY),
        article("/b", EDITED, midnight, published_precision="day"),
        finished=NOON,
    )
    said = clusters.rows(Lake(store), "https://herald.example/a")
    assert [row["url"][-2:] for row in said] == ["/a", "/b"]
    assert "\n2026-11-10 herald, near copy" in "\n".join(clusters.lines(said))


def test_a_text_alone_is_a_cluster_of_one(lake: Lake):
    (only,) = clusters.rows(lake, "https://herald.example/c")
    assert only["differences"] == []


def test_an_article_of_the_cluster_is_compared_with_the_earliest(store: Store):
    stub = "\n".join(SENTENCES[:4])
    published(store, FIRST, article("/stub", stub), finished=NOON)
    published(store, SECOND, article("/whole", STORY, NOON + HOUR), finished=NOON)
    stub_row, whole = clusters.rows(Lake(store), "https://herald.example/whole")
    assert whole["relation"] is None
    assert whole["compared_with"] == stub_row["id"]
    assert whole["differences"][0]["added"] == " ".join(SENTENCES[4:])


def test_what_is_not_published_is_an_error(lake: Lake):
    with pytest.raises(UnknownArticle, match="nothing is published under"):
        clusters.rows(lake, "https://herald.example/none")


def test_a_person_sees_marked_words(lake: Lake):
    said = list(clusters.lines(clusters.rows(lake, "https://herald.example/b")))
    assert said[0].endswith("1 articles, 1 copies, 1 sources")
    assert "  {+Our own reporter adds this.+} On day 0 the" in said
    assert any(f"[-{SENTENCES[5]}-]" in line for line in said)
    assert any("near copy of" in line for line in said)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("a b c", "a b c", []),
        ("", "a", [("", "a")]),
        ("a b c d", "a x c", [("b", "x"), ("d", "")]),
        ("東京で会議が開かれた", "東京で会談が開かれた", [("議", "談")]),
    ],
)
def test_differences_are_by_word_or_by_character(one: str, other: str, found: list):
    assert [(d["removed"], d["added"]) for d in clusters.differences(one, other)] == found


def test_a_long_difference_is_shortened_for_a_person_only():
    words = [f"w{n}" for n in range(100)]
    (said,) = clusters.differences("same", " ".join(["same", *words]))
    assert said["added"].split() == words
    row = {
        "cluster_id": "c", "relation": None, "source": "s", "published_at": NOON,
        "published_precision": "second", "word_count": 1,
        "title": "t", "url": "u", "differences": [said] * 20,
    }  # fmt: skip
    shown = list(clusters.lines([row]))
    assert "(... 70 words ...)" in shown[4]
    assert shown[-1] == "  and 8 more differences"


def test_the_command_prints_both_ways(lake: Lake, lake_env: dict[str, str]):
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "newslake", "dataset", "cluster", *words],
            env=lake_env,
            capture_output=True,
            text=True,
            check=False,
        )

    said = command("https://herald.example/a", "--json")
    assert [row["relation"] for row in json.loads(said.stdout)] == ["near", None]
    assert "[-" in command("https://herald.example/a").stdout
    missing = command("https://herald.example/none")
    assert missing.returncode == 1
    assert missing.stderr.startswith("newslake: nothing is published under")
