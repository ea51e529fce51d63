"""The DAG's steps in one process, for tests that kill it: ``pipeline.py RUN_ID ATTEMPT``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime

from newslake import steps
from processing.exceptions import CrawlError

LEASE_SECONDS = 3.0


def main(run_id: str, attempt: int) -> None:
    batches, errors = steps.plan(None, [], os.environ)
    for batch in batches:
        with suppress(CrawlError):  # as in the DAG: publish takes what there is
            steps.Crawl(os.environ).run(batch["sources"], run_id, attempt)
        steps.extract(batch["sources"], run_id, os.environ)
    manifest = steps.publish(
        batches, run_id, datetime.now(UTC), os.environ, lease_seconds=LEASE_SECONDS
    )
    steps.judge(manifest, errors)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
