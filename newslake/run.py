"""One crawl-to-dataset run now: store, demo sites when asked for, DAG, and what came of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from newslake import demo, objectstore, processes, stack
from newslake.configuration import home
from processing.commits import read_manifest
from processing.exceptions import ServiceError
from processing.storage import Store


class Watcher(Protocol):
    """Whoever shows a run to a person."""

    def __call__(self, stage: str, text: str, done: int, total: int) -> object:
        """Something happened: ``done`` more of ``total`` (0: not known) in a stage."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: whether the DAG run succeeded, its manifest (None: not published)."""

    succeeded: bool
    manifest: dict[str, Any] | None
    environ: dict[str, str]
    log: Path


@contextmanager
def run(
    environ: Mapping[str, str], *, only: Sequence[str] = (), with_demo: bool, watch: Watcher
) -> Iterator[Outcome]:
    """Run the DAG once; yields its outcome while the lake can still be read.

    Raises ServiceError, naming the log, when the run ended without a verdict.
    """
    if with_demo:
        environ = demo.environment(environ)
    folder = home(environ)
    with ExitStack() as cleanup:
        lake = cleanup.enter_context(objectstore.lake_environment(environ, folder))
        whole = {**environ, **lake, "NEWSLAKE_HOME": str(folder)}
        # A person waits: a store that is down is told within seconds.
        store = Store.from_environment(whole, retries=5)
        store.ensure_bucket()
        watch("lake", f"lake {store.url} answers", 1, 1)
        if with_demo:
            edition = 1 + sum(1 for _ in store.objects("runs/"))
            whole |= cleanup.enter_context(demo.sites(edition))
            watch("lake", f"demo sites are up, edition {min(edition, demo.EDITIONS)}", 0, 1)
        whole |= stack.airflow_environment(folder, whole, dags=stack.dags_folder())
        stack.migrate(whole)
        watch("lake", "Airflow's database is ready", 0, 1)
        succeeded, run_id, log = _run_dag(whole, folder, only, watch)
        yield Outcome(succeeded, read_manifest(store, run_id), whole, log)


def _run_dag(
    environ: Mapping[str, str], folder: Path, only: Sequence[str], watch: Watcher
) -> tuple[bool, str, Path]:
    log = folder / "logs" / f"run-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    told, tell = os.pipe()
    command = [sys.executable, "-P", "-m", "newslake.dag_run", "--progress", str(tell)]
    command += [word for id_ in only for word in ("--source", id_)]
    end: dict[str, Any] = {}
    with log.open("wb") as output, os.fdopen(told) as lines:
        process = processes.start(command, output=output, env=environ, pass_fds=(tell,))
        os.close(tell)
        try:
            for line in lines:
                said = json.loads(line)
                if said["stage"] == "end":
                    end = said
                else:
                    watch(said["stage"], said["text"], said["done"], said["total"])
            process.wait()
        finally:
            if process.poll() is None:
                processes.stop(process)
    if not end:
        raise ServiceError(f"the run ended without a verdict; the end of {log} says why")
    return bool(end["done"]), end["text"], log
