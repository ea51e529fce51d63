"""What rendering needs on this machine, and how its browser is started.

Knows nothing of playwright, which is loaded only where a source of the batch is rendered.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""The commands that start a browser of Chromium's family, the first found is taken."""

SLOT = "browser"
"""Where the requests of rendered pages queue, apart from the hosts' own queues."""

_REQUESTS_AT_ONCE = 8

_SWITCHES = (
    # No way out: a proxy that has no address, for loopback too, and names that do not resolve.
    "--proxy-server=http://nowhere.invalid:9",
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-quic",
    # WebRTC sends datagrams past any proxy; older Chromiums know the switch by its second name.
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    # Nothing is drawn, nobody is asked, nothing is kept up to date.
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_ENVIRONMENT = ("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR")
"""All that the browser gets of our environment: it runs strangers' scripts, beside credentials."""


def missing(environ: Mapping[str, str]) -> str | None:
    """Why no page can be rendered here, with the mend; None when all is there."""
    if find_spec("scrapy_playwright") is None:
        return "scrapy-playwright is not installed; pip install 'newslake[render]'"
    if _browser(environ) is None:
        return "no browser is installed; install Debian's chromium"
    return None


def settings(environ: Mapping[str, str], user_id: int) -> dict[str, Any]:
    """What Scrapy's settings need besides ours when a source is rendered.

    As root the browser's sandbox cannot be used.
    """
    return {
        "PLAYWRIGHT_BROWSER_PROVIDER": "crawlers.browser.Launcher",
        "PLAYWRIGHT_LAUNCH_OPTIONS": {
            "executable_path": _browser(environ),
            "headless": True,
            "chromium_sandbox": user_id != 0,
            "args": list(_SWITCHES),
            "env": {name: environ[name] for name in _ENVIRONMENT if name in environ},
        },
        "DOWNLOAD_SLOTS": {SLOT: {"delay": 0.0, "concurrency": _REQUESTS_AT_ONCE}},
    }


def _browser(environ: Mapping[str, str]) -> str | None:
    path = environ.get("PATH", os.defpath)
    return next(filter(None, (shutil.which(name, path=path) for name in BROWSERS)), None)
