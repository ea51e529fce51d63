"""Fixtures of the page's tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from served_page import ServedPage, declare, environment, fill, serving

from processing.storage import Store


@pytest.fixture(scope="session")
def page_store(object_store: dict[str, str]) -> Store:
    """A lake with three days of runs."""
    store = Store.from_environment({**object_store, "NEWSLAKE_LAKE": _bucket()})
    store.ensure_bucket()
    fill(store)
    return store


@pytest.fixture(scope="session")
def page(
    object_store: dict[str, str], page_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedPage]:
    """The page over that lake, in Airflow's API server."""
    folder = tmp_path_factory.mktemp("page")
    own = {"NEWSLAKE_LAKE": page_store.url, "NEWSLAKE_SOURCES": str(declare(folder))}
    with serving(folder, {**environment(), **object_store, **own}) as served:
        yield served


def _bucket() -> str:
    return f"s3://test-{secrets.token_hex(8)}"
