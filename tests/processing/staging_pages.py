"""Extractors that misbehave on purpose; importable by name in a worker's process."""

from __future__ import annotations

import os
import threading

from processing.extraction import extract
from processing.records import Article, Page, Rejection


def misbehaving(page: Page) -> Article | Rejection:
    """Hangs, dies or raises where the page's address says so, else extracts."""
    if "hangs" in page.url:
        threading.Event().wait()
    if "dies" in page.url:
        os._exit(11)
    if "raises" in page.url:
        raise RuntimeError("no")
    return extract(page)
