"""Counts without a scan: they agree with a scan, and no file is opened twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from faultproxy import FaultProxy
from filled_lake import NOON, THIRD, article, fill, published

from newslake.page.remembered import Remembered
from newslake.page.tallies import days_to, standing, tallies
from newslake.reader import Lake
from processing import dataset
from processing.storage import Store

DAYS = days_to(NOON.date(), 28)


def by_source(lake: Lake, remembered: Remembered) -> Counter[tuple[object, ...]]:
    found: Counter[tuple[object, ...]] = Counter()
    for tally in tallies(lake, DAYS, remembered):
        found[tally.date, tally.topic, tally.source, tally.language] += tally.articles
    return found


def test_what_the_log_tells_is_what_lies_there(store: Store):
    fill(store)
    with Lake(store) as lake:
        found = standing(lake)
        scanned = lake.sql("SELECT date, topic, count(*) AS n FROM articles GROUP BY ALL")
        assert found.counts == {(r["date"], r["topic"]): r["n"] for r in scanned.to_pylist()}
        newest = lake.sql("SELECT max(published_at) AS p, max(fetched_at) AS f FROM articles")
        assert {"p": found.published, "f": found.fetched} == newest.to_pylist()[0]
        assert found.articles == 4
        assert found.by_day()[NOON.date()] == 3


def test_an_empty_lake_has_nothing(store: Store, tmp_path: Path):
    dataset.initialise(store)
    with Lake(store) as lake:
        assert standing(lake).articles == 0
        assert standing(lake).published is None
        assert by_source(lake, Remembered(tmp_path)) == {}


def test_each_file_is_counted_once_whatever_process_asks(
    lake_env: dict[str, str], store: Store, tmp_path: Path
):
    fill(store)
    with FaultProxy(
        lake_env["AWS_ENDPOINT_URL_S3"], r"/articles/.*part-", lambda _: True, times=10**6
    ) as proxy:
        through = {**lake_env, "AWS_ENDPOINT_URL_S3": proxy.url}
        with Lake(Store.from_environment(through)) as lake:
            first = by_source(lake, Remembered(tmp_path))
            assert proxy.met
            scanned = lake.sql(
                "SELECT date, topic, source, language, count(*) AS n FROM articles"
                f" WHERE date <= DATE '{NOON.date()}' GROUP BY ALL"
            )
            assert first == {tuple(row.values())[:4]: row["n"] for row in scanned.to_pylist()}
            met = proxy.met
            assert by_source(lake, Remembered(tmp_path)) == first
            assert standing(lake).articles == 4
            assert proxy.met == met, "an old file was opened again"
            other = article("/e", "Text of e, which is new.", language="en")
            published(store, THIRD, other, finished=NOON)
            lake.tables.look()
            assert by_source(lake, Remembered(tmp_path)).total() == first.total() + 1
            assert met < proxy.met


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null/x"])
def test_where_nothing_can_be_kept_all_is_counted_anew(store: Store, home: str):
    fill(store)
    with Lake(store) as lake:
        twice = [by_source(lake, Remembered(Path(home))) for _ in range(2)]
    assert twice[0] == twice[1]
    assert twice[0].total() == 3


def test_what_is_no_longer_current_is_not_kept(tmp_path: Path):
    remembered = Remembered(tmp_path)
    remembered.put("file", {"a": [1], "b": [2]}, {"a", "b"})
    remembered.put("other", {"a": [3]}, {"a"})
    remembered.put("file", {"c": [4]}, {"b", "c"})
    assert remembered.get("file", ["a", "b", "c", "d"]) == {"b": [2], "c": [4]}
    assert remembered.get("other", ["a"]) == {"a": [3]}
