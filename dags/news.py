"""Crawl, extract, publish: one DAG per schedule that has enabled sources, and one by hand.

`plan` deals the sources over batches; each batch is crawled into WARC files and extracted into
staged Parquet; `publish` commits what there is, whatever failed; `verdict` turns the run red when
a whole source failed, naming it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    get_current_context,
    task,
    task_group,
)

from crawlers import catalogue
from newslake import steps
from newslake.configuration import sources_directory
from newslake.operators import CrawlOperator, run_id_in
from processing.exceptions import ConfigurationError

CRON = {
    "every-15-minutes": "*/15 * * * *",
    "hourly": "0 * * * *",
    "every-6-hours": "0 */6 * * *",
    "daily": "0 3 * * *",
    "weekly": "0 3 * * 1",
}
LAKE = os.environ.get("NEWSLAKE_LAKE", "s3://newslake").rstrip("/")
ARTICLES = Asset(name="articles", uri=f"{LAKE}/articles")
ARTICLES_BY_PARTITION = Asset(name="articles_by_partition", uri=f"{LAKE}/articles/partitions")
DEFAULTS = {
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
    # Trying again does not mend a wrong setting.
    "retry_policy": ExceptionRetryPolicy(
        rules=[RetryRule(exception=ConfigurationError, action=RetryAction.FAIL)]
    ),
}


def news_dag(dag_id: str, schedule: str | None) -> DAG:
    """The pipeline over the sources of one schedule; None: over any, started by hand."""
    with DAG(
        dag_id,
        schedule=CRON[schedule] if schedule else None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        doc_md=__doc__,
        tags=["newslake"],
        params={
            "sources": Param(
                [], type="array", items={"type": "string"}, description="Only these source ids"
            )
        },
    ) as dag:

        @task
        def plan() -> list[dict[str, Any]]:
            context = get_current_context()
            batches, errors = steps.plan(schedule, context["params"]["sources"], os.environ)
            context["ti"].xcom_push("errors", errors)
            steps.require(batches, errors)
            return batches

        @task_group
        def sources(batch: dict[str, Any]) -> None:
            crawl = CrawlOperator(
                task_id="crawl",
                batch=batch,
                pool="crawl",
                execution_timeout=timedelta(hours=2),
                map_index_template="{{ task.batch['name'] }}",
            )

            # What was fetched before a crawl failed is extracted all the same.
            @task(trigger_rule="all_done", map_index_template="{{ batch_name }}")
            def extract(batch: dict[str, Any]) -> dict[str, dict[str, int]]:
                context = get_current_context()
                context["batch_name"] = batch["name"]  # type: ignore[typeddict-unknown-key]
                return steps.extract(batch["sources"], run_id_in(context), os.environ)

            crawl >> extract(batch)

        @task(trigger_rule="all_done", pool="publish", outlets=[ARTICLES, ARTICLES_BY_PARTITION])
        def publish() -> dict[str, Any]:
            context = get_current_context()
            run = context["dag_run"]
            manifest = steps.publish(
                context["ti"].xcom_pull(task_ids="plan") or [],
                run_id_in(context),
                run.start_date or run.run_after,
                os.environ,
                dag_id=run.dag_id,
                dag_run_id=run.run_id,
                schedule=schedule,
            )
            partitions = manifest["partitions"]
            said = {name: manifest[name] for name in ("run_id", "partitions", "counts")}
            context["outlet_events"][ARTICLES].extra = said
            context["outlet_events"][ARTICLES_BY_PARTITION].add_partitions(partitions)
            return {**said, "failures": manifest["failures"]}

        @task(trigger_rule="all_done", retries=0)
        def verdict() -> None:
            ti = get_current_context()["ti"]
            errors = ti.xcom_pull(task_ids="plan", key="errors") or {}
            steps.judge(ti.xcom_pull(task_ids="publish"), errors)

        sources.expand(batch=plan()) >> publish() >> verdict()
    return dag


news_manual = news_dag("news_manual", None)
for _schedule in sorted(
    {
        s.schedule
        for s in catalogue.load(sources_directory(os.environ)).sources.values()
        if s.enabled
    }
):
    _dag_id = f"news_{_schedule.replace('-', '_')}"
    globals()[_dag_id] = news_dag(_dag_id, _schedule)
