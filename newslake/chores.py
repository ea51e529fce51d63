"""What the tasks of the DAGs by hand do, and that of upkeep, without knowing Airflow.

Each does what a command does (``import``, ``dataset compact``, ``forget``, ``reprocess``), and may
be repeated. As in ``newslake.steps``, heavy imports stay inside the functions.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from crawlers import catalogue
from newslake.configuration import sources_directory
from newslake.steps import days, tell_published, writable
from processing.exceptions import ArchiveError, ConfigurationError
from processing.records import run_id_of

log = structlog.get_logger(__name__)


def archives(files: Iterable[str], source: str | None, environ: Mapping[str, str]) -> list[str]:
    """The WARC files to import, each once; ConfigurationError names those that are not there."""
    from newslake import importing

    found = list(dict.fromkeys(files))
    errors = importing.check(writable(environ), found, source)
    if errors:
        raise ConfigurationError("; ".join(map(str, errors)))
    return found


def import_archive(
    file: str, source: str | None, moment: datetime, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Import one WARC file as ``newslake import`` does; its manifest.

    ``moment`` makes the run's id: that of a repeat must be the same.
    """
    from newslake import importing
    from processing.commits import read_manifest
    from processing.pool import ExtractionPool
    from processing.topics import fast_chosen

    fast_topics = fast_chosen(environ)
    store = writable(environ)
    declared = list(catalogue.load(sources_directory(environ)).sources.values())
    began = time.monotonic()
    with (
        bound_contextvars(run=run_id_of(importing.DAG_ID, file, moment)),
        ExtractionPool(workers=max(1, min(4, os.cpu_count() or 1))) as pool,
    ):
        done = importing.import_file(
            store, file, declared, pool, moment, source=source, fast_topics=fast_topics
        )
        log.info("imported", file=file, damaged_records=done.damaged_records)
    manifest = read_manifest(store, done.run_id) or {}
    if manifest:
        tell_published(manifest, time.monotonic() - began, "import")
    return manifest


def judge_import(
    files: Iterable[str] | None, done: Collection[str | None], error: str | None
) -> None:
    """Raise ArchiveError when files were left out, naming them; None: ``error`` says why all."""
    if files is None:
        raise ArchiveError(f"nothing was imported: {error or 'see the log of the check task'}")
    left = [file for file in files if file not in done]
    if left:
        raise ArchiveError(
            f"not imported: {', '.join(left)}; the logs of their tasks say why. The others are"
        )


def tell_alarms(run_id: str, environ: Mapping[str, str], url: str) -> list[str]:
    """Tell people of what is not as usual after a run, and was not told of before; the lines.

    ``url`` is the page of the task that tells. Raises an ExceptionGroup of what went wrong; then
    a repeat tells all of it again.
    """
    from newslake import health, told
    from newslake.notifications import Notice, tell
    from newslake.reader import Lake
    from processing.commits import read_manifest

    store = writable(environ)
    manifest = read_manifest(store, run_id)
    if manifest is None:
        return []
    with Lake(store) as lake:
        found = told.untold(store, health.alarms_of_run(lake, manifest))
    if not found:
        return []
    for alarm in found:
        log.warning(alarm.detail, run=run_id, source=alarm.source, alarm=alarm.alarm, url=alarm.url)
    lines = list(health.lines(map(asdict, found)))
    text = "\n".join(lines)
    tell(Notice("alarm", manifest["dag_id"], manifest["dag_run_id"], run_id, text, url), environ)
    told.remember(store, found)
    return lines


def maintain(keep_days: int, now: datetime, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Keep the lake up as ``newslake dataset compact`` does; what was done."""
    from newslake.upkeep import keep_up

    done = keep_up(writable(environ), environ, now, keep_days)
    for each in done:
        log.info("kept up", **asdict(each))
    return [asdict(each) for each in done]


def forget(
    target: str, now: datetime, environ: Mapping[str, str], *, with_copies: bool
) -> dict[str, Any]:
    """Forget an article as ``newslake dataset forget`` does; the manifest of its run.

    What goes is not logged, or it would live on in the logs.
    """
    from newslake import forget as forgetting
    from processing.commits import read_manifest

    store = writable(environ)
    stone = forgetting.forget(store, target, lambda found: True, now, with_copies=with_copies)
    run = stone["run_id"] if stone else ""
    log.info("forgotten", run=run)
    return read_manifest(store, run) or {}


def reprocess(
    first: str | None,
    last: str | None,
    sources: Iterable[str],
    environ: Mapping[str, str],
    *,
    commit: bool,
) -> dict[str, Any]:
    """Extract stored pages again as ``newslake dataset reprocess`` does, and print what differs.

    ``first`` and ``last`` are days as ISO 8601, None: all before or after. Without ``commit`` that
    is all. What the runs that committed it did to the articles, as one manifest of the last of
    them; empty when there was none.
    """
    from rich.console import Console

    from newslake import reprocess as again
    from processing.manifests import read_manifests
    from processing.reprocessing import Selection

    if first and last:
        days(first, last)  # the wrong way round they would select nothing, and say nothing
    since, until = (date.fromisoformat(day) if day else None for day in (first, last))
    store = writable(environ)
    selection = Selection(since, until, tuple(sources))
    found = again.reprocess(store, selection, environ, lambda found: commit)
    again.show(Console(width=160, highlight=False, markup=False, emoji=False), found)
    rows = found.rows()
    manifests = list(read_manifests(store, sorted({run for row in rows for run in row["runs"]})))
    if not manifests:
        return {}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for manifest in manifests:
        for id_, states in manifest["counts"].items():
            counts[id_].update(states)
    for id_, said in counts.items():
        log.info("reprocessed", run=manifests[-1]["run_id"], source=id_, **said)
    return {
        "run_id": manifests[-1]["run_id"],
        "partitions": sorted({part for said in manifests for part in said["partitions"]}),
        "counts": {id_: dict(states) for id_, states in counts.items()},
    }
