"""Foreign WARC files into the lake, each as a run of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from crawlers.catalogue import Source, aggregators
from newslake.steps import software
from processing.exceptions import ConfigurationError
from processing.records import run_id_of

if TYPE_CHECKING:
    from processing.pool import ExtractionPool
    from processing.storage import Store

DAG_ID = "import"
"""What the manifest of an import names as its DAG; its ``dag_run_id`` is the file."""

Watch = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: the run it was, its URLs per final state, its unreadable records."""

    file: str
    run_id: str
    counts: Mapping[str, int]
    damaged_records: int

    def __str__(self) -> str:
        said = [f"{count} {state}" for state, count in self.counts.items()]
        if self.damaged_records:
            said.append(f"{self.damaged_records} damaged records passed over")
        return f"{self.file}: {', '.join(said) or 'no pages'} (run {self.run_id})"


def check(store: Store, files: Iterable[str], source: str | None) -> list[ConfigurationError]:
    """What is wrong with the files and the source id that an import was given, one error each.

    Raises StoreError when the store does not answer.
    """
    from processing.importing import is_there

    errors = [
        ConfigurationError(f"no file is at {file}; correct the path or the s3:// address")
        for file in files
        if not is_there(store, file)
    ]
    if source is not None and not re.fullmatch(r"[a-z0-9-]+", source):
        errors.append(
            ConfigurationError(
                f"--source: {source!r} may hold a-z, 0-9 and hyphens only; write it so"
            )
        )
    return errors


def import_file(
    store: Store,
    file: str,
    declared: Sequence[Source],
    pool: ExtractionPool,
    moment: datetime,
    *,
    source: str | None = None,
    fast_topics: bool = False,
    watch: Watch = lambda done, total: None,
) -> Imported:
    """Extract and publish the pages of one WARC file.

    All belong to ``source`` where it is given, else to the declared source of their host, else
    to one named after their domain. ``fast_topics`` asks the student model alone. Raises
    ArchiveError when nothing in the file can be read, LakeFormatError, LeaseLost or StoreError; a
    repeat loses and doubles nothing.
    """
    from processing.dataset import initialise
    from processing.importing import source_of, stage_archive
    from processing.publishing import RunFacts, publish

    initialise(store)  # a lake of another format is refused before the work, not after
    run_id = run_id_of(DAG_ID, file, moment)
    whose = partial(source_of, declared=hosts(declared)) if source is None else lambda _: source
    staged = stage_archive(store, run_id, file, whose, pool, watch)
    topics = {one.id: one.topics for one in declared if one.id in staged.sources}
    facts = RunFacts(
        run_id=run_id,
        sources=staged.sources,
        started_at=moment,
        topic_maps=topics,
        failures={},
        software=software(),
        dag_id=DAG_ID,
        dag_run_id=file,
        aggregators=aggregators(declared),
        fast_topics=fast_topics,
    )
    manifest = publish(store, facts)
    counts: Counter[str] = Counter()
    for states in manifest["counts"].values():
        counts.update(states)
    return Imported(file, run_id, dict(sorted(counts.items())), staged.damaged_records)


def hosts(declared: Iterable[Source]) -> dict[str, str]:
    """Host -> source whose homepage or listings lie there; a homepage says more than a listing."""
    from processing.importing import host_of

    found: dict[str, str] = {}
    sources = sorted(declared, key=lambda source: source.id)
    for source in sources:
        found.setdefault(host_of(source.homepage), source.id)
    for source in sources:
        for listing in source.listings:
            found.setdefault(host_of(listing), source.id)
    return found
