"""Quality holds its floors, and each of our own pages is taken or refused as it should be.

The real sets are held, too, where they are at hand: those with texts whole, the others by sample.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from evaluate import (
    BASELINE,
    DATA,
    OTHERS,
    OWN,
    SAMPLED,
    Record,
    ours,
    own_records,
    real_records,
    real_sets,
    sample_name,
    score,
)
from floors import Floors, Measures

from processing.extraction import extract
from processing.records import Article, Rejection

REAL = real_sets()
PAGES = [pytest.param(record, id=record.id) for record in own_records()]


def records_of(name: str) -> Iterator[Record]:
    return own_records() if name == OWN else real_records(REAL[name], SAMPLED.get(name, 1))


def measured(name: str) -> dict[str, Measures]:
    if name in OTHERS:
        return {f"{name}, {part}": said for part, said in OTHERS[name](DATA).items()}
    return {sample_name(name): score(records_of(name), ours)[0].measures()}


@pytest.mark.parametrize("name", [OWN, *REAL, *(OTHERS if REAL else ())])
def test_no_measure_is_below_its_floor(name: str) -> None:
    floors = Floors.read(BASELINE)
    found = measured(name)
    assert found.keys() <= floors.floors.keys()
    assert [str(breach) for breach in floors.breaches(found)] == []


@pytest.mark.parametrize("record", PAGES)
def test_each_page_is_taken_or_refused_for_the_right_reason(record: Record) -> None:
    outcome = extract(record.page)
    if record.state is None:
        assert isinstance(outcome, Article), outcome
        assert outcome.language == record.language
    else:
        assert isinstance(outcome, Rejection), outcome.text
        assert outcome.state == record.state
        assert record.detail in outcome.detail
