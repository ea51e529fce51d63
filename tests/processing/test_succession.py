from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from processing.succession import succeed

MORNING = datetime(2026, 7, 1, 8, tzinfo=UTC)


def article(name: str, hour: int = 0, **columns: Any) -> dict[str, Any]:
    moment = MORNING + timedelta(hours=hour)
    return {
        "id": name,
        "url": f"https://{name}.example/story",
        "source": name,
        "published_at": moment,
        "first_seen_at": moment,
        "word_count": 100,
        "cluster_id": name,
    } | columns


def copy(name: str, hour: int = 0, relation: str = "exact", **columns: Any) -> dict[str, Any]:
    of = {"article_id": "gone", "relation": relation, "similarity": 1.0, "cluster_id": "gone"}
    return article(name, hour, **(of | columns))


def test_the_earliest_copy_takes_the_place_of_its_article() -> None:
    after = succeed(article("gone"), [copy("late", 3), copy("early", 1), copy("later", 5)])
    assert after.heir == article("early", 1)
    assert [(row["id"], row["article_id"], row["cluster_id"]) for row in after.copies] == [
        ("late", "early", "early"),
        ("later", "early", "early"),
    ]


def test_a_publication_date_after_the_fetch_does_not_make_a_copy_later() -> None:
    postdated = copy("postdated", 9, first_seen_at=MORNING)
    after = succeed(article("gone"), [copy("honest", 1), postdated])
    assert after.heir
    assert after.heir["id"] == "postdated"


def test_a_copy_without_publication_date_counts_from_when_it_was_seen() -> None:
    after = succeed(article("gone"), [copy("dated", 2), copy("undated", 1, published_at=None)])
    assert after.heir
    assert after.heir["id"] == "undated"


def test_a_part_comes_after_the_whole_and_a_longer_part_before_a_shorter() -> None:
    stub, part = copy("stub", 0, "contained", word_count=20), copy("part", 1, "contained")
    whole = copy("whole", 2, "near")
    assert succeed(article("gone"), [stub, part, whole]).heir == article("whole", 2)
    assert succeed(article("gone"), [stub, part]).heir == article("part", 1)


def test_an_article_without_copies_has_no_heir() -> None:
    after = succeed(article("gone"), [])
    assert (after.heir, after.copies, after.members) == (None, [], [])


def test_the_cluster_hangs_on_the_heir_or_on_its_own_earliest_article() -> None:
    longer = article("longer", 2, cluster_id="gone")
    longest = article("longest", 4, cluster_id="gone")
    its_copy = copy("twin", 1, article_id="longer")
    after = succeed(article("gone"), [], [longest, longer, its_copy])
    assert {row["id"]: row["cluster_id"] for row in after.members} == dict.fromkeys(
        ("longer", "longest", "twin"), "longer"
    )
    after = succeed(article("gone"), [copy("heir")], [longer])
    assert [row["cluster_id"] for row in after.members] == ["heir"]


def test_what_hung_on_another_article_goes_on_hanging_there() -> None:
    gone = article("gone", cluster_id="head")
    after = succeed(gone, [copy("one", 1, cluster_id="head"), copy("two", 2, cluster_id="head")])
    assert after.heir == article("one", 1, cluster_id="head")
    assert [row["cluster_id"] for row in after.copies] == ["head"]


@given(st.permutations([copy(name, hour % 2) for hour, name in enumerate("abcdef")]))
def test_the_order_given_does_not_matter(copies: list[dict[str, Any]]) -> None:
    after = succeed(article("gone"), copies)
    assert after.heir
    assert after.heir["id"] == "a"
    assert [row["id"] for row in after.copies] == ["c", "e", "b", "d", "f"]
