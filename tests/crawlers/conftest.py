"""Fixtures of the crawl's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crawl_support import CrawlRunner, Sites

from processing.storage import Store


@pytest.fixture
def sites() -> Iterator[Sites]:
    world = Sites()
    with world.server:
        yield world


@pytest.fixture
def crawl(tmp_path: Path, lake_env: dict[str, str], store: Store, sites: Sites) -> CrawlRunner:
    proxied = {"http_proxy": sites.server.proxy_url, "no_proxy": "127.0.0.1,localhost"}
    return CrawlRunner(tmp_path, {**lake_env, **proxied})
