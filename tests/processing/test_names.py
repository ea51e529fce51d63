"""Names in author lines: persons and houses, in the languages of news sites."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.names import (
    MAX_NAME,
    Sites,
    bracketed_bylines,
    looks_like_name,
    opens_byline,
    read_names,
)
from processing.texts import normalise_text

LINES = [
    ("Ada Moss", ["Ada Moss"], []),
    ("By Ada Moss", ["Ada Moss"], []),
    ("BY ADA MOSS AND BEN OKORO", ["ADA MOSS", "BEN OKORO"], []),
    ("Ada Moss, Ben Okoro, and Cy Lund", ["Ada Moss", "Ben Okoro", "Cy Lund"], []),
    ("Analysis by Ada Moss, CNN Editor-at-large", ["Ada Moss"], ["CNN"]),
    ("By ADA MOSS, AP Sports Writer", ["ADA MOSS"], ["AP"]),
    ("Ada Moss, Senior Politics Editor, Ben Okoro", ["Ada Moss", "Ben Okoro"], []),
    ("Ada Moss Senior Politics Editor", ["Ada Moss"], []),
    ("Ada Moss (amo)", ["Ada Moss"], []),
    ("Ada Moss, PhD", ["Ada Moss"], []),
    ("Ada Moss for The Courier", ["Ada Moss"], []),
    ("ADA MOSS December 28, 2026", ["ADA MOSS"], []),
    ("Ada Moss am 7. Juli 2026 - 18:44", ["Ada Moss"], []),
    ("Ada Moss | a.moss@courier.example", ["Ada Moss"], []),
    ("Ada Moss @adamoss", ["Ada Moss"], []),
    ("https://courier.example/authors/ada-moss", [], []),
    ("Moss, Ada", ["Ada Moss"], []),
    ("Ben Okoro, Jr., Staff Writer", ["Ben Okoro Jr"], []),
    ("A.B. Moss", ["A.B. Moss"], []),
    ("Alexa von Heiden", ["Alexa von Heiden"], []),
    ("View all posts by Ada Moss", ["Ada Moss"], []),
    ("Court Reporter", [], []),
    ("Staff Writer", [], []),
    ("null", [], []),
    ("Text: Ada Moss, Fotos: Ben Okoro", ["Ada Moss"], []),
    ("Reporting by Ada Moss; Editing by Ben Okoro", ["Ada Moss"], []),
    ("dpa/Reuters", [], ["dpa", "Reuters"]),
    ("Reuters, Rom", [], ["Reuters"]),
    ("Staff and wire reports", [], ["Staff", "wire reports"]),
    ("The Courier", [], ["The Courier"]),
    ("courier.com", [], ["courier.com"]),
    ("Lokalredaktion", [], ["Lokalredaktion"]),
    ("Von Ada Moß und Ben Okoro", ["Ada Moß", "Ben Okoro"], []),
    ("Ein Kommentar von Ada Moß", ["Ada Moß"], []),
    ("Ada Moß im Gespräch mit Ben Okoro", ["Ada Moß", "Ben Okoro"], []),
    ("Propos recueillis par Ada MOSS.", ["Ada MOSS"], []),
    ("Ana Ruiz, Luis Sol y José Miguel Vega", ["Ana Ruiz", "Luis Sol", "José Miguel Vega"], []),
    ("José Ortega y Gasset", ["José Ortega y Gasset"], []),
    ("Redacción", [], ["Redacción"]),
    ("Di Ada Mossi e Bruno Lodi", ["Ada Mossi", "Bruno Lodi"], []),
    ("Door Ada van der Mos", ["Ada van der Mos"], []),
    ("Av Ada Mose og Bjørn Lund", ["Ada Mose", "Bjørn Lund"], []),
    ("Tekst: Ada Mose, foto: Bjørn Lund", ["Ada Mose"], []),
    ("Автор: Анна Мох", ["Анна Мох"], []),
    ("Пише Анна Мох", ["Анна Мох"], []),
    ("Írta: Moss Ada", ["Moss Ada"], []),
    ("Piše: Ana Horvat", ["Ana Horvat"], []),
    ("Γράφει η Άννα Μος", ["Άννα Μος"], []),
    ("Haber: Ada Taş", ["Ada Taş"], []),
    ("Penulis: Budi Santoso, Editor: Siti", ["Budi Santoso"], []),
    ("كتب - أحمد محمد", ["أحمد محمد"], []),
    ("記者王小明／台北報導", ["王小明"], []),
    ("责编：牛一、岳二三", ["牛一", "岳二三"], []),
    ("홍길동 기자 외 1명", ["홍길동"], []),
    ("文：山田太郎", ["山田太郎"], []),
    ("読売新聞", [], ["読売新聞"]),
]


@pytest.mark.parametrize(("line", "persons", "houses"), LINES, ids=[line for line, *_ in LINES])
def test_an_author_line(line: str, persons: list[str], houses: list[str]) -> None:
    assert read_names([line]) == (persons, houses)


def test_each_name_once_and_in_order() -> None:
    assert read_names(["Ada Moss", "BEN OKORO", "ada moss", "dpa", "Ben Okoro, DPA"]) == (
        ["Ada Moss", "BEN OKORO"],
        ["dpa"],
    )


def test_a_site_is_no_person() -> None:
    sites = Sites.of("www.harbourpost.example", "Ada and Ben's Kitchen", "The Harbour Post")
    for name in ("Harbour Post", "HarbourPost", "harbourpost.example", "Ada and Ben's Kitchen"):
        assert name in sites
        assert read_names([name], sites) == ([], [name])
    assert read_names(["Ada Moss"], sites) == (["Ada Moss"], [])
    assert "" not in sites


@pytest.mark.parametrize(
    ("text", "alone", "is_name"),
    [
        ("Ada Moss", False, True),
        ("Ada van der Moss", False, True),
        ("Moss", False, False),
        ("Moss", True, True),
        ("王小明", False, True),
        ("أحمد محمد", False, True),
        ("Link Copied", True, False),
        ("Get author RSS feed", True, False),
        ("minutes read", True, False),
        ("the mayor of town", True, False),
        ("Third Debate Is Set For Houston", True, False),
        ("分享到", True, False),
    ],
)
def test_what_may_be_a_name(text: str, alone: bool, is_name: bool) -> None:
    assert looks_like_name(text, alone=alone) is is_name


def test_bylines_in_a_text() -> None:
    assert opens_byline("By Ada Moss")
    assert opens_byline("(Autor: Ada Moss)")
    assert opens_byline("홍길동 기자 hong@courier.example")
    assert not opens_byline("Ada Moss opened the tram line.")
    line = "（新华社记者张三 李四）有轨电车开通了。(no byline)"
    assert read_names(bracketed_bylines(line)) == (["张三", "李四"], [])


MARKS = ["By ", "by", "von ", ", ", " and ", " y ", "/", " - ", "·", "(", ")", "（", ": ", "\n"]
WORDS = [
    "記者",
    " 기자",
    "Foto: ",
    "Reporter",
    "AP",
    "dpa",
    "December ",
    "12",
    ", Jr",
    "PhD",
    "null",
]
NAMES = [
    "Ada Moss",
    "O'Neill",
    " for The ",
    "https://",
    "www.",
    " @a",
    "a@b.example",
    ".com",
    "\xad",
]
FRAGMENTS = st.sampled_from(MARKS + WORDS + NAMES)
NOISE = st.lists(FRAGMENTS | st.text(max_size=6), max_size=12).map("".join)


@settings(deadline=None, max_examples=200)
@given(st.lists(NOISE, max_size=4))
def test_names_are_clean_and_stay_as_they_are(lines: list[str]) -> None:
    persons, houses = read_names(lines)
    for name in persons + houses:
        assert normalise_text(name)
        assert len(name) <= MAX_NAME
        assert name == name.strip()
        assert not re.search(r"https?:|www\.|@", name)
    for names in (persons, houses):
        assert len({normalise_text(name) for name in names}) == len(names)
    assert read_names(persons) == (persons, [])
    assert read_names(houses) == ([], houses)


@pytest.mark.parametrize("line", ["by " * 9000, "(" * 9000, "a" * 9000, "a@" * 9000, " y " * 9000])
def test_a_line_that_is_no_line_is_read_to_an_end(line: str) -> None:
    assert read_names([line] * 1000) == ([], [])
