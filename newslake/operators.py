"""The one custom operator: a crawl that takes its processes down with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseOperator, Context

from newslake.steps import Crawl
from processing.records import run_id_of


def run_id_in(context: Context) -> str:
    """newslake's run_id of the DAG run a task belongs to."""
    run = context["dag_run"]
    return run_id_of(run.dag_id, run.run_id, run.run_after)


class CrawlOperator(BaseOperator):
    """Crawl one batch of sources in a Scrapy process; a killed task kills the crawl.

    ``batch`` is ``{name, sources}`` as the plan deals it.
    """

    template_fields = ("batch",)

    def __init__(self, *, batch: Mapping[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.batch = batch
        self._crawl: Crawl | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the crawl; counts by source."""
        self._crawl = Crawl(os.environ)
        attempt = context["ti"].try_number
        # Also a scheduled DAG can be started by hand: whoever does wants every listing asked.
        due = context["dag_run"].run_type == "scheduled"
        return self._crawl.run(
            self.batch["sources"], run_id_in(context), attempt, self.log.info, scheduled=due
        )

    def on_kill(self) -> None:
        """End the crawl's whole process group."""
        if self._crawl is not None:
            self._crawl.stop()
