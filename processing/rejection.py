"""What is no article, told without a model: not HTML, a bot check, a front page, a stub.

Every rule errs towards keeping: a page is refused for what it is, never for a word it uses. Of 344
labelled news pages one is refused, whose text its scripts draw; of 27,974 news texts none is taken
for a wall.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from lxml.etree import iterwalk
from lxml.html import HtmlElement

from processing.metadata import PageMetadata
from processing.phrases import CHECKS, CONSENT, ERRORS, SCRIPT
from processing.records import Page, Rejection, State
from processing.texts import count_words, normalise_text

MINIMUM_WORDS = 25
"""A floor by choice: the shortest of 344 labelled news texts has 64, and briefs have fewer."""
_BRIEF_WORDS = 60

_HTML_TYPES = ("text/html", "application/xhtml", "text/plain", "application/xml", "text/xml")
_BINARY = (
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"RIFF", "a media file"),
    (b"\x00\x00\x00", "a media file"),
)
_FEED = re.compile(
    rb"\s*(?:<\?xml[^>]*>)?\s*(?:<!--.{0,500}?-->\s*)?<(?:rss|feed|urlset|sitemapindex|rdf:RDF)\b",
    re.S,
)
_JSON = re.compile(rb"\s*[\[{]\s*[\"{\[\]}]")
_MARKUP = re.compile(rb"<\s*[a-zA-Z!]")

_RENDERING = "the page needs JavaScript to show its text: try `render: true`"
_WALLS = (
    (CHECKS, "a bot check stands where the article should be"),
    (CONSENT, "a consent wall stands where the article should be"),
    (ERRORS, "an error page that was sent as a success"),
)
_LONG_PAGE = 400  # words; walls and error pages say less
_LONG_CLAIM = 100  # words; the same where the page calls itself an article
_LOOKED_AT = 5_000  # characters of a page with so few words
_WORTH = 50  # words of a page for which one phrase of a wall answers
_TITLE_WORTH = 2  # further phrases that a title is worth which says nothing else
_FILLED = 0.6  # share of such a title's characters
_TITLE_BREAK = re.compile(r"\s+[|–—·•»:-]+\s+")
_QUOTED = 60

_FRONT_TYPES = {
    "CollectionPage",
    "SearchResultsPage",
    "ImageGallery",
    "MediaGallery",
    "VideoGallery",
    "ProfilePage",
    "ContactPage",
}
_INDEX_WORDS = 90
_INDEX_LINKS = 4
_HEADLINE_WORDS = 5
_TEASER_WORDS = 45
_STRETCH_KEY = 40  # characters of a line by which it is found on the page
_STRETCHES = 500  # a longer page is judged by its beginning
_LINES = 200
_UNSEEN = ("script", "style", "template", "noscript", "svg")
_ARTICLE_ADDRESS = re.compile(r"\d{5}|/(?:19|20)\d\d/|[^/-]+(?:-[^/-]+){3}")

_SENTENCE_END = re.compile(r"[.!?…:;。！？।॥۔؟።។။]['\"”’»）)\]]*\s*$")
_SENTENCE_WORDS = 5
_LONG_LINE = 12  # words; a line as long is a sentence where scripts mark no end
_FIGURES = 0.2  # share of digits that makes a line a row of figures
_RUNNING_WORDS = 15  # the shortest of 2,216 labelled pages in sentences has 18
_PUZZLE = re.compile(
    r"\b(?:crosswords?|sudoku|word ?search|kreuzworträtsel|mots (?:croisés|fléchés|mêlés)"
    r"|crucigrama|palavras cruzadas|cruciverba|parole crociate|kruiswoord|krzyżówk|křížovk"
    r"|korsord|kryssord|krydsord|sanaristik|keresztrejtvény|bulmaca|кроссворд|сканворд|σταυρόλεξ)"
    r"|クロスワード|ナンプレ|数独|십자말",
    re.IGNORECASE,
)

_GALLERY = 4  # pictures
_PLAYER = re.compile(r"youtube|youtu\.be|vimeo|dailymotion|/embed|player|video", re.IGNORECASE)
_BARE_WORDS = 60  # a page that shows fewer, and has scripts, is drawn by them


def not_html(page: Page) -> Rejection | None:
    """A rejection when the body is no HTML document, by its type and its bytes."""
    kind = page.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not kind.startswith(_HTML_TYPES):
        return Rejection(State.REJECTED_NOT_HTML, f"the content type is {kind[:80]}")
    if not page.body.strip():
        return Rejection(State.REJECTED_NOT_HTML, "the body is empty")
    found = _other_format(page.body)
    return Rejection(State.REJECTED_NOT_HTML, f"the body is {found}") if found else None


def _other_format(body: bytes) -> str | None:
    for magic, name in _BINARY:
        if body.startswith(magic):
            return name
    if _FEED.match(body[:2000]):
        return "a feed or sitemap"
    if _JSON.match(body[:200]):
        return "JSON"
    wide = body.startswith((b"\xff\xfe", b"\xfe\xff"))
    return None if wide or _MARKUP.search(body) else "plain text without markup"


def claims_article(said: PageMetadata) -> bool:
    """Whether the page calls itself an article, in JSON-LD or og:type."""
    return bool(said.article) or (said.first("og:type") or "").casefold() == "article"


def blocked(title: str, text: str, visible: str, *, claims: bool) -> Rejection | None:
    """A rejection when the page stands in front of the article instead of being it.

    ``text`` is what was extracted, ``visible`` all that a reader would see; ``claims`` is
    whether the page calls itself an article. A wall says little beside what walls say, while an
    article may stand above a banner, or be about walls.
    """
    words = count_words(text)
    if words >= (_LONG_CLAIM if claims else _LONG_PAGE):
        return None
    lines = [" ".join(line.split()) for line in text[:_LOOKED_AT].split("\n")]
    wall = _wall(" ".join(title.split()), lines, claims=claims)
    bare = words < MINIMUM_WORDS and not claims
    if not wall and bare and count_words(visible) < _LONG_PAGE:
        wall = _wall("", [" ".join(visible[:_LOOKED_AT].split())], claims=False)
    return wall


def _wall(title: str, lines: list[str], *, claims: bool) -> Rejection | None:
    """The wall of which these lines have most phrases, if those answer for all their words."""
    weights: dict[str, int] = {}
    for pattern, detail in _WALLS:
        said = _phrases(pattern, [title, *lines])
        weight = len(said) + _TITLE_WORTH * _fills(pattern, title)
        if said and not _says_more(pattern, lines, _WORTH * weight, claims=claims):
            weights[f"{detail}: “{said[0]}”"] = weight
    if weights:
        return Rejection(State.REJECTED_BLOCKED, max(weights, key=weights.__getitem__))
    # A check, too, asks for scripts; and each of these phrases, slow to look for, names them.
    said = _phrases(SCRIPT, [line for line in (title, *lines) if "script" in line.casefold()])
    if said and not _says_more(SCRIPT, lines, _WORTH * len(said), claims=claims):
        return Rejection(State.REJECTED_BLOCKED, f"{_RENDERING} (“{said[0]}”)")
    return None


def _says_more(pattern: re.Pattern[str], lines: list[str], most: int, *, claims: bool) -> bool:
    """Whether lines hold more words than a wall's, or enough of their own for a brief."""
    if claims:
        own = sum(count_words(line) for line in lines if not pattern.search(line))
        return own >= MINIMUM_WORDS
    return sum(map(count_words, lines)) > most


def _phrases(pattern: re.Pattern[str], lines: Iterable[str]) -> list[str]:
    """The different phrases of a pattern in some lines, in their order."""
    found = (match[0] for line in lines for match in pattern.finditer(line))
    return list(dict.fromkeys(phrase[:_QUOTED].casefold() for phrase in found))


def _fills(pattern: re.Pattern[str], title: str) -> bool:
    """Whether a title, the site's name apart, says hardly more than a phrase of the pattern."""
    return any(
        (match := pattern.search(part)) and len(match[0]) >= _FILLED * len(part)
        for part in _TITLE_BREAK.split(title)
    )


@dataclass(frozen=True, slots=True)
class Headlines:
    """How many headlines of a page are links, and what it shows from each one to the next.

    ``stretches`` are in reading order and normalised (``texts.normalise_text``), each with the
    headline it begins with; the first is what stands above all of them. Empty where there are
    too few headlines for a list.
    """

    count: int
    stretches: tuple[str, ...] = ()

    def share_out(self, text: str) -> Counter[int]:
        """The words of an extracted text by the stretch that each of its lines stands in."""
        held: Counter[int] = Counter()
        for line in text.split("\n", _LINES)[:_LINES]:
            key = normalise_text(line)[:_STRETCH_KEY]
            places = (n for n, stretch in enumerate(self.stretches) if key in stretch)
            if key and (place := next(places, None)) is not None:
                held[place] += count_words(line)
        return held


def linked_headlines(tree: HtmlElement) -> Headlines:
    """The headings and list items of a page that are a link of some words, and what parts them."""
    items = {item for item in tree.iter("h2", "h3", "h4", "li") if _is_headline_link(item)}
    if len(items) < _INDEX_LINKS:
        return Headlines(len(items))
    stretches: list[list[str]] = [[]]
    for event, element in iterwalk(tree, events=("start", "end", "comment", "pi")):
        if event == "start":
            if element in items:
                stretches.append([])
            said = None if element.tag in _UNSEEN else element.text
        else:
            said = element.tail
        if said and not said.isspace():
            stretches[-1].append(said)
    looked_at = (normalise_text(" ".join(parts)) for parts in stretches[:_STRETCHES])
    return Headlines(len(items), tuple(looked_at))


def not_article(said: PageMetadata, text: str, headlines: Headlines) -> Rejection | None:
    """A rejection when the page lists articles, or is a gallery, a video or the home page.

    A page that calls itself an article (JSON-LD or og:type) is believed, unless it is a puzzle.
    """
    kind = _stated_kind(said, count_words(text))
    if not kind and _is_puzzle(said, text) and not _runs(text):
        kind = "a puzzle"
    if not kind and not claims_article(said):
        if is_list(said.url, text, headlines):
            kind = f"a list of {headlines.count} linked headlines, not one text"
        elif count_words(text) >= MINIMUM_WORDS and not _runs(text):
            kind = "lists or figures, no running text"
    return Rejection(State.REJECTED_NOT_ARTICLE, kind) if kind else None


def _stated_kind(said: PageMetadata, words: int) -> str | None:
    """What the page calls itself by its address or its types, where that is no article."""
    parts = urlsplit(said.url)
    home = parts.path.strip("/") in ("", "index.html", "index.php") and not parts.query
    if home and not said.article.get("datePublished"):
        return "the home page of a site"
    if said.article:
        return None
    front = sorted(said.types & _FRONT_TYPES)
    if front:
        return f"the page calls itself {front[0]}"
    video = (said.first("og:type") or "").startswith("video") and words < _INDEX_WORDS
    return f"a video page with {words} words" if video else None


def _is_puzzle(said: PageMetadata, text: str) -> bool:
    titles = (said.headline, said.first("og:title", "twitter:title"), text[:_INDEX_WORDS])
    return any(title and _PUZZLE.search(title) for title in titles)


def is_list(url: str, text: str, headlines: Headlines) -> bool:
    """Whether headlines part the text into teasers, or there is little else on a front's address.

    An article may stand among as many headlines: then its text is one long stretch of the page.
    """
    if headlines.count < _INDEX_LINKS:
        return False
    held = headlines.share_out(text)
    if len(held) >= _INDEX_LINKS and max(held.values()) < _TEASER_WORDS:
        return True
    parts = urlsplit(url)
    address = unquote(f"{parts.path}?{parts.query}")
    return count_words(text) < _INDEX_WORDS and not _ARTICLE_ADDRESS.search(address)


def _is_headline_link(item: HtmlElement) -> bool:
    link = item.getparent() if _in_link(item) else item.find(".//a")
    return link is not None and count_words(" ".join(link.itertext())) >= _HEADLINE_WORDS


def _in_link(heading: HtmlElement) -> bool:
    parent = heading.getparent()
    return parent is not None and parent.tag == "a"


def _runs(text: str) -> bool:
    """Whether there are sentences, not only labels, clues, scores or a table's short cells."""
    lines: list[str] = []
    for line in text.split("\n", _LINES)[:_LINES]:
        if lines and line.lstrip()[:1].islower():
            lines[-1] += f" {line}"  # broken within a sentence
        else:
            lines.append(line)
    cells = (cell.strip() for line in lines for cell in line.split("|"))
    return sum(count_words(cell) for cell in cells if _is_sentence(cell)) >= _RUNNING_WORDS


def _is_sentence(line: str) -> bool:
    words = count_words(line)
    figures = sum(map(str.isdigit, line))
    if words < _SENTENCE_WORDS or figures > _FIGURES * len(line):
        return False
    return words >= _LONG_LINE or bool(_SENTENCE_END.search(line[-_LONG_LINE:]))


def too_short(text: str, tree: HtmlElement, free: bool | None = None) -> Rejection | None:
    """A rejection when too little text was found to call it an article, saying what there is.

    Of a short text only what stands in the page's own paragraphs counts, where it has any: on a
    page without a report the engine gathers buttons and labels into one. ``free`` is whether
    the page says that it is open to all readers.
    """
    words = count_words(text)
    if words < _BRIEF_WORDS:
        whole = normalise_text(text[:_LOOKED_AT])
        own = [p for p in map(_said, tree.iter("p")) if p and normalise_text(p) in whole]
        words = min(words, sum(map(count_words, own))) if own else words
    if words >= MINIMUM_WORDS:
        return None
    found = f"{words} {'word' if words == 1 else 'words'} of text"
    shown = None if free is False else _shows_instead(tree)
    if shown:
        return Rejection(State.REJECTED_NOT_ARTICLE, f"{shown}, with {found}")
    if free is False:
        reason = f"fewer than {MINIMUM_WORDS}: the rest is for subscribers"
    elif _is_drawn_by_scripts(tree):
        reason = _RENDERING
    else:
        reason = f"fewer than {MINIMUM_WORDS}"
    return Rejection(State.REJECTED_TOO_SHORT, f"{found}, {reason}")


def _shows_instead(tree: HtmlElement) -> str | None:
    """The pictures or the player that a page shows in place of a text."""
    pictures = sum(_is_own_picture(figure) for figure in tree.iter("figure"))
    if pictures >= _GALLERY:
        return f"a gallery of {pictures} pictures"
    frames = (frame.get("src") or "" for frame in tree.iter("iframe"))
    if next(tree.iter("video"), None) is not None or any(map(_PLAYER.search, frames)):
        return "a video"
    return "a recording" if next(tree.iter("audio"), None) is not None else None


def _is_own_picture(figure: HtmlElement) -> bool:
    """Whether a picture leads nowhere: one that is a link stands for another article."""
    return figure.find(".//a") is None and next(figure.iterancestors("a"), None) is None


def _is_drawn_by_scripts(tree: HtmlElement) -> bool:
    body = tree.find("body")
    shown = 0 if body is None else count_words(" ".join(_seen(body)))
    return shown < _BARE_WORDS and any("json" not in s.get("type", "") for s in tree.iter("script"))


def _seen(body: HtmlElement) -> Iterable[str]:
    for element in body.iter():
        if isinstance(element.tag, str) and element.tag not in _UNSEEN and element.text:
            yield element.text


def _said(element: HtmlElement) -> str:
    return " ".join("".join(map(str, element.itertext())).split())
