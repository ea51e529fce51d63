"""The alarms of yesterday and today, worked out behind the page: at most once after each run.

They take a month of coverage to be read, seconds on a large lake, which no view waits for. They are
kept in memory alone, for they name pages, and a page may have to be forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from newslake import health
from newslake.health import Alarm
from newslake.page.lake import SharedLake
from processing.exceptions import NewslakeError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Alarms:
    """Alarms by source.

    ``after`` is the run they were worked out after, None before the first time. ``under_way``:
    newer ones are being worked out. ``trouble`` is why that failed.
    """

    after: str | None = None
    of_source: dict[str, list[Alarm]] = field(default_factory=dict)
    under_way: bool = False
    trouble: str | None = None


class AlarmWatch:
    """Keeps the alarms of the newest run at hand, for all threads of a process."""

    def __init__(self, shared: SharedLake, clock: Callable[[], datetime]) -> None:
        self._shared = shared
        self._clock = clock
        self._lock = threading.Lock()
        self._now = Alarms()
        self._looking_after: str | None = None

    def after(self, run_id: str) -> Alarms:
        """What is known after this run, or after an earlier one while newer alarms are looked for.

        Returns at once.
        """
        with self._lock:
            if self._now.after == run_id:
                return self._now
            if self._looking_after is None:
                self._looking_after = run_id
                threading.Thread(target=self._look, args=(run_id,), daemon=True).start()
            return Alarms(self._now.after, self._now.of_source, True, self._now.trouble)

    def _look(self, run_id: str) -> None:
        try:
            found = Alarms(run_id, self._found())
        except NewslakeError as error:
            found = Alarms(None, {}, trouble=str(error))
        except Exception as error:
            # Or nobody would know, for this thread has no one to tell.
            _log.exception("alarms could not be worked out")
            found = Alarms(run_id, {}, trouble=f"{type(error).__name__}: {error}")
        with self._lock:
            self._now = found
            self._looking_after = None

    def _found(self) -> dict[str, list[Alarm]]:
        now = self._clock()
        today = now.astimezone(UTC).date()
        of_source: dict[str, list[Alarm]] = defaultdict(list)
        with self._shared.borrowed() as lake:
            for alarm in health.alarms(lake, today - timedelta(days=1), today, now):
                of_source[alarm.source].append(alarm)
        return dict(of_source)
