"""Operators: a crawl that takes its processes down with it, a backfill that goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from newslake import steps
from processing.records import run_id_of


def run_id_in(context: Context) -> str:
    """newslake's run_id of the DAG run a task belongs to."""
    run = context["dag_run"]
    return run_id_of(run.dag_id, run.run_id, run.run_after)


class CrawlOperator(BaseOperator):
    """Crawl one batch of sources in a Scrapy process; a killed task kills the crawl.

    ``batch`` is ``{name, sources}`` as the plan deals it; ``days``, the first and the last as ISO
    8601, make it a backfill.
    """

    template_fields = ("batch", "days")

    def __init__(
        self, *, batch: Mapping[str, Any], days: Sequence[str] | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.batch = batch
        self.days = days
        self._crawl: steps.Crawl | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the crawl; counts by source."""
        self._crawl = steps.Crawl(os.environ)
        attempt = context["ti"].try_number
        # Also a scheduled DAG can be started by hand: whoever does wants every listing asked.
        due = context["dag_run"].run_type == "scheduled"
        return self._crawl.run(
            self.batch["sources"],
            run_id_in(context),
            attempt,
            scheduled=due,
            days=steps.days(*self.days) if self.days else None,
        )

    def on_kill(self) -> None:
        """End the crawl's whole process group."""
        if self._crawl is not None:
            self._crawl.stop()


class NextRoundOperator(TriggerDagRunOperator):
    """Start a backfill's DAG again for the sources that are not finished; skipped when all are.

    ``extract_task`` is the mapped task whose XComs ``unfinished`` name them.
    """

    def __init__(self, *, extract_task: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.extract_task = extract_task

    def execute(self, context: Context) -> None:
        """Trigger the run, with the params of this one but for its sources."""
        # A list of tasks, for of a single one Airflow gives a single batch's without a list around.
        named = context["ti"].xcom_pull(task_ids=[self.extract_task], key="unfinished")
        left = sorted(chain.from_iterable(filter(None, named)))
        if not left:
            raise AirflowSkipException("all that could be found of these days is fetched")
        self.conf = {**context["params"], "sources": left}
        super().execute(context)
