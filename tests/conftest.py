"""What the tests share: one real embedded object store, and a fresh bucket of it for each test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from newslake import objectstore
from processing.storage import Store


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which the session's embedded store is reached."""
    with objectstore.serving(tmp_path_factory.mktemp("home")) as variables:
        yield variables


@pytest.fixture
def lake_env(object_store: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A whole environment for child processes, with an empty lake and a home of its own."""
    own = {
        "NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}",
        "NEWSLAKE_HOME": str(tmp_path / "home"),
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "NEWSLAKE_", "AIRFLOW"))
    }
    return {**kept, **object_store, **own}


@pytest.fixture
def store(lake_env: dict[str, str]) -> Store:
    """The lake of ``lake_env``, opened; its bucket exists and is empty."""
    lake = Store.from_environment(lake_env)
    lake.ensure_bucket()
    return lake


_LONGEST = (
    "test_kills.py",
    "test_run.py",
    "test_services.py",
    "test_workers.py",
    "test_interruption.py",
    "test_stack.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failed one: whatever it needs is to be installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
