"""Serves the demo news sites: ``python tests/demo/server.py --port PORT --edition N``.

Set ``http_proxy`` to the printed address and ask for http://harbour-herald.example/ and its kin.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.sites import handler
from siteserver import SiteServer


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the demo news sites on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes any")
    parser.add_argument("--edition", type=int, default=1, help="1, or 2 with news and corrections")
    options = parser.parse_args()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with SiteServer(handler(options.edition), options.port) as server:
        print(f"serving on {server.url}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
