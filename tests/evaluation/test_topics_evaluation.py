"""The measure of topics: shares and F1 as they are defined."""

import gzip
import json

import topics

from processing.records import UNCLASSIFIED
from processing.topics import Topic


def page(*accepted: str) -> topics.Labelled:
    return topics.Labelled("t", "x", "https://a.example/1", None, None, (), accepted)


def test_the_scores_of_a_few_pages():
    pages = [page("sport"), page("health", "society"), page("politics"), page("sport")]
    said = [
        Topic("sport", 0.9, "model"),
        Topic("society", 0.9, "model"),
        Topic(UNCLASSIFIED, 0.0, "none"),
        Topic("politics", 0.9, "model"),
    ]
    # Of sport one of two is found and nothing else called so; of the others nothing.
    assert topics.score(pages, said) == {
        "accepted": 0.5,
        "macro_f1": round(2 / 3 / 3, 4),
        "unclassified": 0.25,
    }


def test_perfect_answers_score_one():
    assert topics.macro_f1(["a", "b", "b"], ["a", "b", "b"]) == 1.0


def test_section_and_tags_are_read_from_the_page_where_it_is_had(tmp_path):
    html = (
        '<html><head><meta property="article:section" content="Sport">'
        '<meta name="keywords" content="Cup, Final"></head><body>x</body></html>'
    )
    for folder, name, rows in (
        ("extraction", "text_meta_news_fundus_dev", [{"url": "https://a.example/1", "html": html}]),
        (
            "topics",
            "pages_labelled",
            [
                {
                    "title": "A",
                    "text": "b",
                    "url": f"https://a.example/{n}",
                    "lang": "",
                    "accepted": ["sport"],
                }
                for n in (1, 2)
            ],
        ),
    ):
        (tmp_path / folder).mkdir()
        with gzip.open(tmp_path / folder / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    first, second = topics.load(tmp_path)
    assert (first.section, first.tags) == ("Sport", ("Cup", "Final"))
    assert (second.section, second.tags, second.language) == (None, (), None)
    assert set(topics.measure(tmp_path)) == {"full", "fast"}


def test_the_rate_counts_texts_by_the_clock():
    moments = iter([10.0, 12.0])
    said, speed = topics.rate([page("sport")] * 4, True, lambda: next(moments))
    assert (len(said), speed) == (4, 2.0)


def test_without_data_the_command_says_so(tmp_path, capsys):
    assert topics.measure(tmp_path) == {}
    assert topics.main(["--data", str(tmp_path)]) == 1
    assert "is missing" in capsys.readouterr().err
