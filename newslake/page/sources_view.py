"""The *Sources* view: how each source is, and what became of its URLs."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from newslake.page.rendering import templates

router = APIRouter()


@router.get("/sources", name="sources")
def sources(request: Request) -> Response:
    """One line for each source."""
    return templates.TemplateResponse(request, "sources.html", {"here": "sources"})
