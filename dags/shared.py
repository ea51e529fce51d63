"""What every DAG of newslake has: retries, who is told, and the assets that others wait for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import (  # type: ignore[attr-defined]  # three are missing in its .pyi
    Asset,
    AsyncCallback,
    Context,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
)

from newslake.notifications import Notifier
from newslake.steps import PERMANENT
from processing.exceptions import NewslakeError

LAKE = os.environ.get("NEWSLAKE_LAKE", "s3://newslake").rstrip("/")
ARTICLES = Asset(name="articles", uri=f"{LAKE}/articles")
ARTICLES_BY_PARTITION = Asset(name="articles_by_partition", uri=f"{LAKE}/articles/partitions")
OUTLETS = [ARTICLES, ARTICLES_BY_PARTITION]

RETRIES: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": ExceptionRetryPolicy(
        rules=[RetryRule(exception=list(PERMANENT), action=RetryAction.FAIL)]
    ),
}
DAG_SETTINGS: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    # A site shows what it has today: Airflow's own backfill would crawl that for each day again.
    "allowed_run_types": ["scheduled", "manual", "operator_triggered"],
    "tags": ["newslake"],
}


def alert_after(interval: timedelta) -> DeadlineAlert:
    """Tells when a run has not ended so long after it was due."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=interval,
        callback=AsyncCallback(Notifier),
    )


@contextmanager
def named_by_verdict(context: Context) -> Iterator[None]:
    """What goes wrong within is kept for the run's last task, as the XCom ``error``."""
    try:
        yield
    except NewslakeError as error:
        context["ti"].xcom_push("error", str(error))
        raise


def announce(context: Context, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Say through a task's ``OUTLETS`` what a run did to the articles; the same as a dict."""
    said = {name: manifest[name] for name in ("run_id", "partitions", "counts")}
    context["outlet_events"][ARTICLES].extra = said
    context["outlet_events"][ARTICLES_BY_PARTITION].add_partitions(said["partitions"])
    return said
