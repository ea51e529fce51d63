"""The demo news sites, served beside a run: ``newslake run --demo``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from newslake import processes
from processing.exceptions import ConfigurationError, ServiceError

EDITIONS = 2
"""The sites of a second run carry news and corrections; then they stay as they are."""

_SITES = Path(__file__).resolve().parent.parent / "tests" / "demo"


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` turned to the demo: its sources, and no store but the embedded one."""
    if not _SITES.is_dir():
        raise ConfigurationError(
            "the demo sites come with newslake's repository only; run --demo in a checkout of it"
        )
    foreign = ("NEWSLAKE_LAKE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
    kept = {name: value for name, value in environ.items() if name not in foreign}
    return {**kept, "NEWSLAKE_SOURCES": str(_SITES / "sources")}


@contextmanager
def sites(edition: int) -> Iterator[dict[str, str]]:
    """Serve the sites; the variables through which a crawl reaches them.

    They answer as an HTTP proxy on one loopback port, so that their addresses are the same
    whatever the port. Raises ServiceError when the server does not start.
    """
    command = [sys.executable, str(_SITES / "server.py"), "--edition", str(min(edition, EDITIONS))]
    server = processes.start(command, output=subprocess.PIPE)
    try:
        said = server.stdout.readline().decode().strip() if server.stdout else ""
        if not said.startswith("serving on "):
            raise ServiceError(f"the demo sites did not start: {said or 'no word from them'}")
        address = said.removeprefix("serving on ")
        yield {"http_proxy": address, "no_proxy": "127.0.0.1,localhost"}
    finally:
        processes.stop(server)
        if server.stdout:
            server.stdout.close()
