"""What is done to the lake besides crawling: upkeep once a day, the rest by hand.

Each DAG does what a command does, and may run beside the others: whatever commits holds the lake's
lease for that long. A run that fails is told to those whom NEWSLAKE_NOTIFY_MAIL and
NEWSLAKE_NOTIFY_WEBHOOK name.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.shared import DAG_SETTINGS, OUTLETS, RETRIES, announce, named_by_verdict
from newslake import chores
from newslake.notifications import Notifier

ONE_TASK = {**RETRIES, "on_failure_callback": Notifier()}
A_DAY: dict[str, Any] = {"type": ["null", "string"], "format": "date"}
AN_ID = r"^[a-z0-9-]+$"


@dag(
    schedule=None,
    default_args=RETRIES,
    params={
        "files": Param(
            type="array",
            minItems=1,
            items={"type": "string", "minLength": 1},
            title="WARC files",
            description="One a line: s3://bucket/key in the lake's store, or a path on the worker",
        ),
        "source": Param(
            None,
            type=["null", "string"],
            pattern=AN_ID,
            title="Source",
            description="Whose pages they are; empty: told by their hosts, page by page",
        ),
    },
    **DAG_SETTINGS,
)
def news_import() -> None:
    """Take WARC files, CC-NEWS or your own, through extraction and publishing.

    As `newslake import` does: each file is a run of its own, and none waits for another that
    cannot be read. A file imported again adds nothing.
    """

    @task
    def check() -> list[str]:
        context = get_current_context()
        params = context["params"]
        with named_by_verdict(context):
            return chores.archives(params["files"], params["source"], os.environ)

    @task(pool="import", outlets=OUTLETS, map_index_template="{{ file }}")
    def take(file: str) -> str:
        context = get_current_context()
        context["file"] = file  # type: ignore[typeddict-unknown-key]
        source, moment = context["params"]["source"], context["dag_run"].run_after
        announce(context, chores.import_archive(file, source, moment, os.environ))
        return file

    @task(trigger_rule="all_done", retries=0, on_failure_callback=Notifier())
    def verdict() -> None:
        ti = get_current_context()["ti"]
        chores.judge_import(
            ti.xcom_pull(task_ids="check"),
            ti.xcom_pull(task_ids=["take"]),
            ti.xcom_pull(task_ids="check", key="error"),
        )

    take.expand(file=check()) >> verdict()


@dag(
    schedule="30 4 * * *",
    default_args=ONE_TASK,
    params={
        "keep_days": Param(
            30,
            type="integer",
            minimum=1,
            title="Days to keep",
            description="For so long old versions can be read, and leftovers stay",
        )
    },
    **DAG_SETTINGS,
)
def news_maintenance() -> None:
    """Merge small files; delete old versions, leftovers, and raw pages past NEWSLAKE_RAW_DAYS.

    As `newslake dataset compact` does.
    """

    @task
    def maintain() -> list[dict[str, Any]]:
        keep_days = get_current_context()["params"]["keep_days"]
        return chores.maintain(keep_days, datetime.now(UTC), os.environ)

    maintain()


@dag(
    schedule=None,
    default_args=ONE_TASK,
    params={
        "target": Param(
            type="string", minLength=1, title="Article", description="Its id, or its address"
        ),
        "with_copies": Param(
            False,
            type="boolean",
            title="Its copies too",
            description="Else the earliest takes its place",
        ),
        "confirm": Param(
            type="boolean", const=True, title="For good", description="This cannot be undone"
        ),
    },
    **DAG_SETTINGS,
)
def news_forget() -> None:
    """Take an article out of every place, for good, as `newslake dataset forget` does.

    It is never fetched or imported again, and older versions of the tables can no longer be read.
    What the form was given stays with the run: give the id, or delete the run.
    """

    @task(outlets=OUTLETS)
    def forget() -> None:
        context = get_current_context()
        target, copies = context["params"]["target"], context["params"]["with_copies"]
        moment = context["dag_run"].run_after
        announce(context, chores.forget(target, moment, os.environ, with_copies=copies))

    forget()


@dag(
    schedule=None,
    default_args=ONE_TASK,
    params={
        "from": Param(None, title="First day", description="UTC; empty: from the first", **A_DAY),
        "to": Param(None, title="Last day", description="UTC; empty: to the last", **A_DAY),
        "sources": Param(
            [],
            type="array",
            items={"type": "string", "pattern": AN_ID},
            title="Sources",
            description="Only these, one a line; none: all",
        ),
        "commit": Param(False, type="boolean", title="Commit", description="Else it is only shown"),
    },
    **DAG_SETTINGS,
)
def news_reprocess() -> None:
    """Extract stored pages again with today's code, as `newslake dataset reprocess` does.

    The log of `reprocess` shows what becomes different.
    """

    @task
    def reprocess() -> dict[str, Any]:
        said = get_current_context()["params"]
        days = said["from"], said["to"]
        return chores.reprocess(*days, said["sources"], os.environ, commit=said["commit"])

    # A task of its own: where nothing was committed, none is to wake.
    @task(outlets=OUTLETS)
    def tell() -> None:
        context = get_current_context()
        manifest = context["ti"].xcom_pull(task_ids="reprocess")
        if not manifest:
            raise AirflowSkipException("nothing was committed")
        announce(context, manifest)

    reprocess() >> tell()


news_import()
news_maintenance()
news_forget()
news_reprocess()
