"""The evaluation itself: how pages are judged, the table, and floors that move one way."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import evaluate
import pytest
from evaluate import Reading, Record, Score, in_sample, main, own_records, real_records, score
from floors import Floors
from hypothesis import given
from hypothesis import strategies as st

from processing.records import Page

TEXT = (
    "The first tram of the new harbour line left the depot at five in the morning on Friday, with"
    " the mayor at the window and some two hundred people on the platform of the old station."
)
PAGE = Page("https://courier.example/2026/10/20/tram", b"<p>", datetime(2026, 11, 1, tzinfo=UTC))
FOUND = {"own": {"f1": 0.95319, "unclassified": 0.11111}}


def test_what_is_not_known_is_not_judged() -> None:
    total = Score()
    total.add(Record("1", PAGE, title="Tram opens"), Reading("Text", "tram opens", ("A",)), 0.5)
    assert total.measures() == {"title": 1.0, "verdict": 1.0}
    assert total.cells() == ["1", "", "", "", "100.0", "", "", "100.0", "500"]


def test_a_refused_article_is_wrong_in_everything() -> None:
    total = Score()
    truth = Record("1", PAGE, TEXT, "Tram opens", ("Ada Moss",), date(2026, 10, 20))
    total.add(truth, Reading(), 0.0)
    assert set(total.measures().values()) == {0.0}
    assert len(total.measures()) == 5


@pytest.mark.parametrize(
    ("reading", "right"),
    [
        (Reading(state="rejected-blocked"), 1.0),
        (Reading(), 1.0),
        (Reading(state="rejected-too-short"), 0.0),
        (Reading(TEXT), 0.0),
    ],
    ids=["right-state", "no-reason", "wrong-state", "taken"],
)
def test_a_page_that_is_no_article_is_to_be_refused(reading: Reading, right: float) -> None:
    total = Score()
    total.add(Record("1", PAGE, state="rejected-blocked"), reading, 0.0)
    assert total.measures() == {"verdict": right}


def test_a_page_without_authors_is_to_have_none() -> None:
    total = Score()
    total.add(Record("1", PAGE, authors=()), Reading("Text", authors=("The Desk",)), 0.0)
    assert total.measures()["authors"] == 0.0


def test_a_sample_is_scored_beside_the_whole() -> None:
    records = [Record(str(n), PAGE, text="x") for n in range(40)]
    drawn = [record.id for record in records if in_sample(record.id, 4)]
    assert 0 < len(drawn) < 40
    whole, part = score(records, lambda page: Reading("x"), sample=4)
    assert (whole.pages, part.pages) == (40, len(drawn))


def put_set(folder: Path, text: str = TEXT) -> None:
    html = f"<html><body><article><h1>Tram opens</h1><p>{text}</p></article></body></html>"
    truth = {
        "id": "1",
        "url": "https://courier.example/2026/10/20/tram-opens",
        "html": html,
        "text": TEXT,
        "title": "Tram opens",
        "authors": None,
        "date": "2026-10-20",
    }
    (folder / "extraction").mkdir(exist_ok=True)
    with gzip.open(folder / "extraction" / "real.jsonl.gz", "wt") as file:
        file.write(json.dumps(truth) + "\n")


def test_the_table_compares_two_readers_on_a_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_set(tmp_path)
    (record,) = real_records(tmp_path / "extraction" / "real.jsonl.gz")
    assert (record.authors, record.day) == (None, date(2026, 10, 20))
    assert main(["--data", str(tmp_path), "real"]) == 0
    _, mine, theirs = capsys.readouterr().out.splitlines()
    assert mine.split()[:7] == ["real", "newslake", "1", "1.0000", "1.0000", "1.0000", "100.0"]
    assert theirs.split()[:2] == ["trafilatura", "1"]
    assert main(["--data", str(tmp_path / "none"), "real"]) == 1


def test_only_an_update_moves_floors_and_only_a_reason_lowers_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = tmp_path / "baseline.json"
    common = ["--data", str(tmp_path), "--baseline", str(baseline), "real"]
    put_set(tmp_path)
    assert main(common) == 0
    assert not baseline.exists()
    assert main([*common, "--update"]) == 0
    kept = baseline.read_text()
    assert Floors.read(baseline).floors["real"]["f1"] == 1.0

    put_set(tmp_path, TEXT + " And so on." * 9)
    for arguments in (common, [*common, "--update"]):
        assert main(arguments) == 1
        assert "real: f1 is 0." in capsys.readouterr().out
        assert baseline.read_text() == kept
    assert main([*common, "--update", "--lower", "harder pages"]) == 0
    floors = Floors.read(baseline)
    assert floors.floors["real"]["f1"] < 1.0
    assert floors.lowered == [
        {
            "set": "real",
            "measure": "f1",
            "from": 1.0,
            "to": floors.floors["real"]["f1"],
            "reason": "harder pages",
        }
    ]
    for wrong in (["--lower", "why"], ["--update", "--lower", " "]):
        with pytest.raises(SystemExit):
            main([*common, *wrong])


def test_what_other_modules_measure_has_floors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"spring": {"f1": 0.5, "unclassified": 0.25}}
    monkeypatch.setattr(evaluate, "OTHERS", {"tides": lambda data: found})
    baseline = tmp_path / "baseline.json"
    assert main(["tides", "--baseline", str(baseline), "--update"]) == 0
    kept = {"tides, spring": {"f1": 0.5, "unclassified": 0.25}}
    assert Floors.read(baseline).floors == kept
    found["spring"]["unclassified"] = 0.26
    assert main(["tides", "--baseline", str(baseline)]) == 1


def test_floors_keep_to_the_safe_side() -> None:
    floors = Floors()
    floors.raise_floors(FOUND)
    assert floors.floors == {"own": {"f1": 0.9531, "unclassified": 0.1112}}
    assert not list(floors.breaches(FOUND))


@given(st.floats(0, 1), st.floats(0, 1))
def test_floors_never_fall_by_themselves(first: float, second: float) -> None:
    floors = Floors()
    for value in (first, second):
        before = dict(floors.floors.get("own", {}))
        floors.raise_floors({"own": {"f1": value, "unclassified": value}})
        after = floors.floors["own"]
        assert after["f1"] >= before.get("f1", 0)
        assert after["unclassified"] <= before.get("unclassified", 1)


def test_a_measure_that_is_no_longer_taken_is_a_breach() -> None:
    floors = Floors({"own": {"f1": 0.9}, "other": {"f1": 0.9}})
    (breach,) = floors.breaches({"own": {}})
    assert str(breach) == "own: f1 is not measured, its floor 0.9000"
    floors.lower_floors({"own": {}}, "no texts any more")
    assert floors.floors == {"own": {}, "other": {"f1": 0.9}}
    assert floors.lowered == [
        {"set": "own", "measure": "f1", "from": 0.9, "reason": "no texts any more"}
    ]


def test_own_pages_are_of_many_languages_and_kinds() -> None:
    records = list(own_records())
    assert len({record.id for record in records}) == len(records)
    assert len({r.id[:2] for r in records if r.text}) >= 12
    assert all(bool(record.text) != bool(record.state) for record in records)
