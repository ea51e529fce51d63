"""Which news agency an article comes from, by its byline or dateline."""

from __future__ import annotations

import re
from collections.abc import Iterable

_AGENCIES = {
    "AAP": "AAP|Australian Associated Press",
    "AFP": "AFP|Agence France[- ]Presse",
    "ANI": "ANI",
    "ANP": "ANP",
    "ANSA": "ANSA",
    "AP": "AP|(?:The )?Associated Press",
    "APA": "APA|Austria Presse Agentur",
    "BELGA": "Belga",
    "CP": "(?:The )?Canadian Press",
    "ČTK": "ČTK|CTK",
    "dpa": "dpa|Deutsche Presse-Agentur|dpa[-/]\\w{2,5}",
    "EFE": "EFE|Agencia EFE|Europa Press/EFE",
    "IANS": "IANS",
    "Kyodo": "Kyodo(?: News)?|共同",
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
_DATELINE = re.compile(r"^.{0,80}?[(（]\s*([^()（）]{2,40}?)\s*[)）]\s*(?:[-–—:.]|\s[-–—])")


def find_agency(authors: Iterable[str], text: str) -> str | None:
    """The agency that an author line names or the first line's dateline, ``(AP) —``."""
    dateline = _DATELINE.match(text.partition("\n")[0])
    said = [*authors, *(dateline[1].split("/") if dateline else ())]
    for words in said:
        for name, pattern in _NAMES.items():
            if pattern.fullmatch(words.strip()):
                return name
    return None
