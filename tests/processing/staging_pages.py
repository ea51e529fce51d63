"""Extractors that misbehave on purpose; importable by name in a worker's process."""

from __future__ import annotations

import os
import threading

from processing.cleaning import SiteTemplate
from processing.extraction import Reading, read_page
from processing.records import Page


def misbehaving(page: Page, template: SiteTemplate | None) -> Reading:
    """Hangs, dies or raises where the page's address says so, else extracts."""
    if "hangs" in page.url:
        threading.Event().wait()
    if "dies" in page.url:
        os._exit(11)
    if "raises" in page.url:
        raise RuntimeError("no")
    return read_page(page, template)
