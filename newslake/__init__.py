"""newslake: a dataset of news articles by date and topic, and the pipeline that fills it."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newslake.reader import Lake

__all__ = ["__version__", "open_lake"]
__version__ = version("newslake")


def open_lake(url: str | None = None) -> Lake:
    """The lake at ``url`` (``s3://bucket[/prefix]``), by default the one the environment names.

    Where neither names one, the embedded store of ``NEWSLAKE_HOME`` serves until the lake is
    closed or Python ends. Raises ConfigurationError on a wrong address, StoreError when no lake
    is there, LakeFormatError when a newer newslake wrote it.
    """
    from newslake import reader  # Arrow and DuckDB are not for those who only crawl

    return reader.open_lake(url)
