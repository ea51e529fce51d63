"""A crawl's log as lines of JSON: whoever started the crawl logs them again as what they were."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar

SOURCE: ContextVar[str | None] = ContextVar("source", default=None)
"""Whose coroutine is at work; None outside of all of them."""


class JsonLines(logging.Formatter):
    """Makes one line of a record: ``level``, ``logger``, ``event``, and ``source`` where known.

    ``level`` is a word in lower case; the event of an error ends with its traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object, in ASCII."""
        source = SOURCE.get()
        said = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": super().format(record),
            **({"source": source} if source else {}),
        }
        return json.dumps(said)
