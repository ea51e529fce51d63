"""Runs ``news_manual`` once in this process: the same DAG and tasks, without a scheduler.

A process of its own, since Airflow reads its settings when it is first imported and writes its
log to standard output. What the steps tell goes to a file descriptor as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from typing import IO


class _Teller(logging.Handler):
    """Writes each progress record as a line of JSON: stage, text, done, total."""

    def __init__(self, pipe: IO[str]):
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        said = {name: getattr(record, name) for name in ("stage", "done", "total")}
        self._pipe.write(json.dumps({**said, "text": record.getMessage()}) + "\n")
        self._pipe.flush()


def main() -> int:
    """Run the DAG; 0 when it succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--progress", type=int, required=True, help="file descriptor to write to")
    parser.add_argument("--source", action="append", default=[])
    options = parser.parse_args()
    _end_on_sigterm()

    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DagRunState

    from processing.records import run_id_of

    with os.fdopen(options.progress, "w") as pipe:
        progress = logging.getLogger("newslake.progress")
        progress.setLevel(logging.INFO)
        progress.addHandler(_Teller(pipe))
        dag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["news_manual"]
        run = dag.test(run_conf={"sources": options.source})
        run_id = run_id_of(run.dag_id, run.run_id, run.run_after)
        end = {"stage": "end", "text": run_id, "done": run.state == DagRunState.SUCCESS, "total": 1}
        pipe.write(json.dumps(end) + "\n")
    return 0 if run.state == DagRunState.SUCCESS else 1


def _end_on_sigterm() -> None:
    """End at once on SIGTERM, whatever handler Airflow installs later.

    Its own, while a task runs, makes the signal that task's failure and tries the task again.
    The supervisor ends what this process has started; the lake is safe at any point.
    """
    noticed, notify = os.pipe()
    os.set_blocking(notify, False)
    signal.set_wakeup_fd(notify)
    signal.signal(signal.SIGTERM, lambda *_: None)

    def watch() -> None:
        while signal.SIGTERM not in os.read(noticed, 64):
            pass
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name="sigterm", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
