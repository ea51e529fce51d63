"""The measure of duplicates, on a few made-up texts in the shape of the labelled sets."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from random import Random

import pytest
from deduplication import main, measure

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def prose(seed: int, words: int = 200) -> list[str]:
    return Random(seed).choices(WORDS, k=words)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six texts: two alike, one cut from them, a missed edit, one of another day, one apart."""
    text, other = prose(1), prose(2)
    texts = [text, [*text[:180], *prose(3, 20)], text[:60], other, other, prose(4)]
    days = ["26-FEB-1987 15:01:01.79", "26-FEB-1987 16:00:00.00&#5;F", "27-FEB-1987 605:12:1"]
    days += ["26-FEB-1987 15:00:00.00", "30-APR-1987 15:00:00.00", "26-FEB-1987 12:00:00.00"]
    folder = tmp_path / "deduplication"
    folder.mkdir()
    with gzip.open(folder / "reuters_articles.jsonl.gz", "wt", encoding="utf-8") as file:
        for n, (words, day) in enumerate(zip(texts, days, strict=True)):
            record = {"n": n, "title": None, "text": " ".join(words), "date": day, "pub": "r"}
            file.write(json.dumps(record) + "\n")
    with gzip.open(folder / "reuters_pairs.csv.gz", "wt", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "label"])
        rows.writerows([[1, 0, "near"], [0, 2, "contain"], [1, 2, "ignore"], [4, 5, "near"]])
    return tmp_path


def test_what_is_not_judged_counts_for_nothing_and_what_is_missed_lowers_recall(data: Path) -> None:
    assert measure(data) == {
        "reuters": {
            "pair_precision": 1.0,
            "pair_recall": 2 / 3,
            "article_precision": 1.0,
            "article_recall": 2 / 3,
            "cluster_precision": 1.0,
            "cluster_recall": 2 / 3,
        }
    }


def test_a_pair_that_is_not_listed_lowers_precision(data: Path) -> None:
    pairs = data / "deduplication" / "reuters_pairs.csv.gz"
    with gzip.open(pairs, "wt", encoding="utf-8") as file:
        file.write("a,b,label\n0,1,near\n")
    assert measure(data)["reuters"]["pair_precision"] == 1 / 3


def test_the_table_is_printed_and_nothing_to_measure_is_an_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(data)]) == 0
    assert "reuters   pair      precision 1.0000  recall 0.6667" in capsys.readouterr().out
    assert main(["--data", str(tmp_path / "nowhere")]) == 1
