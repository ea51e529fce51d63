"""Where things are: the local home and the directory of sources, from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str]) -> Path:
    """The directory of local state: ``NEWSLAKE_HOME``, by default ``.newslake`` here."""
    return Path(environ.get("NEWSLAKE_HOME") or ".newslake").absolute()


def sources_directory(environ: Mapping[str, str]) -> Path:
    """The directory of source files: ``NEWSLAKE_SOURCES``, by default the shipped catalogue."""
    named = environ.get("NEWSLAKE_SOURCES")
    return Path(named).absolute() if named else _beside("crawlers") / "sources"


def dags_directory() -> Path:
    """The folder Airflow reads the DAGs from."""
    return _beside("dags")


def _beside(room: str) -> Path:
    return Path(__file__).resolve().parent.parent / room
