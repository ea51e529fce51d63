"""The *Article* view."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()


@router.get("/articles/{id}", name="article")
def article(id: str) -> str:
    """Stands in until the view is there."""
    return id
