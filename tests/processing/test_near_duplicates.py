"""Edited copies over several runs against a real store: rows, clusters, flags, what is read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from known_lake import KnownLake
from test_deduplication import edited, story
from test_publishing import DAY, FIRST, SECOND, THIRD, article, facts, rows, stage, states

from processing.clusters import MOST_OF_SITE
from processing.publishing import publish
from processing.records import Article, State
from processing.signatures import VERSION, sign
from processing.storage import Store
from processing.verification import verify


def page(source: str, sentences: list[str], hours: float = 0, path: str = "story") -> Article:
    return article(
        f"https://{source}.example/{path}",
        "\n".join(sentences),
        source=source,
        published_at=DAY + timedelta(hours=hours),
        fetched_at=DAY + timedelta(hours=hours + 1),
    )


def run(store: Store, run_id: str, *pages: Article, **more: object):
    stage(store, run_id, *pages)
    sources = sorted({"herald", *(each.source for each in pages)})
    return publish(store, replace(facts(run_id, *sources), **more))


def test_an_edited_copy_of_an_earlier_run_is_kept_and_points_at_its_article(store):
    text = story(1)
    origin, copy = page("wire", text), page("herald", edited(text, 1, 3), 5)
    run(store, FIRST, origin)
    manifest = run(store, SECOND, copy)
    (kept,), (row,) = rows(store, "articles"), rows(store, "copies")
    assert (kept["url"], kept["cluster_id"]) == (origin.url, origin.id)
    assert (row["id"], row["article_id"], row["cluster_id"]) == (copy.id, origin.id, origin.id)
    assert row["relation"] == "near" and 0.7 < row["similarity"] < 1
    assert row["text"] == copy.text
    assert states(store, SECOND) == {copy.url: State.DUPLICATE_NEAR}
    assert manifest["counts"]["herald"] == {"duplicate-near": 1}
    held = {row["id"]: row for row in rows(store, "fingerprints")}
    for one in (origin, copy):
        assert held[one.id]["winnowed"] == sign(one.text).view("int32").tolist()
        assert held[one.id]["signature"] == VERSION
    assert [held[each.id]["relation"] for each in (origin, copy)] == [None, "near"]


def test_a_copy_met_again_stays_one_and_a_repeat_says_the_same(store):
    text = story(1)
    pages = page("wire", text), page("herald", edited(text, 1, 3), 5)
    first = run(store, FIRST, *pages)
    before = {name: rows(store, name) for name in ("articles", "copies", "keys", "fingerprints")}
    assert run(store, FIRST, *pages)["counts"] == first["counts"]
    later = [replace(each, fetched_at=DAY + timedelta(days=1)) for each in pages]
    run(store, SECOND, *later)
    assert set(states(store, SECOND).values()) == {State.UNCHANGED}
    assert {name: rows(store, name) for name in before} == before


def test_a_longer_text_that_comes_later_is_an_article_of_the_same_cluster(store):
    text = story(1, 40)
    stub, whole = page("wire", text[:10]), page("herald", text, 3)
    run(store, FIRST, stub)
    run(store, SECOND, whole)
    assert {row["url"]: row["cluster_id"] for row in rows(store, "articles")} == {
        stub.url: stub.id,
        whole.url: stub.id,
    }
    cut = page("tribune", text[20:30], 4)
    run(store, THIRD, cut)
    (copy,) = rows(store, "copies")
    assert (copy["relation"], copy["article_id"], copy["cluster_id"]) == (
        "contained",
        whole.id,
        stub.id,
    )


def test_clusters_that_prove_to_be_one_are_made_one_in_every_table(store):
    text = story(1, 40)
    bridge = [*text[13:], *story(2, 13)]
    end = [*bridge[13:], *story(3, 13)]
    one, two, other = page("wire", text), page("herald", end, 2), page("post", story(9), 2)
    run(store, FIRST, one, other, page("gazette", edited(text, 1, 2), 1))
    run(store, SECOND, two)
    assert len({row["cluster_id"] for row in rows(store, "articles")}) == 3
    again = replace(page("herald", [*end, "More."], 2), fetched_at=DAY + timedelta(days=1))
    run(store, THIRD, page("tribune", bridge, 1), again)
    clusters = {row["id"]: row["cluster_id"] for row in rows(store, "articles")}
    assert clusters == {one.id: one.id, two.id: one.id, other.id: other.id}
    for name in ("copies", "fingerprints"):
        held = {row["id"]: row["cluster_id"] for row in rows(store, name)}
        assert {id_: held[id_] for id_ in held if id_ != other.id} == dict.fromkeys(
            held.keys() - {other.id}, one.id
        )
    assert len(rows(store, "fingerprints")) == 5
    assert [row["url"] for row in rows(store, "revisions")] == [two.url]
    assert not verify(store, sample=0).findings


def templates(source: str, count: int) -> list[Article]:
    frame = story(7, 12)
    return [page(source, [*frame, *story(100 + n, 4)], n / 10, f"{n}") for n in range(count)]


@pytest.mark.parametrize("aggregators", [frozenset(), frozenset({"herald"})])
def test_a_sites_template_makes_no_copies_but_an_aggregators_repeats_do(store, aggregators):
    pages = templates("herald", MOST_OF_SITE + 4)
    run(store, FIRST, *pages[:-2], aggregators=aggregators)
    run(store, SECOND, *pages[-2:], aggregators=aggregators)
    assert len(rows(store, "articles")) == (1 if aggregators else len(pages))


def test_a_cluster_too_mixed_is_flagged_and_hides_nothing_more(store):
    text = story(1)
    pages = [page("herald", edited(text, n, 2), n * 3, f"{n}") for n in range(MOST_OF_SITE + 1)]
    run(store, FIRST, *pages[:-1])
    assert len(rows(store, "articles")) == 1
    manifest = run(store, SECOND, pages[-1])
    assert len(rows(store, "articles")) == 2
    (flag,) = [said for said in manifest["flags"] if said["flag"].startswith("cluster")]
    assert (flag["source"], flag["flag"]) == ("herald", "cluster-too-mixed")
    assert pages[0].id in flag["detail"]


def test_two_runs_at_once_make_one_article_of_a_story(store):
    text = story(1)
    pages = {
        FIRST: [page(f"a{n}", edited(text, n, 2), n) for n in range(4)],
        SECOND: [page(f"b{n}", edited(text, 10 + n, 2), n) for n in range(4)],
    }
    with ThreadPoolExecutor(2) as at_once:
        list(at_once.map(lambda run_id: run(store, run_id, *pages[run_id]), pages))
    (kept,) = rows(store, "articles")
    copies = rows(store, "copies")
    assert len(copies) == 7
    assert {row["article_id"] for row in copies} == {kept["id"]}


def test_the_lake_decides_as_its_rules_do_in_memory(store):
    random = Random(5)
    pages = []
    for n in range(24):
        text = story(random.randrange(4), 24)
        text = edited(text, n, random.choice([0, 3, 6]))
        text = text[: random.choice([24, 24, 12, 8])]
        pages.append(page(f"site-{n % 6}", text, random.randrange(96), f"{n}"))
    random.shuffle(pages)
    memory = KnownLake()
    for number, run_id in enumerate((FIRST, SECOND, THIRD)):
        batch = pages[number::3]
        run(store, run_id, *batch)
        memory.publish(batch)
    expected = {
        known.id: (known.article_id, known.relation, known.cluster_id)
        for *_, known, _ in memory.rows
    }
    held = [*rows(store, "articles"), *rows(store, "copies")]
    assert {
        row["id"]: (row.get("article_id") or row["id"], row.get("relation"), row["cluster_id"])
        for row in held
    } == expected
    assert not verify(store, sample=0).findings
