"""The page as a web application: its views, its files, and what it says when something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette import status
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from newslake.configuration import home
from newslake.page import access, article_view, dataset_view, sources_view
from newslake.page.alarms import AlarmWatch
from newslake.page.lake import SharedLake
from newslake.page.remembered import Remembered
from newslake.page.rendering import STATIC, Headers, templates
from newslake.page.runs import Runs
from newslake.page.sources_view import Declared
from processing.exceptions import NewslakeError, NoLake, ObjectNotFound, StoreError


def make_app(
    environ: Mapping[str, str], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FastAPI:
    """The page over the lake that ``environ`` names, for Airflow to mount.

    ``app.state`` holds what its views share: ``environ``, ``clock``, and an object for each thing
    that is kept from one request to the next.
    """
    app = FastAPI(
        title="newslake",
        dependencies=access.DEMANDED,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    remembered = Remembered(home(environ))
    app.state.lake = SharedLake(environ)
    app.state.environ = environ
    app.state.clock = clock
    app.state.remembered = remembered
    app.state.runs = Runs(remembered)
    app.state.alarms = AlarmWatch(app.state.lake, clock)
    app.state.declared = Declared(environ)
    app.add_middleware(Headers)
    for kind in (HTTPException, RequestValidationError, NewslakeError):
        app.exception_handler(kind)(_told)
    for view in (dataset_view, sources_view, article_view):
        app.include_router(view.router)

    files = StaticFiles(directory=STATIC)

    # A route and no mount: a mount would be open to everyone.
    @app.get("/static/{path:path}", name="static")
    async def static(request: Request, path: str) -> Response:
        return await files.get_response(path, request.scope)

    return app


def _told(request: Request, error: Exception) -> Response:
    """One sentence in place of the view."""
    said, code = str(error), status.HTTP_400_BAD_REQUEST
    if isinstance(error, NoLake):
        return templates.TemplateResponse(request, "no_lake.html", {"said": said})
    if isinstance(error, HTTPException):
        if error.status_code in access.REFUSALS:
            return access.refused(request, error)
        said, code = error.detail, error.status_code
    elif isinstance(error, RequestValidationError):
        said, code = _fault(error), status.HTTP_400_BAD_REQUEST
    elif isinstance(error, ObjectNotFound):
        code = status.HTTP_404_NOT_FOUND
    elif isinstance(error, StoreError):
        code = status.HTTP_503_SERVICE_UNAVAILABLE
    return templates.TemplateResponse(request, "wrong.html", {"said": said, "code": code}, code)


def _fault(error: RequestValidationError) -> str:
    """The first thing that is wrong with an address."""
    first = error.errors()[0]
    problem = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    return f"{first.get('input')!r} cannot be the {first['loc'][-1]}: {problem}"
