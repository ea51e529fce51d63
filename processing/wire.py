"""Which news agency an article comes from: by its byline, dateline, credit or copyright line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_AGENCIES = {
    "AAP": "AAP|Australian Associated Press",
    "AFP": "AFP|Agence France[- ]Presse",
    "ANI": "ANI",
    "ANP": "ANP",
    "ANSA": "ANSA",
    "AP": "AP|(?:The )?Associated Press",
    "APA": "APA|Austria Presse Agentur",
    "BELGA": "Belga",
    "AA": "Anadolu(?: Agency| Ajansı)?|AA",
    "CP": "(?:The )?Canadian Press",
    "ČTK": "ČTK|CTK",
    "dpa": "dpa|Deutsche Presse-Agentur|dpa[-/]\\w{2,8}",
    "EFE": "EFE|Agencia EFE|Europa Press/EFE",
    "IANS": "IANS",
    "Interfax": "Interfax|Интерфакс",
    "Jiji": "Jiji(?: Press)?|時事(?:通信)?",
    "Kyodo": "Kyodo(?: News)?|共同(?:通信)?",
    "Lusa": "Lusa|Agência Lusa",
    "MTI": "MTI",
    "NTB": "NTB",
    "PA": "PA|PA Media|Press Association",
    "PAP": "PAP",
    "PTI": "PTI|Press Trust of India",
    "Reuters": "Reuters|Thomson Reuters",
    "Ritzau": "Ritzau",
    "SID": "SID",
    "TASS": "TASS|ТАСС",
    "TT": "TT",
    "UPI": "UPI",
    "Xinhua": "Xinhua|Xinhua News Agency|新华社",
    "Yonhap": "Yonhap(?: News)?|연합뉴스",
}
_NAMES = {name: re.compile(f"(?:{pattern})", re.I) for name, pattern in _AGENCIES.items()}
_APART = re.compile(r"\s*[/,;=]\s*|\s+(?:and|und|et|y|e)\s+")
_DATELINE = re.compile(r"^.{0,80}?[(（]\s*([^()（）]{2,40}?)\s*[)）]\s*(?:[-–—:.]|\s[-–—])")
_SLASHED = re.compile(r"^.{0,80}?/(TASS|ТАСС)/")
_BRACKETED = re.compile(r"^\W?[(（【\[]\s*([^()（）【】\[\]]{2,30}?)\s*[)）】\]]")
_CHINESE = re.compile(r"^\W{0,2}(新华社)[^\s，。]{1,20}电")
_CREDIT = re.compile(r"[.!?。”\"»]\s*[(（\[]\s*([^()（）\[\]]{2,40}?)\s*[)）\]]\W{0,2}$")
_SOURCE = re.compile(
    r"^\W{0,3}(?:source|sources|quelle|quellen|fuente|fonte|bron|kilde|källa|zdroj|źródło|forrás"
    r"|sursa|kaynak|источник|джерело|πηγή|lähde)\s?:\s*(.{2,60})$",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(
    r"(?:©|\(c\)|\bcopyright\b)\W{0,3}(?:copyright\W{0,2})?(?:(?:19|20)\d\d\W{0,3})?(?:by )?"
    r"([^\d.,|]{2,40})",
    re.IGNORECASE,
)
_END = 8  # lines after a text in which its credit or copyright may stand


def find_agency(authors: Iterable[str], text: str, found: str = "") -> str | None:
    """The agency that wrote an article, None for a paper's own.

    It is named by an author line, by the first line (``(AP) —``), by the end of the text
    (``(dpa)``) or by a source or copyright line; those are cut from ``text``, so ``found`` is the
    text with what stood below it.
    """
    return next(filter(None, map(_agency, _named(authors, text, found or text))), None)


def _named(authors: Iterable[str], text: str, found: str) -> Iterator[str]:
    yield from authors
    first, last = text.partition("\n")[0], text.rpartition("\n")[2]
    for pattern in (_DATELINE, _SLASHED, _BRACKETED, _CHINESE):
        match = pattern.match(first)
        yield from _APART.split(match[1]) if match else ()
    credit = _CREDIT.search(last[-80:])
    yield from _APART.split(credit[1]) if credit else ()
    for line in found.split("\n")[-_END:]:
        match = _SOURCE.match(line) or _COPYRIGHT.search(line[:200])
        yield from _APART.split(match[1]) if match else ()


def _agency(words: str) -> str | None:
    said = words.strip(" .:\u00a0")
    return next((name for name, pattern in _NAMES.items() if pattern.fullmatch(said)), None)
