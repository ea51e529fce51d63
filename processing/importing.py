"""From WARC files that others made (CC-NEWS, one's own) to staged articles and coverage.

A file's pages are staged as a crawl's are, so that publishing knows no difference: every response
record ends in one coverage state, and of a URL that a file holds twice the last good page counts.
A page is dated by its archive: ``WARC-Date`` is when it was fetched, and first seen. A file may be
larger than memory: what is held of it are its articles, never its pages.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryDirectory

from courlan import extract_domain

from processing.archive import Damage, StoredPage, read_pages
from processing.exceptions import ArchiveError
from processing.pool import ExtractionPool, Outcome
from processing.records import FETCHED, Article, Hints, Page, Rejection, State, Visit
from processing.site_templates import PageLines, Templates
from processing.staging import StagedSource
from processing.storage import Store
from processing.urls import url_key

_S3 = "s3://"
_PARALLEL = 8
_RAW = "raw/"
_SHOWN = 200  # characters of an address
_CUT_OFF = {"length": State.FAILED_TOO_LARGE, "time": State.FAILED_TIMEOUT}
"""State of a page whose end was not kept, by the reasons of ISO 28500; the others' is network."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What staging made of a file: the sources found in it, the records that were unreadable."""

    sources: tuple[str, ...]
    damaged_records: int


def is_there(store: Store, address: str) -> bool:
    """Whether a file lies at a local path, or at ``s3://bucket/key`` in the lake's own store.

    Raises StoreError when the store does not answer.
    """
    if not address.startswith(_S3):
        return Path(address).is_file()
    bucket, key = _elsewhere(store, address)
    return bool(key) and bucket.exists(key)


def stage_archive(
    store: Store,
    run_id: str,
    address: str,
    source_of: Callable[[str], str],
    pool: ExtractionPool,
    watch: Callable[[int, int], object],
) -> Staged:
    """Extract the pages of the WARC file at ``address`` and write them as a run's staged ones.

    ``source_of`` names the source that a URL belongs to; ``watch`` hears how many of how many
    pages are done. Raises ArchiveError when nothing in the file can be read, StoreError when the
    store does not answer.
    """
    staged: dict[str, StagedSource] = {}
    damage = Damage()
    key = warc_key(address)
    with _local(store, address) as path, _mapped(path, address) as data:
        chosen = _last_good(read_pages(data, key, damage=damage))
        if damage.records and not chosen:
            raise ArchiveError(
                f"{address} cannot be read: no page in it is whole; check that it is a WARC"
                " file, and fetch it again if it is"
            )
        pages = (s for n, s in enumerate(read_pages(data, key)) if n in chosen)
        templates = Templates(store)
        for done, (stored, outcome) in enumerate(_outcomes(pages, key, pool, templates), 1):
            source = source_of(stored.page.url)
            own = staged.setdefault(source, StagedSource(run_id, source))
            own.add(_visit(stored), outcome)
            watch(done, len(chosen))
    with ThreadPoolExecutor(_PARALLEL) as at_once:
        list(at_once.map(lambda own: own.put(store), staged.values()))
    templates.put()
    return Staged(tuple(sorted(staged)), damage.records)


# --- whose page it is -----------------------------------------------------------------------


def host_of(url: str) -> str:
    """The host of a URL as sources are told apart by it: no ``www.``, no default port.

    Raises ValueError on what is not an absolute http(s) URL.
    """
    return re.split(r"[/?]", url_key(url), maxsplit=1)[0]


def source_of(url: str, declared: Mapping[str, str]) -> str:
    """The id of the source that a page belongs to.

    The declared source of its host (``declared`` maps hosts, as ``host_of`` gives them, to ids);
    else an id made of its registered domain, ``example-co-uk``, so that every file names the
    same site alike.
    """
    try:
        host = host_of(url)
    except ValueError:
        return "unknown"
    domain = extract_domain(f"http://{host}/") or host
    return declared.get(host) or re.sub(r"[^a-z0-9]+", "-", domain.lower()).strip("-") or "unknown"


# --- the file -------------------------------------------------------------------------------


def warc_key(address: str) -> str:
    """How rows name an imported file: its address as given, never mistaken for the lake's own."""
    return f"./{address}" if address.startswith(_RAW) else address


def _elsewhere(store: Store, address: str) -> tuple[Store, str]:
    bucket, _, key = address.removeprefix(_S3).partition("/")
    return Store(bucket, "", store.client, store.delta_options), key


@contextmanager
def _local(store: Store, address: str) -> Iterator[Path]:
    if not address.startswith(_S3):
        yield Path(address)
        return
    with TemporaryDirectory(prefix="newslake-import-") as directory:
        path = Path(directory) / "archive"
        bucket, key = _elsewhere(store, address)
        bucket.get_file(key, path)
        yield path


def _mapped(path: Path, address: str) -> mmap:
    """The file's bytes, of which only what is read takes memory."""
    try:
        with path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise ArchiveError(
            f"{address} cannot be read ({error}); mend that, or leave the file out"
        ) from error


# --- its pages ------------------------------------------------------------------------------


def _last_good(pages: Iterable[StoredPage]) -> frozenset[int]:
    """The numbers of the pages that count: of each URL the last good one, else the last."""
    best: dict[str, tuple[bool, int]] = {}
    for number, stored in enumerate(pages):
        key = _key(stored.discovered_url)
        rank = (_refused(stored) is None, number)
        best[key] = max(rank, best.get(key, rank))
    return frozenset(number for _, number in best.values())


def _key(url: str) -> str:
    try:
        return url_key(url)
    except ValueError:
        return url


def _outcomes(
    pages: Iterable[StoredPage], key: str, pool: ExtractionPool, templates: Templates
) -> Iterator[tuple[StoredPage, Outcome]]:
    """Each page with what it became, in order; only the good ones are extracted."""
    asked: deque[StoredPage] = deque()

    def good() -> Iterator[Page | None]:
        for stored in pages:
            asked.append(stored)
            yield None if _refused(stored) else stored.page

    for reading in pool.readings(good(), templates.of):
        stored, outcome = asked.popleft(), reading.outcome
        if isinstance(outcome, Article):
            templates.meet(outcome.url, PageLines.of(reading.found))
            # The file's name even where its packing lets no page be pointed at.
            yield stored, replace(outcome, warc_key=key)
        else:
            yield stored, _refused(stored) or outcome


def _refused(stored: StoredPage) -> Rejection | None:
    """Why an archived answer is not worth reading: no page, or only the beginning of one."""
    status = stored.page.status
    if 300 <= status < 400:
        target = stored.page.headers.get("location", "nowhere")[:_SHOWN]
        return Rejection(State.FAILED_REDIRECT, f"answered {status}, to {target}")
    if status != 200:
        return Rejection(State.FAILED_HTTP, f"answered {status}")
    if stored.truncated:
        state = _CUT_OFF.get(stored.truncated, State.FAILED_NETWORK)
        return Rejection(state, f"the archive kept only its beginning ({stored.truncated})")
    return None


def _visit(stored: StoredPage) -> Visit:
    return Visit(
        url=stored.discovered_url,
        outcome=FETCHED,
        discovered_via=stored.discovered_via or "",
        at=stored.page.fetched_at,
        http_status=stored.page.status,
        warc=stored.pointer,
        hints=Hints.of(stored.page.hints),
    )
