"""Airflow's API server with the page, over a lake of its own, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from crawled_lake import WALL, crawl, finish, report
from running_airflow import free_port, until

from newslake import stack
from processing.records import State
from processing.storage import Store

TODAY = datetime.now(UTC).date()
"""By the machine's clock, as the server has it; what holds today holds of yesterday, too."""
YESTERDAY = TODAY - timedelta(days=1)
LONG_AGO = TODAY - timedelta(days=40)

SOURCE = """
id: {id}
name: The {id}
homepage: https://{id}.example/
feeds: [https://{id}.example/feed.xml]
schedule: daily
delay: 2.5
honour: [tdm]
"""
FAILED = "robots.txt gave <script>alert(1)</script>"
GUESTS = "admin:admin,guest:"  # a guest has no role, so may see nothing


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def words(self) -> str:
        """The text a person reads: without tags, white space as one blank."""
        bare = "".join(part.partition(">")[2] or " " for part in self.text.split("<"))
        return " ".join(unescape(bare).split())


@dataclass(frozen=True)
class ServedPage:
    """The API server on ``port``, and where its home is."""

    port: int
    home: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def password(self, user: str = "admin") -> str:
        known: dict[str, str] = json.loads(stack.password_file(self.home).read_text())
        return known[user]

    def ask(
        self,
        path: str,
        token: str | None = None,
        method: str = "GET",
        accept: str = "text/html",
        body: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer as it comes, without following where it leads."""
        headers = {"Accept": accept}
        if token:
            headers["Cookie"] = f"_token={token}"
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, urlencode(body) if body else None, headers)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        text = answer.read().decode()
        connection.close()
        return Answer(answer.status, found, text)

    def token(self, user: str) -> str:
        """A login's token, as Airflow's form gets it."""
        body = {"username": user, "password": self.password(user)}
        found = self.ask("/auth/token", method="POST", accept="application/json", body=body)
        token: str = json.loads(found.text)["access_token"]
        return token

    @cached_property
    def _admin(self) -> str:
        return self.token("admin")

    def view(self, path: str) -> Answer:
        """A view below the page's prefix, as the administrator sees it."""
        return self.ask(f"/newslake{path}", self._admin)


@contextmanager
def serving(
    folder: Path, environ: Mapping[str, str], *, users: str = GUESTS, dags: Path | None = None
) -> Iterator[ServedPage]:
    """The API server out of ``folder/home``; ends with the block.

    ``users`` are names and roles as Airflow's setting has them. It knows the DAGs of ``dags``,
    and nothing runs them.
    """
    home, port = folder / "home", free_port()
    (folder / "dags").mkdir()
    env = {**environ, "NEWSLAKE_HOME": str(home)}
    env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = users
    env |= stack.airflow_environment(home, env, dags=dags or folder / "dags", port=port)
    stack.migrate(env)
    airflow = [sys.executable, "-P", "-m", "airflow"]
    with (folder / "api-server.log").open("wb") as log:
        if dags:
            known = [*airflow, "dags", "reserialize"]
            subprocess.run(known, env=env, stdout=log, stderr=log, check=True)
        process = subprocess.Popen([*airflow, "api-server"], env=env, stdout=log, stderr=log)
    page = ServedPage(port, home)
    try:
        until(lambda: _answers(page), process)
        yield page
    finally:
        process.terminate()
        process.wait(60)


def _answers(page: ServedPage) -> bool:
    try:
        return page.ask("/api/v2/version").status == 200
    except OSError:
        return False


def environment() -> dict[str, str]:
    """This process's environment without settings of ours."""
    ours = ("AWS_", "NEWSLAKE_", "AIRFLOW")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def declare(folder: Path) -> Path:
    """A directory of sources: one that is well, one that fails, one that never ran, one broken."""
    sources = folder / "sources"
    sources.mkdir()
    for name in ("herald", "gale", "silent"):
        (sources / f"{name}.yaml").write_text(SOURCE.format(id=name))
    (sources / "torn.yaml").write_text("id: torn\nname: Torn\nhomepage: nowhere\n")
    return sources


def fill(store: Store) -> None:
    """Three days of runs through the real extraction and publisher."""
    for day in (LONG_AGO, YESTERDAY, TODAY):
        run_id = f"{day:%Y%m%d}T000000Z-abcdef"
        at = f"https://herald.example/{day:%Y/%m/%d}"
        words = ("Nothing moves", "Nobody &amp; no boat moves", "The flood is over")
        pages = {f"{at}/{n}": report(f"{said} on {day}") for n, said in enumerate(words)}
        refused = {f"{at}/closed": State.SKIPPED_ROBOTS, f"{at}/gone": State.FAILED_HTTP}
        crawl(store, run_id, "herald", {**pages, f"{at}/wall": WALL}, refused)
        finish(store, run_id, ["herald", "gale"], {"gale": FAILED})
