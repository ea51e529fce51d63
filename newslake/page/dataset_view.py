"""The *Dataset* view: how much there is of which day and topic, and how fresh it is."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from newslake.page.rendering import templates

router = APIRouter()


@router.get("/", name="dataset")
def dataset(request: Request) -> Response:
    """What the dataset holds."""
    return templates.TemplateResponse(request, "dataset.html", {"here": "dataset"})
