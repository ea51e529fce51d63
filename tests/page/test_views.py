"""What the Dataset and Sources views show of a real lake, and of one that is not there."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pyarrow.dataset as ds
import pytest
from faultproxy import FaultProxy, answering, cut
from running_airflow import until
from served_page import FAILED, LONG_AGO, TODAY, YESTERDAY, ServedPage, environment, fill, serving

from newslake.reader import Lake
from processing import dataset
from processing.storage import Store


def table_rows(html: str) -> list[str]:
    """The words of each row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [unescape(" ".join(re.sub("<[^>]+>", " ", row).split())) for row in rows]


def test_the_heat_map_links_each_partition_with_its_count(page: ServedPage, page_store: Store):
    html = page.view("/").text
    with Lake(page_store) as lake:
        counts = lake.counts().to_pylist()
    counts = [row for row in counts if row["date"] > LONG_AGO]
    assert len(counts) >= 2
    for row in counts:
        cell = re.search(
            rf'href="/newslake/days/{row["date"]}/{row["topic"]}" aria-label="(.*?)"', html
        )
        assert cell, row
        assert cell[1].startswith(f"{row['topic']}, {row['date']:%-d %B}: {row['rows']} article")
    assert len(re.findall(r'class="cell h[1-6]" href', html)) == len(counts)


def test_the_dataset_view_tells_sources_growth_and_freshness(page: ServedPage):
    said = page.view("/").words
    assert "9 articles in" in said
    assert "herald 6" in said
    assert "en 6" in said
    assert f"{TODAY} 3 9" in said
    assert f"{YESTERDAY} 3 6" in said
    assert f"Run {TODAY:%Y%m%d}T000000Z-abcdef DAG news_daily" in said
    assert "3 published" in said
    assert "Failed sources gale" in said


def test_older_days_are_a_page_back_and_newer_ones_forth(page: ServedPage):
    newest = page.view("/")
    assert 'rel="next"' not in newest.text
    (back,) = re.findall(r'rel="prev" href="/newslake(.*?)"', newest.text)
    assert back == f"/?until={TODAY - timedelta(days=28)}"
    older = page.view(back)
    assert f"{LONG_AGO} 3 3" in older.words
    assert 'rel="prev"' not in older.text, "nothing is older"
    (forth,) = re.findall(r'rel="next" href="/newslake(.*?)"', older.text)
    assert f"{TODAY} 3 9" in page.view(forth).words
    for far, end in (("0001-01-01", LONG_AGO), ("9999-12-31", TODAY)):
        assert f"to {end:%-d %B %Y}" in page.view(f"/?until={far}").words


def test_a_date_lists_its_articles(page: ServedPage):
    found = page.view(f"/days/{TODAY}")
    assert "3 articles" in found.words
    titles = re.findall(r'<a href="/newslake/articles/[0-9a-f]{32}">(.*?)</a>', found.text)
    assert sorted(titles) == [
        f"Nobody &amp; no boat moves on {TODAY} in the harbour",
        f"Nothing moves on {TODAY} in the harbour",
        f"The flood is over on {TODAY} in the harbour",
    ]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/days/2026-11-40", 400, "'2026-11-40' cannot be the day: "),
        ("/days/2026-11-20/sprot", 400, "did you mean 'sport'?"),
        ("/?until=yesterday", 400, "'yesterday' cannot be the until: "),
        ("/sources/No%20Body", 400, "'No Body' cannot be the id_: "),
        ("/nothing", 404, "Not Found"),
        ("/sources/herald?page=0", 400, "'0' cannot be the page: "),
        (f"/days/2026-11-20?page={10**20}", 400, "cannot be the page: "),
    ],
)
def test_a_wrong_address_is_a_sentence(page: ServedPage, path, status, said):
    answer = page.view(path)
    assert answer.status == status
    assert said in answer.words
    assert "<h1>" in answer.text


def test_a_day_without_articles_says_so(page: ServedPage):
    assert "No article is here" in page.view("/days/2001-01-01").words


def test_each_source_has_a_line_those_in_trouble_first(page: ServedPage):
    head, *lines = table_rows(page.view("/sources").text)
    assert head.startswith("source schedule last run")
    torn, gale, herald, silent = lines
    assert [line.split(" ", 2)[0] for line in lines] == ["torn", "The", "The", "The"]
    assert "broken file torn.yaml: homepage: 'nowhere' is no web address" in torn
    assert "gale" in gale
    assert FAILED in gale
    assert "herald daily" in herald
    assert "12 URLs 75 %" in herald, "6 of the 8 pages that came are articles"
    assert "2.5 s apart, 1 at a time" in herald
    assert "robots.txt closed 2" in herald
    assert "tdm" in herald
    assert "silent daily none in five weeks" in silent


def test_a_source_that_is_not_declared_is_shown_all_the_same(page: ServedPage):
    said = page.view("/sources/example-co-uk").words
    assert "The catalogue has no such source, and it has not run in five weeks" in said


def test_what_others_wrote_is_escaped(page: ServedPage):
    for path in ("/sources", "/sources/gale"):
        assert "<script>alert" not in page.view(path).text
        assert "&lt;script&gt;alert" in page.view(path).text


def test_a_bar_says_in_words_what_it_shows(page: ServedPage):
    assert (
        'aria-label="URLs of herald: 6 new, 2 skipped, 2 rejected, 2 failed"'
        in page.view("/sources").text
    )


def test_sources_are_filtered_by_trouble(page: ServedPage):
    assert "The silent" in page.view("/sources?show=silent").words
    assert "The herald" not in page.view("/sources?show=silent").words
    assert "The gale" in page.view("/sources?show=failed").words


def test_alarms_are_worked_out_behind_the_page(page: ServedPage):
    until_told(page)
    said = page.view("/sources/gale").words
    assert f"gone-dark {YESTERDAY}" in said
    assert FAILED in said
    assert "Likely mend: open the listing in a browser" in said
    assert "gone-dark" in page.view("/sources?show=alarms").words


def until_told(page: ServedPage) -> None:
    until(lambda: "being worked out" not in page.view("/sources").words)


def test_the_urls_of_a_source_are_drilled_down_by_state(page: ServedPage, page_store: Store):
    found = page.view("/sources/herald?state=rejected-blocked")
    assert f"https://herald.example/{TODAY:%Y/%m/%d}/wall" in found.words
    assert f"https://herald.example/{TODAY:%Y/%m/%d}/gone" not in found.words
    everything = page.view("/sources/herald")
    assert "12 URLs" in everything.words
    recent = ds.field("date") > LONG_AGO
    ids = [row["id"] for row in dataset.read_rows(page_store, "articles", recent, ["id"])]
    assert len(ids) == 6
    assert all(f'href="/newslake/articles/{id_}"' in everything.text for id_ in ids)
    assert page.view("/sources/herald?state=published&page=2").status == 200


def test_a_lake_that_is_not_there_yet_and_a_store_that_is_away(
    object_store: dict[str, str], lake_env: dict[str, str], tmp_path
):
    endpoint = object_store["AWS_ENDPOINT_URL_S3"]
    with FaultProxy(endpoint, ".", lambda _: True, times=10**9) as proxy:
        own = {"NEWSLAKE_LAKE": lake_env["NEWSLAKE_LAKE"], "AWS_ENDPOINT_URL_S3": proxy.url}
        with serving(tmp_path, {**environment(), **object_store, **own}) as page:
            for path in ("/", "/sources", f"/days/{TODAY}"):
                answer = page.view(path)
                assert answer.status == 200
                assert "No lake yet" in answer.words
                assert "fill it with 'newslake run'" in answer.words
            store = Store.from_environment(lake_env)
            store.ensure_bucket()
            dataset.initialise(store)
            assert "0 articles in 0 partitions" in page.view("/").words
            assert "No run has finished yet" in page.view("/").words
            fill(store)
            assert "9 articles in" in page.view("/").words
            for fault in (answering(403, "AccessDenied"), cut):
                proxy._fault = fault
                for path in ("/", "/sources", f"/days/{TODAY}"):
                    answer = page.view(path)
                    assert answer.status == 503, path
                    assert "This cannot be shown" in answer.words
                    assert "newslake doctor" in answer.words
            proxy._fault = lambda _: True
            assert "9 articles in" in page.view("/").words
