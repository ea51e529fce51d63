"""The catalogue: what is a source, what is none, and how that is said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from crawlers.catalogue import Catalogue, Source, json_schema, load, plan
from processing.exceptions import ConfigurationError

SHIPPED = Path(__file__).parents[2] / "crawlers" / "sources"
GOOD = """\
id: paper
name: The Paper
homepage: https://paper.example/
feeds: [https://paper.example/rss]
"""


def load_text(directory: Path, text: str, name: str = "paper.yaml") -> Catalogue:
    (directory / name).write_text(text, encoding="utf-8")
    return load(directory)


def test_a_source_has_the_documented_defaults(tmp_path: Path) -> None:
    source = load_text(tmp_path, GOOD).sources["paper"]
    assert (source.schedule, source.max_articles, source.max_age_days) == ("hourly", 500, 7)
    assert (source.delay, source.concurrency, source.enabled) == (1.0, 1, True)
    assert not (source.render or source.aggregator or source.allow_private or source.honour)
    assert source.listings == ("https://paper.example/rss",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("shedule: daily", "shedule: is no field of a source; did you mean 'schedule'?"),
        ("schedule: dayly", "schedule: 'dayly' is not a choice; did you mean 'daily'?"),
        ("honour: [tdmm]", "honour[1]: 'tdmm' is not a choice; did you mean 'tdm'?"),
        ("topics: {/x/: sports}", "topics./x/: 'sports' is no topic; did you mean 'sport'?"),
        ("sitemaps: /map.xml", "sitemaps: must be a list; write it as [first, second]"),
        ("sitemaps: [/map.xml]", "sitemaps[1]: '/map.xml' is no web address; write it in full"),
        ("sections: ['ftp://x.example/']", "sections[1]: 'ftp://x.example/' is no web address"),
        ("allow: ['/(a']", "allow[1]: '/(a' is no regular expression (missing ), unterminated"),
        ("max_articles: 0", "max_articles: is 0 but must be at least 1"),
        ("max_articles: many", "max_articles: must be a whole number"),
        ("delay: -1", "delay: is -1 but must be at least 0"),
        ("concurrency: 99", "concurrency: is 99 but must be at most 16"),
        ("enabled: 1", "enabled: must be true or false"),
        ("country: no", 'country: is read by YAML as yes or no; put it in quotes, as "no"'),
        ("country: GBR", "country: 'GBR' must be two small letters (ISO 3166-1), as gb"),
        ("language: English!", "language: 'English!' must be a BCP 47 tag, as en or pt-BR"),
        ("name: again", "line 5: not valid YAML (name is given twice); mend that line"),
        ("country: {", "line 6: not valid YAML"),
        ("\tcountry: gb", "line 5: not valid YAML"),
    ],
)
def test_a_broken_file_is_one_sentence_and_the_others_stand(
    tmp_path: Path, change: str, told: str
) -> None:
    (tmp_path / "other.yaml").write_text(GOOD.replace("id: paper", "id: other"))
    catalogue = load_text(tmp_path, f"{GOOD}{change}\n")
    assert list(catalogue.sources) == ["other"]
    (error,) = catalogue.errors
    assert str(error).startswith(f"paper.yaml: {told}")
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "paper.yaml: holds no fields"),
        ("- a\n- b\n", "paper.yaml: holds no fields"),
        (GOOD.replace("id: paper", "id: papers"), "paper.yaml: id: 'papers' differs from the file"),
        (GOOD.replace("id: paper", "id: The Paper"), "paper.yaml: id: 'The Paper' may hold a-z"),
        (GOOD.replace("name: The Paper\n", ""), "paper.yaml: name: is missing; add it"),
        (GOOD[: GOOD.index("feeds")], "paper.yaml: source: lists nothing to read"),
    ],
)
def test_a_file_that_declares_no_source_says_why(tmp_path: Path, text: str, told: str) -> None:
    (error,) = load_text(tmp_path, text).errors
    assert str(error).startswith(told)


def test_bytes_that_are_not_utf8_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_bytes(GOOD.replace("The", "Thé").encode("latin-1"))
    (error,) = load(tmp_path).errors
    assert str(error).startswith("paper.yaml: cannot be read")


def test_an_id_declared_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "paper.yml").write_text(GOOD)
    catalogue = load_text(tmp_path, GOOD)
    assert list(catalogue.sources) == ["paper"]
    assert [str(e) for e in catalogue.errors] == [
        "paper.yml: id: 'paper' is declared twice; keep one of the files"
    ]


@pytest.mark.parametrize(("made", "told"), [(False, "is not there"), (True, "holds no YAML file")])
def test_without_a_catalogue_the_configuration_is_wrong(
    tmp_path: Path, made: bool, told: str
) -> None:
    directory = tmp_path / "sources"
    if made:
        directory.mkdir()
    with pytest.raises(ConfigurationError, match=told):
        load(directory)


def test_selecting_a_broken_source_tells_its_fault(tmp_path: Path) -> None:
    catalogue = load_text(tmp_path, f"{GOOD}shedule: daily\n")
    with pytest.raises(ConfigurationError, match=r"paper\.yaml: shedule"):
        catalogue.select(["paper"])


def test_the_shipped_catalogue_is_sound() -> None:
    catalogue = load(SHIPPED)
    assert catalogue.errors == ()
    sources = catalogue.sources.values()
    assert len(sources) >= 100
    languages = {source.language.split("-")[0] for source in sources if source.language}
    assert len(languages) >= 20


def test_each_shipped_source_names_its_language_and_country() -> None:
    sources = load(SHIPPED).sources.values()
    assert [s.id for s in sources if not (s.language and s.country)] == []


def test_no_listing_is_shipped_by_two_sources() -> None:
    listings = Counter(url for s in load(SHIPPED).sources.values() for url in s.listings)
    assert [url for url, count in listings.items() if count > 1] == []


def test_path_fragments_of_the_shipped_topics_have_slashes_on_both_sides() -> None:
    paths = [key for s in load(SHIPPED).sources.values() for key in s.topics if "/" in key]
    assert [key for key in paths if not (key.startswith("/") and key.endswith("/"))] == []


def test_the_schema_names_every_field_and_refuses_others() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Source.model_fields)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"id", "name", "homepage"}
    assert "sport" in schema["properties"]["topics"]["additionalProperties"]["enum"]


@pytest.mark.parametrize(
    ("count", "slots", "dealt"),
    [
        (3, 8, [["s0"], ["s1"], ["s2"]]),
        (5, 2, [["s0", "s2", "s4"], ["s1", "s3"]]),
        (1, 0, [["s0"]]),
        (0, 4, []),
    ],
)
def test_sources_are_dealt_over_batches(count: int, slots: int, dealt: list[list[str]]) -> None:
    sources = [
        Source(id=f"s{n}", name="x", homepage="http://x.example/", feeds=["http://x.example/feed"])
        for n in range(count)
    ]
    assert [[s.id for s in batch] for batch in plan(sources[::-1], slots)] == dealt
