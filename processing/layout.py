"""Pages of the table-and-font days, given the structure that readers see in them.

Where a page has no paragraphs, two line breaks part its paragraphs, tables lay it out, and a
large font is its headline. Extraction engines look for ``p`` and take the tables for data.
"""

from __future__ import annotations

from lxml.html import Element, HtmlElement

_PARAGRAPHS = 250  # characters in real paragraphs that make a page a modern one
_TEXT = 300  # characters that make a block the article's
_BREAKS = 2  # paragraphs' breaks such a block has at least
_INLINE = frozenset({"a", "abbr", "b", "big", "cite", "em", "font", "i", "small", "span", "strong"})
_TABLE = ("table", "tbody", "tr", "td", "th", "center")
_HEADLINE_SIZES = frozenset({"5", "6", "7", "+2", "+3", "+4"})


def modernise(tree: HtmlElement) -> str | None:
    """Turn double breaks into paragraphs and layout tables into blocks. Changes the tree.

    The headline that a large font makes, where the page was such a one; None for every other
    page, which is left alone.
    """
    if not _lays_out(tree):
        if sum(len(p.text_content().strip()) for p in tree.iter("p")) >= _PARAGRAPHS:
            return None
        blocks = [
            element
            for element in tree.iter("font", "td", "div", "span", "center", "body")
            if _double_breaks(element) >= _BREAKS and len(element.text_content()) >= _TEXT
        ]
        if not blocks:
            return None
        for block in blocks:
            _into_paragraphs(block)
    for element in list(tree.iter(*_TABLE)):
        element.tag = "div"
    return _headline(tree)


def _lays_out(tree: HtmlElement) -> bool:
    """Whether tables hold the page's paragraphs: layout, not data."""
    in_tables = in_all = 0
    for p in tree.iter("p"):
        length = len(p.text_content().strip())
        in_all += length
        if next(p.iterancestors("td"), None) is not None:
            in_tables += length
    return in_tables >= _PARAGRAPHS and in_tables >= in_all / 2


def _headline(tree: HtmlElement) -> str | None:
    """The last line in a large font before the longest paragraph."""
    large, longest, headline = None, 0, None
    for element in tree.iter("font", "big", "p"):
        text = " ".join(element.text_content().split())
        if element.tag == "p":
            if len(text) > longest and large != text:
                longest, headline = len(text), large
        elif (element.get("size") or "").strip() in _HEADLINE_SIZES and text:
            large = text
    return headline


def _double_breaks(element: HtmlElement) -> int:
    return sum(_ends_paragraph(child) for child in element if child.tag == "br")


def _ends_paragraph(child: HtmlElement) -> bool:
    following = child.getnext()
    return following is not None and following.tag == "br" and not (child.tail or "").strip()


def _into_paragraphs(block: HtmlElement) -> None:
    parts: list[HtmlElement | str] = [block.text or ""]
    for child in block:
        parts += [child, child.tail or ""]
        child.tail = None
    block.text, block[:] = None, []
    breaks = _BREAKS
    for part in parts:
        if isinstance(part, str) and not part.strip():
            continue
        if not isinstance(part, str) and part.tag == "br":
            breaks += 1
        elif isinstance(part, str) or part.tag in _INLINE:
            if breaks >= _BREAKS:
                block.append(Element("p"))
            _append(block[-1], part, "\n" if breaks == 1 else "")
            breaks = 0
        else:
            block.append(part)
            breaks = _BREAKS
    if block.tag in _INLINE:
        block.tag = "div"


def _append(paragraph: HtmlElement, part: HtmlElement | str, before: str) -> None:
    text = before + (part if isinstance(part, str) else "")
    if len(paragraph):
        paragraph[-1].tail = (paragraph[-1].tail or "") + text
    else:
        paragraph.text = (paragraph.text or "") + text
    if not isinstance(part, str):
        paragraph.append(part)
