"""A new source: its listings found, a sample of it tried, its file written."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crawlers.catalogue import Source
from crawlers.discovery import Kind
from crawlers.finding import Findings, addresses
from newslake import processes
from newslake.check import check
from newslake.configuration import sources_directory
from newslake.proposing import document, propose, source_id, source_of
from processing.exceptions import ConfigurationError, CrawlError

DELAY = 1.0
"""Seconds between two requests, as every source has by default."""

MAX_AGE_DAYS = 3650
"""How old the articles of a sample may be."""

_UNASKED = ("skipped-limit", "skipped-old", "skipped-rule")

Tell = Callable[[Sequence[Mapping[str, Any]]], object]
"""Takes what is known so far, as flat rows that each name their ``section``."""


def destination(
    url: str, id_: str | None, directory: Path | None, environ: Mapping[str, str]
) -> Path:
    """The file to write for a site; nothing is asked or written yet.

    Raises ConfigurationError when ``url`` is no web address, ``id_`` is no id, no directory is
    named, or the source is there already.
    """
    named = source_id(urlsplit(addresses(url)[0]).hostname or "") if id_ is None else id_
    if not re.fullmatch(r"[a-z0-9-]+", named):
        raise ConfigurationError(f"--id is {named!r} but may hold a-z, 0-9 and hyphens only")
    if directory is None:
        if not environ.get("NEWSLAKE_SOURCES"):
            raise ConfigurationError(
                "no directory is named for the new file, and the shipped catalogue stays as it is;"
                " give --sources DIR, or set NEWSLAKE_SOURCES"
            )
        directory = sources_directory(environ)
    for ending in ("yaml", "yml"):
        file = directory / f"{named}.{ending}"
        if file.exists():
            raise ConfigurationError(
                f"{file} is there already and is not overwritten; give the new source another --id,"
                " or delete that file"
            )
    return directory / f"{named}.yaml"


def add(url: str, file: Path, environ: Mapping[str, str], now: datetime, tell: Tell) -> None:
    """Find where the site at ``url`` lists its articles, try a sample, and write ``file``.

    ``tell`` gets the rows of each step as it is done: sections ``listing`` and ``left-out``;
    ``sample`` (as ``newslake.check.check`` has them) and ``unsampled``, the number of the others
    by state; ``proposal``, a field each, and ``file``.

    Raises CrawlError when the site cannot be read, lists nothing, or no article of the sample
    would be stored, ConfigurationError when the file cannot be written; there is none then.
    """
    findings = _find(url, environ)
    tell([{"section": "listing", **listing.summary()} for listing in findings.listings])
    tell([{"section": "left-out", **asdict(left)} for left in findings.left_out])
    rows, reason = check(_to_sample(file.stem, findings, now), environ)
    sample = [row for row in rows if row["state"] not in _UNASKED]
    others = Counter(row["state"] for row in rows if row["state"] in _UNASKED)
    tell([{"section": "sample", **row} for row in sample])
    tell([{"section": "unsampled", "state": s, "count": n} for s, n in others.items()])
    if not any(row["state"] == "publishable" for row in sample):
        states = Counter(row["state"] for row in rows)
        counted = ", ".join(f"{count} {state}" for state, count in states.most_common())
        raise CrawlError(
            f"no article of {findings.homepage} would be stored ({reason or counted or 'no URLs'}),"
            " so no file was written; docs/adding-a-source.md says what to do about each state"
        )
    proposals = propose(findings, sample, now)
    write(file, document(file.stem, proposals))
    tell([{"section": "proposal", **asdict(proposal)} for proposal in proposals])
    tell([{"section": "file", "file": str(file), "id": file.stem}])


def _to_sample(id_: str, findings: Findings, now: datetime) -> Source:
    """The source as it is proposed so far; but old articles tell as much of a site as new ones."""
    source = source_of(id_, propose(findings, (), now))
    indexed = any(found.kind is Kind.SITEMAP_INDEX for found in findings.listings)
    # Of an index it would read fifty sitemaps in place of the newest.
    age = source.max_age_days if indexed else MAX_AGE_DAYS
    return source.model_copy(update={"delay": DELAY, "max_age_days": age})


def _find(url: str, environ: Mapping[str, str]) -> Findings:
    """Search in a process of its own: a reactor starts but once."""
    with tempfile.TemporaryDirectory(prefix="newslake-add-") as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log"
        command = [sys.executable, "-m", "crawlers.find", "--delay", str(DELAY)]
        with log.open("wb") as output:
            process = processes.start(
                [*command, "--result", result, "--", url], output=output, env=environ
            )
            try:
                status = process.wait()
            finally:
                if process.poll() is None:
                    processes.stop(process)
        if not result.exists():
            said = log.read_text("utf-8", "replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "")
            raise CrawlError(last or f"the search of {url} ended with status {status}")
        return Findings.of(json.loads(result.read_text("utf-8")))


def write(file: Path, text: str) -> None:
    """Write a new source file; raises ConfigurationError when it cannot, or is there already."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written ({error.strerror}); name a directory of yours with --sources"
        ) from error
