"""Notices reach a real mail server and a real webhook; what strangers say stays text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from receivers import mailbox, webhook

# In a process of its own: importing airflow fixes the settings of the one that does.
TELL = """
import asyncio, json, os, sys
from datetime import datetime
from types import SimpleNamespace
from newslake.notifications import Notifier

def told(of, environ):
    os.environ.pop("NEWSLAKE_NOTIFY_MAIL", None)
    os.environ.pop("NEWSLAKE_NOTIFY_WEBHOOK", None)
    os.environ.update(environ)
    try:
        if of == "late":
            asyncio.run(wait(Notifier(LATE)))
        else:
            Notifier()(FAILED)
    except ExceptionGroup as error:
        return [str(each) for each in error.exceptions]
    return []

async def wait(notifier):
    await notifier

RUN = dict(dag_id="news_hourly", run_after="2026-11-21T10:00:00+00:00")
FAILED = {
    "dag_run": SimpleNamespace(
        dag_id=RUN["dag_id"], run_id="due", run_after=datetime.fromisoformat(RUN["run_after"])
    ),
    "ti": SimpleNamespace(task_id="verdict", log_url="http://127.0.0.1/log"),
    "exception": Exception("dead failed: {{ 6 * 7 }} <b>&"),
}
LATE = {
    "dag_run": {**RUN, "dag_run_id": "due"},
    "deadline": {"deadline_time": "2026-11-21 11:00:00+00:00"},
}
print(json.dumps([told(*case) for case in json.loads(sys.argv[1])]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    with mailbox() as (smtp, mails), webhook() as (hook, posts), webhook(500) as (ill, refused):
        both = {"NEWSLAKE_NOTIFY_MAIL": "a@mail.example, b@mail.example"}
        both["NEWSLAKE_NOTIFY_WEBHOOK"] = hook
        cases: list[tuple[str, dict[str, str]]] = [
            ("failed", both),
            ("late", both),
            ("failed", {}),
            ("failed", {**both, "NEWSLAKE_NOTIFY_WEBHOOK": ill}),
            ("failed", {**both, "NEWSLAKE_NOTIFY_MAIL": "", "NEWSLAKE_NOTIFY_WEBHOOK": "a.b/c"}),
        ]
        done = subprocess.run(
            [sys.executable, "-c", TELL, json.dumps(cases)],
            env=environment(tmp_path_factory.mktemp("airflow"), smtp),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        errors = json.loads(done.stdout.splitlines()[-1])
        yield SimpleNamespace(
            mails=list(mails.queue), posts=list(posts.queue), refused=refused, errors=errors
        )


def environment(home: Path, smtp: str) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AIRFLOW", "NEWSLAKE"))}
    return {**kept, "AIRFLOW_HOME": str(home), "AIRFLOW_CONN_SMTP_DEFAULT": smtp}


def test_a_failure_is_told_by_both_ways_word_for_word(told):
    post, mail = told.posts[0], told.mails[0]
    assert post["event"] == "failed"
    run_id = post["run_id"]
    assert post["text"] == (
        f"news_hourly failed in verdict: dead failed: {{{{ 6 * 7 }}}} <b>& (run {run_id})"
    )
    assert run_id.startswith("20261121T100000Z-")
    assert (post["dag_id"], post["dag_run_id"], post["url"]) == (
        *("news_hourly", "due"),
        "http://127.0.0.1/log",
    )
    assert mail["subject"] == "newslake: news_hourly: failed"
    assert (mail["from"], mail["to"]) == ("lake@mail.example", "a@mail.example, b@mail.example")
    body = html(mail)
    assert "dead failed: {{ 6 * 7 }} &lt;b&gt;&amp;" in body and "http://127.0.0.1/log" in body


def test_a_missed_deadline_is_told_by_both_ways(told):
    post, mail = told.posts[1], told.mails[1]
    assert post["event"] == "late"
    assert post["run_id"] == told.posts[0]["run_id"]
    assert post["text"] == "news_hourly is late: it has not ended by 2026-11-21 11:00 UTC"
    assert post["text"] in html(mail)


def test_each_is_told_though_the_other_cannot_be_and_nobody_is_no_error(told):
    assert told.errors[:3] == [[], [], []]
    assert told.errors[3] == ["HTTP Error 500: Internal Server Error"]
    assert told.errors[4] == [
        "NEWSLAKE_NOTIFY_WEBHOOK is no web address; write it in full, with https://"
    ]
    assert (len(told.mails), len(told.posts), told.refused.qsize()) == (3, 2, 1)


def html(mail: Any) -> str:
    (part,) = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    content: str = part.get_content()
    return content
