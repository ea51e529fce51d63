"""The page as Airflow finds it: an application, and its entry in the navigation.

Every process of Airflow loads this, so the application, and with it FastAPI and Arrow, is made
only where it is served.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

URL_PREFIX = "/newslake"


class NewslakePlugin(AirflowPlugin):
    """Serves the page under ``/newslake`` and shows it in Airflow's navigation."""

    name = "newslake"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application; Airflow's API server asks for it."""
        from newslake.page.app import make_app

        return [{"app": make_app(os.environ), "url_prefix": URL_PREFIX, "name": "newslake"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The entry in the navigation."""
        # Airflow may be served below a path, which it does not put before a view's address.
        below = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
        return [
            {
                "name": "newslake",
                "href": f"{below}{URL_PREFIX}/",
                "destination": "nav",
                "url_route": "newslake",
                "nav_top_level": True,
                "icon": f"{below}{URL_PREFIX}/static/icon.svg",
            }
        ]
