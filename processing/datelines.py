"""The date that readers see: what a page writes by its headline.

Of 1,170 labelled pages 938 had one there, and 892 of these named the right day: a better share
than of any other witness.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from datetime import date
from html import escape
from itertools import islice

from htmldate import find_date
from lxml.etree import iterwalk
from lxml.html import HtmlElement

from processing.moments import Moment, find_day, read_moment
from processing.records import EARLIEST

_BEFORE, _AFTER = 100, 400  # characters that readers see between a date and the headline
_LINE = 80  # characters of a line that says no more than when, who and where
_OPENING = 30  # characters that such a line may begin with
_NAME = 8  # characters of a site's name, which no headline is as short as
_MOST = 200  # elements of a kind looked at: a page has tens, an attack has thousands
_UNSEEN = frozenset(
    {"script", "style", "noscript", "template", "select", "button", "form", "svg"}
    | {"figure", "figcaption", "blockquote"}  # dates of pictures and of what others wrote
)
_OTHERS = re.compile(r"comment|kommentar|disqus|respon[ds]|related|teaser|copyright", re.IGNORECASE)
_CHANGED = re.compile(
    r"updat|modif|revis|\bedited|aktualis|geändert|änderung|mis à jour|actuali[sz]|aggiorn"
    r"|bijgewerkt|oppdater|uppdater|opdater|päivitetty|zaktual|обновл|оновл|güncel|更新|수정",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"(?<!\d)\d{1,2}\.?\s+[^\W\d_]{3,14}\.?,?\s+(?:19|20)\d\d(?!\d)"
    r"|[^\W\d_]{3,14}\.?\s+\d{1,2},?\s+(?:19|20)\d\d(?!\d)"
)
_PLACE = re.compile(r"\W*(?:[^\W\d_]+\W+)?")


def microdata(tree: HtmlElement) -> Iterator[Moment]:
    """What elements say that carry ``datePublished`` (https://schema.org/datePublished)."""
    for element in tree.xpath("//@itemprop[contains(., 'ublished')]/..")[:_MOST]:
        if "datepublished" in element.get("itemprop").lower().split() and element.tag != "meta":
            said = element.get("datetime") or element.get("content") or element.text_content()
            moment = read_moment(said)
            if moment:
                yield moment


def by_headline(tree: HtmlElement, today: date, *, month_first: bool = False) -> Iterator[Moment]:
    """The dates near the headline, the nearest first.

    Last come those of changes, and ``today`` before the headline, which may be the site's clock.
    ``month_first`` is how 03/04/2026 is read.
    """
    body = tree.find("body")
    headline = None if body is None else _headline(tree, body)
    if body is None or headline is None:
        return
    found = []
    label = ""
    for distance, element, line in _near(body, headline):
        moment, at = _stated(element, line, month_first)
        if moment:
            clock = distance < 0 and moment == Moment.of_day(today)
            last = clock or _is_change(element, f"{label} {line[:at]}")
            found.append((last, abs(distance), moment))
        if line:
            label = "" if moment else line[-_OPENING:]
    yield from (moment for *_, moment in sorted(found, key=lambda candidate: candidate[:2]))


def _headline(tree: HtmlElement, body: HtmlElement) -> HtmlElement | None:
    """The longest heading that the page's title repeats, else the first of the first rank."""
    titles = [
        tree.findtext(".//title"),
        *(meta.get("content") for meta in tree.iterfind(".//meta[@property='og:title']")),
    ]
    known = [title for text in titles if len(title := _folded(text or "")) > _NAME]
    headings = [
        (_folded(heading.text_content()), heading)
        for heading in islice(body.iter("h1", "h2", "h3"), _MOST)
    ]
    repeated = [
        (len(text), heading)
        for text, heading in headings
        if len(text) > _NAME and any(text in title or title in text for title in known)
    ]
    if repeated:
        return max(repeated, key=lambda candidate: candidate[0])[1]
    return next((heading for text, heading in headings if text and heading.tag == "h1"), None)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _near(body: HtmlElement, headline: HtmlElement) -> Iterator[tuple[int, HtmlElement, str]]:
    """The lines around the headline, with their distance from it: negative before it."""
    lines = _lines(body, headline)
    before: deque[tuple[int, HtmlElement, str]] = deque()
    place = 0
    for element, line in lines:
        if element is headline:
            break
        before.append((place, element, line))
        place += len(line)
        while before and place - before[0][0] > _BEFORE:
            before.popleft()
    yield from ((at - place, element, line) for at, element, line in before)
    place = 0
    for element, line in lines:
        yield place, element, line
        place += len(line)
        if place > _AFTER:
            return


def _lines(body: HtmlElement, headline: HtmlElement) -> Iterator[tuple[HtmlElement, str]]:
    """The page's texts in reading order and whose they are; the headline's is left out.

    A ``time`` that states its moment comes once more before its text, with none.
    """
    holders = set(headline.iterancestors())
    walk = iterwalk(body, events=("start", "end", "comment", "pi"))
    for event, element in walk:
        if event == "start":
            if element is headline or (element.tag == "time" and element.get("datetime")):
                yield element, ""
            if element is headline or (element not in holders and _is_passed_over(element)):
                walk.skip_subtree()
                continue
            owner, text = element, element.text
        elif element is body:
            return
        else:
            owner, text = element.getparent(), element.tail
        if text and not text.isspace():
            yield owner, " ".join(text.split())


def _is_passed_over(element: HtmlElement) -> bool:
    """Whether nobody sees an element, or it is about pictures, comments or other articles."""
    cue = f"{element.get('class') or ''} {element.get('id') or ''}"
    return element.tag in _UNSEEN or bool(_OTHERS.search(cue))


def _is_change(element: HtmlElement, label: str) -> bool:
    """Whether a date is that of a change: by the words before it or the element's names."""
    cue = f"{element.get('class') or ''} {element.get('itemprop') or ''}"
    return bool(_CHANGED.search(label)) or ("publish" not in cue and bool(_CHANGED.search(cue)))


def _stated(element: HtmlElement, line: str, month_first: bool) -> tuple[Moment | None, int]:
    """The moment that an element or a line of it states, and where in the line it begins.

    A line counts that says little else, or whose date opens a paragraph, as datelines do.
    """
    if not line:
        return read_moment(element.get("datetime")), 0
    head = line[: _LINE + 20]
    if not any(map(str.isdigit, head)):
        return None, 0
    found = find_day(head, month_first=month_first) or _in_other_languages(head)
    if not found:
        return None, 0
    day, at = found
    alone = len(line) <= _LINE and at <= _OPENING
    return (Moment.of_day(day) if alone or _PLACE.fullmatch(head[:at]) else None), at


def _in_other_languages(text: str) -> tuple[date, int] | None:
    """The day whose month htmldate can name."""
    match = _WORDS.search(text)
    if not match:
        return None
    day = searched(
        f"<html><body><p class='date'>{escape(match[0])}</p></body></html>", date(2100, 1, 1)
    )
    # Where it cannot read the month it makes up the day.
    if day and day.day in map(int, re.findall(r"\d+", match[0])):
        return day, match.start()
    return None


def searched(page: HtmlElement | str, latest: date) -> date | None:
    """The day that htmldate takes for a page's, if it finds one."""
    try:
        found = find_date(
            page,
            url="",
            original_date=True,
            min_date=EARLIEST.isoformat(),
            max_date=latest.isoformat(),
        )
    except Exception:  # htmldate on damaged markup: whatever it raises, it has no opinion
        return None
    return date.fromisoformat(found) if found else None
