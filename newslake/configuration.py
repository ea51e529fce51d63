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
    if named:
        return Path(named).absolute()
    return Path(__file__).resolve().parent.parent / "crawlers" / "sources"
