"""Telling people that a run failed, is late, or found something odd: by mail and webhook.

``NEWSLAKE_NOTIFY_MAIL`` names addresses, separated by commas; mail goes through Airflow's
connection ``smtp_default``. ``NEWSLAKE_NOTIFY_WEBHOOK`` is an address that gets a POST of JSON.
Both are read by the process that tells, and no secret of theirs lies in Airflow's database.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.request import Request, build_opener

from airflow.sdk import BaseNotifier, Context

from processing.exceptions import ConfigurationError
from processing.records import run_id_of

if TYPE_CHECKING:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

WEBHOOK_SECONDS = 10.0
"""How long a webhook may take to answer."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told; as JSON the body of a webhook's request.

    ``event`` is failed, late or alarm; ``run_id`` newslake's own, as in ``runs/``; ``text`` one
    sentence or a few lines, which chat services show; ``url`` Airflow's page of the task.
    """

    event: str
    dag_id: str
    dag_run_id: str
    run_id: str
    text: str
    url: str | None = None


class Notifier(BaseNotifier):
    """Airflow's notifier of failed tasks (``on_failure_callback``) and missed deadlines."""

    def notify(self, context: Context) -> None:
        """Tell of what ``context`` speaks of; raises as ``tell``."""
        tell(notice_of(context), os.environ)

    async def async_notify(self, context: Context) -> None:
        """The same in Airflow's triggerer, where deadlines are watched."""
        await tell_async(notice_of(context), os.environ)


def notice_of(context: Mapping[str, Any]) -> Notice:
    """What a context of Airflow's callbacks tells: of a task that failed, or of a deadline."""
    run = context["dag_run"]
    if "deadline" in context:
        due = datetime.fromisoformat(str(context["deadline"]["deadline_time"])).astimezone(UTC)
        text = f"{run['dag_id']} is late: it has not ended by {due:%Y-%m-%d %H:%M} UTC"
        run_after = datetime.fromisoformat(run["run_after"])
        run_id = run_id_of(run["dag_id"], run["dag_run_id"], run_after)
        return Notice("late", run["dag_id"], run["dag_run_id"], run_id, text)
    ti = context["ti"]
    why = context.get("exception") or context.get("reason") or "its process ended without a word"
    run_id = run_id_of(run.dag_id, run.run_id, run.run_after)
    text = f"{run.dag_id} failed in {ti.task_id}: {why} (run {run_id})"
    return Notice("failed", run.dag_id, run.run_id, run_id, text, ti.log_url)


def tell(notice: Notice, environ: Mapping[str, str]) -> None:
    """Send a notice to all whom ``environ`` names; nobody, nothing.

    Each is tried. Raises an ExceptionGroup of what went wrong.
    """
    failed = []
    for send in (_send_mail, _post):
        try:
            send(notice, environ)
        except Exception as error:  # one that cannot be reached must not hide it from the other
            failed.append(error)
    _raise(failed)


async def tell_async(notice: Notice, environ: Mapping[str, str]) -> None:
    """As ``tell``, for Airflow's triggerer."""
    mail = _mail(notice, environ)
    sending = [asyncio.to_thread(_post, notice, environ)]
    sending += [mail.async_notify({})] if mail else []
    sent = await asyncio.gather(*sending, return_exceptions=True)
    _raise([said for said in sent if isinstance(said, Exception)])


def _send_mail(notice: Notice, environ: Mapping[str, str]) -> None:
    mail = _mail(notice, environ)
    if mail is not None:
        mail.notify({})


def _mail(notice: Notice, environ: Mapping[str, str]) -> SmtpNotifier | None:
    said = environ.get("NEWSLAKE_NOTIFY_MAIL", "")
    to = [address.strip() for address in said.split(",") if address.strip()]
    if not to:
        return None
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    lines = [notice.text, notice.url or ""]
    # Called as it is, not as Airflow's callback: what strangers' pages say is no template.
    return SmtpNotifier(
        to=to,
        subject=f"newslake: {notice.dag_id}: {notice.event}",
        html_content=f"<pre>{escape(chr(10).join(filter(None, lines)))}</pre>",
    )


def _post(notice: Notice, environ: Mapping[str, str]) -> None:
    address = environ.get("NEWSLAKE_NOTIFY_WEBHOOK")
    if not address:
        return
    if not address.startswith(("http://", "https://")):
        raise ConfigurationError(
            "NEWSLAKE_NOTIFY_WEBHOOK is no web address; write it in full, with https://"
        )
    body = json.dumps(asdict(notice)).encode()
    request = Request(address, body, {"Content-Type": "application/json"})  # noqa: S310  # above
    with build_opener().open(request, timeout=WEBHOOK_SECONDS):
        pass


def _raise(failed: list[Exception]) -> None:
    if failed:
        raise ExceptionGroup("not everybody could be told", failed)
