"""HTML of anybody's made harmless: its words and their structure, nothing that runs or loads.

All but an allowlist of elements goes, none of which loads anything, and all but an allowlist of
attributes, none of which holds an address. Run as a program it does so from standard input to
standard output.
"""

from __future__ import annotations

import sys

import nh3

_TAGS = {
    "a", "abbr", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote", "br",
    "caption", "center", "cite", "code", "col", "colgroup", "data", "dd", "del", "details", "dfn",
    "div", "dl", "dt", "em", "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hgroup", "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "nav", "ol", "p",
    "pre", "q", "rp", "rt", "ruby", "s", "samp", "section", "small", "span", "strike", "strong",
    "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt",
    "u", "ul", "var", "wbr",
}  # fmt: skip
_ATTRIBUTES = {
    "*": {"dir", "lang"},
    "img": {"alt"},
    "ol": {"reversed", "start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "time": {"datetime"},
}
_GONE = {
    "applet", "audio", "canvas", "embed", "frameset", "iframe", "noembed", "noframes", "noscript",
    "object", "script", "select", "style", "svg", "template", "textarea", "title", "video",
}  # fmt: skip
"""Elements that go with all they hold; of others that are not allowed the words stay."""


def sanitised(html: str) -> str:
    """A fragment of HTML with the allowed elements and attributes of ``html`` alone."""
    return nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_GONE,
        attributes=_ATTRIBUTES,
        link_rel=None,
        url_schemes=set(),
    )


if __name__ == "__main__":
    page = sys.stdin.buffer.read().decode()
    sys.stdout.buffer.write(sanitised(page).encode())
