"""Crawls as the pipeline runs them: a process of its own, real sites, a real store."""

from __future__ import annotations

import gzip
import importlib
import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess as SpawnedProcess
from pathlib import Path
from typing import Any

import yaml
from siteserver import Answer, Request, SiteServer

from processing.records import Visit
from processing.storage import Store

RUNS = [f"20260310T{hour:02}0000Z-abc{hour:03}" for hour in range(24)]
ABOUT_SITES = ("/robots.txt", "/.well-known/tdmrep.json")
HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass
class Sites:
    """Pages by their addresses, served through a proxy; what is not there is a 404."""

    pages: dict[str, Answer | Callable[[Request], Answer]] = field(default_factory=dict)
    server: SiteServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = SiteServer(self._answer)

    def _answer(self, request: Request) -> Answer:
        page = self.pages.get(request.url, Answer(404, HTML, b"<p>nothing here</p>"))
        return page if isinstance(page, Answer) else page(request)

    def article(self, url: str, text: str = "", **headers: str) -> None:
        body = f"<!doctype html><html><body><article><h1>{url}</h1>{text}</article></body></html>"
        self.pages[url] = Answer(200, {**HTML, **headers}, body.encode())

    def feed(self, url: str, *items: str | tuple[str, str], **headers: str) -> None:
        """An RSS feed of addresses, or of pairs of an address and further elements."""
        pairs = [(item, "") if isinstance(item, str) else item for item in items]
        entries = "".join(
            f"<item><title>About {n}</title><link>{link}</link>{more}</item>"
            for n, (link, more) in enumerate(pairs)
        )
        body = f'<?xml version="1.0"?><rss version="2.0"><channel>{entries}</channel></rss>'
        self.pages[url] = Answer(200, {"Content-Type": "text/xml", **headers}, body.encode())

    def asked(self) -> list[str]:
        """The addresses asked for since the last call, what sites say to crawlers left out."""
        urls = [r.url for r in self.server.requests if not r.url.endswith(ABOUT_SITES)]
        self.server.forget_requests()
        return urls


@dataclass(frozen=True)
class Outcome:
    """What a crawl process left behind."""

    status: int | None
    errors: str
    results: dict[str, dict[str, Any]]
    peak_mb: int
    """The most memory that the process held at a time."""


# Processes of their own, as in the pipeline, but forked from one that has Scrapy imported.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["crawlers.crawl"])


def _main(
    arguments: list[str], env: dict[str, str], constants: dict[str, Any], directory: Path
) -> None:
    from crawlers.crawl import main  # here, so that the tests themselves load no reactor

    os.environ.clear()
    os.environ.update(env)
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    with (directory / "errors.log").open("wb") as file:
        os.dup2(file.fileno(), 2)
    status = main(arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1024**2 if sys.platform == "darwin" else 1024
    (directory / "peak").write_text(str(peak // unit))
    raise SystemExit(status)


class CrawlRunner:
    """Starts crawl processes over YAML sources in a directory of its own."""

    def __init__(self, directory: Path, env: dict[str, str]):
        self.sources = directory / "sources"
        self.sources.mkdir()
        self.directory = directory
        self.result = directory / "result.json"
        self.env = env
        self.constants: dict[str, Any] = {}
        """Constants that are others in the process, by their full names."""

    def source(self, id_: str, **declared: Any) -> None:
        defaults = {"id": id_, "name": id_, "homepage": f"http://{id_}.example/", "delay": 0.0}
        text = yaml.safe_dump({**defaults, **declared})
        (self.sources / f"{id_}.yaml").write_text(text)

    def arguments(self, *ids: str, run: str = RUNS[0], attempt: int = 1) -> list[str]:
        named = [part for id_ in ids for part in ("--source", id_)]
        where = ["--sources-dir", str(self.sources), "--result", str(self.result)]
        return ["--run-id", run, "--attempt", str(attempt), *where, *named]

    def start(self, *ids: str, run: str = RUNS[0], attempt: int = 1) -> SpawnedProcess:
        return self.start_with(self.arguments(*ids, run=run, attempt=attempt))

    def start_with(self, arguments: list[str]) -> SpawnedProcess:
        self.result.unlink(missing_ok=True)
        about = (arguments, self.env, self.constants, self.directory)
        process = _processes.Process(target=_main, args=about)
        process.start()
        return process

    def finish(self, process: SpawnedProcess) -> Outcome:
        process.join(120)
        if process.is_alive():
            process.kill()
        told = json.loads(self.result.read_text()) if self.result.exists() else []
        errors, peak = self._left("errors.log"), self._left("peak")
        return Outcome(process.exitcode, errors, {r["source"]: r for r in told}, int(peak or 0))

    def _left(self, name: str) -> str:
        file = self.directory / name
        return file.read_text() if file.exists() else ""

    def __call__(self, *ids: str, run: str = RUNS[0], attempt: int = 1) -> Outcome:
        return self.finish(self.start(*ids, run=run, attempt=attempt))


def ledger(store: Store, source: str, run: str = RUNS[0], attempt: int = 1) -> list[Visit]:
    """The visits of a crawl."""
    data = store.get(f"staged/run={run}/source={source}/crawl-{attempt}.jsonl.gz").data
    return [Visit.from_json(json.loads(line)) for line in gzip.decompress(data).splitlines()]


def outcomes(store: Store, source: str, run: str = RUNS[0], attempt: int = 1) -> dict[str, str]:
    """What a crawl says of each URL."""
    return {visit.url: visit.outcome for visit in ledger(store, source, run, attempt)}


def publish(store: Store, run: str) -> None:
    """Do what publishing does last: the manifest makes a run's pages known."""
    store.put(f"runs/{run}.json", b"{}")
