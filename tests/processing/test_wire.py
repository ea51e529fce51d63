"""Which agency wrote an article: every place that names one, and what only seems to."""

import pytest

from processing.wire import find_agency

TEXT = "The harbour was closed on Monday.\nIt will open again on Friday, the port office said."


@pytest.mark.parametrize(
    ("agency", "first"),
    [
        ("AP", "LISBON (AP) — The harbour was closed."),
        ("Reuters", "LISBON, Nov 20 (Reuters) - The harbour was closed."),
        ("dpa", "Lissabon (dpa/lno) - Der Hafen war geschlossen."),
        ("AFP", "Lisbonne (AFP) – Le port est fermé."),
        ("TASS", "МОСКВА, 20 ноября. /ТАСС/. Порт закрыт."),
        ("Yonhap", "(서울=연합뉴스) 항구가 폐쇄됐다."),
        ("Xinhua", "新华社里斯本11月20日电 港口周一关闭。"),
        ("Kyodo", "【共同】港は月曜日に閉鎖された。"),
    ],
)
def test_datelines(agency: str, first: str) -> None:
    assert find_agency([], f"{first}\n{TEXT}") == agency


@pytest.mark.parametrize(
    ("agency", "line"),
    [
        ("AP", "© 2026 The Associated Press. All rights reserved."),
        ("AFP", "Copyright AFP"),
        ("dpa", "© dpa-infocom, dpa:261120-930-1/2"),
        ("dpa", "Quelle: ntv.de, dpa"),
        ("EFE", "Fuente: EFE"),
        ("ANSA", "Fonte: ANSA"),
        ("PAP", "Źródło: PAP"),
        ("AA", "Kaynak: Anadolu Ajansı"),
        ("Interfax", "Источник: Интерфакс"),
    ],
)
def test_lines_below_the_text(agency: str, line: str) -> None:
    assert find_agency([], TEXT, f"{TEXT}\n{line}\nMore news") == agency


@pytest.mark.parametrize(
    ("agency", "last"),
    [
        ("APA", "„Wir sind erleichtert“, sagte die Hafenmeisterin. (APA/dpa)"),
        ("Jiji", "港は金曜日に再開する。（時事）"),
    ],
)
def test_the_end_of_a_text(agency: str, last: str) -> None:
    assert find_agency([], f"{TEXT}\n{last}") == agency


def test_bylines() -> None:
    assert find_agency(["Ann Lee", "Associated Press"], TEXT) == "AP"
    assert find_agency(["PTI"], TEXT) == "PTI"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "The AP reported on Monday that the harbour was closed.",
        f"{TEXT}\nThe minister told Reuters (he has no car) that he would walk.",
        f"{TEXT}\n© 2026 Harbour Herald",
        f"{TEXT}\nThe port has a new map (AP style).",
        f"{TEXT}\nSource: the port office",
    ],
    ids=["none", "mentioned", "quoted", "own-copyright", "in-brackets", "own-source"],
)
def test_what_names_no_agency_as_its_writer(text: str) -> None:
    assert find_agency(["Ann Lee"], text, text) is None
