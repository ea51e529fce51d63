"""A lake with an article of each kind that the *Article* view tells apart."""

from __future__ import annotations

from datetime import UTC, datetime

import hostile_markup
from crawled_lake import crawl, finish, report
from filled_lake import FIRST, article, published

from processing import forgetting
from processing.storage import Store

OLD, NEW = "20261109T120000Z-abcdef", "20261110T120000Z-abcdef"
SITE, MIRROR = "https://courier.example/2026/11/10", "https://mirror.example/2026/11/10"
STORY, ARABIC, HOSTILE, GONE = f"{SITE}/story", f"{SITE}/arabic", f"{SITE}/hostile", f"{SITE}/gone"
PLAIN = "https://herald.example"
EXPIRED, ELSEWHERE, DAMAGED = (f"{PLAIN}/{name}" for name in ("expired", "elsewhere", "damaged"))

_SENTENCES = [
    f"On day {n} the council of ward {n * 7} heard {n + 3} speakers about the wall of harbour {n}."
    for n in range(12)
]
_ARABIC = (
    "قال مسؤولون في الميناء يوم الجمعة إن المياه ارتفعت خلال الليل إلى مستوى لم تشهده المدينة منذ"
    " الفيضان الكبير، وإن فرق الإنقاذ نقلت عشرات العائلات من الأحياء القريبة من الشاطئ إلى مدارس"
    " تقع على التلال المجاورة."
)
_FOREIGN = ("s3://crawls/CC-NEWS-20261110.warc.gz", 1234, 5678)


def fill(store: Store, target: str) -> None:
    """Publish them all; the hostile page leads to ``target``, an origin."""
    text = "".join(f"<p>{sentence}</p>" for sentence in _SENTENCES)
    edited = text.replace(_SENTENCES[5], "Our own reporter adds this.")
    early = text.replace("harbour 3", "<b>haven</b> 3")
    crawl(store, OLD, "courier", {STORY: _page("Wall of the harbour", early)})
    finish(store, OLD, ["courier"])
    crawl(
        store,
        NEW,
        "courier",
        {
            STORY: _page("Wall of the harbour, heard", text),
            ARABIC: _arabic(),
            HOSTILE: hostile_markup.page(target, f"<h1>Low tide</h1>{_words('Low tide')}"),
            GONE: report("High water"),
        },
    )
    copies = {STORY: _page("Wall, again", text), f"{MIRROR}/edited": _page("Edited", edited)}
    crawl(store, NEW, "mirror", copies)
    finish(store, NEW, ["courier", "mirror"])
    raw = "raw/date=2026-11-10/source=herald/broken.warc.gz"
    store.put(raw, b"no record")
    published(
        store,
        FIRST,
        article("/expired", "A text of its own, of which the page has expired."),
        article("/elsewhere", "Another, whose page lies elsewhere.", **_pointer(*_FOREIGN)),
        article("/damaged", "A third, whose page is damaged.", **_pointer(raw, 2, 4)),
        finished=datetime(2026, 11, 12, tzinfo=UTC),
    )
    forgetting.forget(
        store,
        GONE,
        run_id="20261112T120000Z-abcdef",
        with_copies=False,
        software={},
        forget_state=lambda store, ids: 0,
    )


def _page(title: str, text: str) -> bytes:
    return (
        f"<html lang=en><head><title>{title}</title><meta name=author content='Ada Quill'></head>"
        f"<body><article><h1>{title}</h1>{text}</article></body></html>"
    ).encode()


def _words(words: str) -> str:
    return report(words).decode().partition("</h1>")[2].partition("</article>")[0]


def _arabic() -> bytes:
    """A page in a charset of its own, written from right to left."""
    title = "المياه ترتفع في الميناء"
    return (
        f"<html lang=ar dir=rtl><head><meta charset=windows-1256><title>{title}</title></head>"
        f"<body><article><h1>{title}</h1><p>{_ARABIC}</p><p>{_ARABIC[:120]}</p></article></body>"
    ).encode("windows-1256")


def _pointer(key: str, offset: int, length: int) -> dict[str, object]:
    return {"warc_key": key, "warc_offset": offset, "warc_length": length}
