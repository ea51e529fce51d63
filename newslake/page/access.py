"""Who may see the page: whom Airflow has let in, and who may use its website.

Airflow mounts plugins' applications outside its own access check, so the application demands it
of every route; ``tests/page/test_access.py`` goes through all of them.
"""

from __future__ import annotations

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette import status
from starlette.exceptions import HTTPException

DEMANDED = [Depends(requires_access_view(AccessView.WEBSITE))]
"""The dependencies of every route: a valid login of Airflow's, and the right to its website."""

REFUSALS = (status.HTTP_401_UNAUTHORIZED, status.HTTP_403_FORBIDDEN)


def refused(request: Request, error: HTTPException) -> Response:
    """Airflow's login page for a browser that is not logged in; else the error as JSON."""
    if error.status_code == status.HTTP_401_UNAUTHORIZED and _wants_page(request):
        login = get_auth_manager().get_url_login(next_url=str(request.url))
        return RedirectResponse(login, status.HTTP_303_SEE_OTHER)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _wants_page(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")
