"""Crawl, extract, publish: one DAG per schedule that has enabled sources, and two by hand.

`plan` deals the sources over batches; each batch is crawled into WARC files and extracted into
staged Parquet; `publish` commits what there is, whatever failed; `verdict` turns the run red when
a whole source failed, naming it, and those are told whom NEWSLAKE_NOTIFY_MAIL and
NEWSLAKE_NOTIFY_WEBHOOK name.

`news_manual` crawls any sources now. `news_backfill` looks for the pages of past days, in the
sitemaps that the sources declare and those that their robots.txt names, and starts itself again,
round by round, until all that can be found is fetched. Start it again with the same days after
whatever interruption: it goes on where it was.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task, task_group

from crawlers import catalogue
from crawlers.catalogue import INTERVALS, SCHEDULES
from dags.shared import (
    DAG_SETTINGS,
    OUTLETS,
    RETRIES,
    alert_after,
    announce,
    named_by_verdict,
)
from newslake import chores, steps
from newslake.configuration import sources_directory
from newslake.notifications import Notifier
from newslake.operators import CrawlOperator, NextRoundOperator, run_id_in
from newslake.steps import BATCHES, SIDE_BY_SIDE

CRON = {
    "every-15-minutes": "*/15 * * * *",
    "hourly": "0 * * * *",
    "every-6-hours": "0 */6 * * *",
    "daily": "0 3 * * *",
    "weekly": "0 3 * * 1",
}
LATEST = timedelta(hours=3)
"""A run is late when the next one is due, at the latest after this."""

WEIGHT = {schedule: weight for weight, schedule in enumerate(reversed(SCHEDULES), 1)}
"""Where slots are short, who is due again soon goes first; as does who waits for a run by hand."""

KNOWN = catalogue.load(sources_directory(os.environ)).sources


def chosen_sources(**more: Any) -> dict[str, Any]:
    """The schema of a form's field for sources."""
    return {
        "type": "array",
        "title": "Sources",
        "items": {"type": "string", "enum": sorted(KNOWN)},
        "examples": sorted(KNOWN),  # Airflow makes a list to choose from of them
        **more,
    }


def a_day(title: str) -> Param:
    """A form's field for a day, which must be given."""
    return Param(type="string", format="date", title=title, description="UTC, as 2026-01-31")


CRAWL_TIMEOUT = timedelta(hours=2 + len(KNOWN) // (BATCHES * SIDE_BY_SIDE))

SOURCES = Param([], "None: all that are enabled", schema=chosen_sources())
BACKFILL = {
    "sources": Param(schema=chosen_sources(minItems=1)),
    "from": a_day("First day"),
    "to": a_day("Last day"),
}


def news_dag(dag_id: str, schedule: str | None, *, backfill: bool = False) -> DAG:
    """The pipeline over the sources of one schedule; None: over any, started by hand."""
    with DAG(
        dag_id,
        schedule=CRON[schedule] if schedule else None,
        deadline=alert_after(min(INTERVALS[schedule], LATEST)) if schedule else None,
        default_args={
            **RETRIES,
            "priority_weight": 1 if backfill else WEIGHT[schedule or SCHEDULES[0]],
            "weight_rule": "absolute",
        },
        doc_md=__doc__,
        params=BACKFILL if backfill else {"sources": SOURCES},
        **DAG_SETTINGS,
    ) as dag:

        @task
        def plan() -> list[dict[str, Any]]:
            context = get_current_context()
            params, ti = context["params"], context["ti"]
            with named_by_verdict(context):
                if backfill:
                    steps.days(params["from"], params["to"])
                most = 1 + len(params["sources"]) // SIDE_BY_SIDE if backfill else BATCHES
                batches, errors = steps.plan(schedule, params["sources"], os.environ, most)
                ti.xcom_push("errors", errors)
                steps.require(batches, errors)
            return batches

        @task_group
        def sources(batch: dict[str, Any]) -> None:
            crawl = CrawlOperator(
                task_id="crawl",
                batch=batch,
                days=("{{ params['from'] }}", "{{ params['to'] }}") if backfill else None,
                pool="backfill" if backfill else "crawl",
                execution_timeout=CRAWL_TIMEOUT,
                map_index_template="{{ task.batch['name'] }}",
            )

            # What was fetched before a crawl failed is extracted all the same.
            @task(
                trigger_rule="all_done",
                pool="backfill" if backfill else "extract",
                map_index_template="{{ batch_name }}",
            )
            def extract(batch: dict[str, Any]) -> dict[str, dict[str, int]]:
                context = get_current_context()
                context["batch_name"] = batch["name"]  # type: ignore[typeddict-unknown-key]
                run_id = run_id_in(context)
                unfinished = steps.unfinished(os.environ, run_id, batch["sources"])
                context["ti"].xcom_push("unfinished", unfinished)
                return steps.extract(batch["sources"], run_id, os.environ)

            crawl >> extract(batch)

        @task(trigger_rule="all_done", pool="publish", outlets=OUTLETS)
        def publish() -> dict[str, Any]:
            context = get_current_context()
            run = context["dag_run"]
            with named_by_verdict(context):
                manifest = steps.publish(
                    context["ti"].xcom_pull(task_ids="plan") or [],
                    run_id_in(context),
                    run.start_date or run.run_after,
                    os.environ,
                    dag_id=run.dag_id,
                    dag_run_id=run.run_id,
                    schedule=schedule,
                    backfill=backfill,
                )
            return {**announce(context, manifest), "failures": manifest["failures"]}

        # Not the run's last: who cannot be told turns this task red, and not the run.
        @task
        def alarms() -> None:
            context = get_current_context()
            chores.tell_alarms(run_id_in(context), os.environ, context["ti"].log_url)

        @task(trigger_rule="all_done", retries=0, on_failure_callback=Notifier())
        def verdict() -> None:
            ti = get_current_context()["ti"]
            broken = ti.xcom_pull(task_ids="plan", key="errors") or {}
            errors = (ti.xcom_pull(task_ids=task, key="error") for task in ("plan", "publish"))
            why = next(filter(None, errors), None)
            steps.judge(ti.xcom_pull(task_ids="publish"), broken, why)

        published = publish()
        sources.expand(batch=plan()) >> published >> alarms() >> verdict()
        if backfill:
            published >> NextRoundOperator(
                task_id="next_round",
                trigger_dag_id=dag_id,
                extract_task="sources.extract",
                retries=0,
                on_failure_callback=Notifier(),
            )
    return dag


news_manual = news_dag("news_manual", None)
news_backfill = news_dag("news_backfill", None, backfill=True)
for _schedule in sorted({source.schedule for source in KNOWN.values() if source.enabled}):
    _dag_id = f"news_{_schedule.replace('-', '_')}"
    globals()[_dag_id] = news_dag(_dag_id, _schedule)
