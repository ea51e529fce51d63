"""The *Article* view: a text beside its stored page, where its fields came from, and its kin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette import status

from crawlers.catalogue import Source
from newslake import clusters, explain
from newslake.page import article, stored_page, warc_record
from newslake.page.lake import OpenLake
from newslake.page.plugin import URL_PREFIX
from newslake.page.rendering import templates
from newslake.reader import Lake
from processing.commits import read_manifest
from processing.exceptions import ConfigurationError, ObjectNotFound, StoreError, UnknownArticle
from processing.records import Page

router = APIRouter()

ArticleId = Annotated[str, Path(alias="id")]
Revision = Annotated[int | None, Query(ge=0, le=2**31 - 1)]  # an int32 in the table
Row = dict[str, Any]

MOST_WORDS = 5_000
"""Words of a text that is compared with another; the time it takes may grow by their square."""

MOST_DIFFERENCES = 100
"""Differences of a text that are shown."""

_REPROCESS, _FORGET = "news_reprocess", "news_forget"
_UNKEPT = {"Cache-Control": "private, no-store"}
_PUBLISHED_BY = {
    "json-ld": "the page, in its JSON-LD",
    "meta": "the page, in its meta tags",
    "sitemap": "the sitemap that listed it",
    "feed": "the feed that listed it",
    "html": "the page, where a reader sees it (read by a heuristic)",
    "url": "the address (read by a heuristic)",
    "first-seen": "nobody: its day is that on which it was first seen",
}
_TOPIC_BY = {
    "source-map": "the operator's map of the source's sections",
    "section": "the names of its sections and tags",
    "model": "the topic models",
    "none": "nobody: the evidence is too thin",
}
_COMPARED = ("title", "authors", "published_at", "modified_at", "section", "url")


@router.get("/articles", name="articles")
def look_up(request: Request, lake: OpenLake, url: str = "") -> Response:
    """The article of an id or an address; without one, where to ask for it."""
    target = url.strip()
    if not target:
        return templates.TemplateResponse(request, "article_search.html", {"asked": ""})
    row = lake.article(target)
    if row is None:
        return _nothing(request, lake, target, f"Nothing is published under {target}")
    return RedirectResponse(f"articles/{_address(row)}", status.HTTP_303_SEE_OTHER)


@router.get("/articles/{id}", name="article")
def show(
    request: Request,
    id_: ArticleId,
    lake: OpenLake,
    user: GetUserDep,
    source: str | None = None,
    revision: Revision = None,
) -> Response:
    """One text: an article, a copy (``source`` tells several of one id apart), or an earlier one.

    404 for what was never published, 410 for what was forgotten.
    """
    try:
        row = article.find(lake, id_, source, revision)
    except UnknownArticle as error:
        return _nothing(request, lake, id_, str(error))
    kind = article.kind(row)
    said = {
        "row": row,
        "kind": kind,
        "address": _address,
        "published_by": _PUBLISHED_BY.get(row["published_source"], row["published_source"]),
        "topic_by": _TOPIC_BY.get(row["topic_method"], row["topic_method"]),
        "topic": explain.explain_row(
            row, _source_map(request, row["source"]), request.app.state.environ
        ),
        "copies": article.copies(lake, row) if kind == "article" else None,
        "revisions": article.revisions(lake, row) if kind != "copy" else [],
        "run_of": _airflow_run(lake, row["run_id"]),
        "airflow": request.scope.get("root_path", "").removesuffix(URL_PREFIX),
        "may": {dag: _may_trigger(request, user, dag) for dag in (_REPROCESS, _FORGET)},
        **_compared(row, article.counterpart(lake, row)),
        **_record(lake, row),
    }
    return templates.TemplateResponse(request, "article.html", said, headers=_UNKEPT)


@router.get("/articles/{id}/page", name="article_page")
def page(
    id_: ArticleId, lake: OpenLake, source: str | None = None, revision: Revision = None
) -> Response:
    """The stored page, made harmless, for a frame without rights."""
    try:
        row = article.find(lake, id_, source, revision)
        shown, code = _harmless(warc_record.page_of(lake.store, row).page, row["language"])
    except (UnknownArticle, ObjectNotFound) as error:
        shown, code = stored_page.notice(str(error)), status.HTTP_404_NOT_FOUND
    headers = {**_UNKEPT, "Content-Security-Policy": stored_page.POLICY}
    return Response(shown, code, headers, "text/html; charset=utf-8")


@router.get("/articles/{id}/record", name="article_record")
def record(
    id_: ArticleId, lake: OpenLake, source: str | None = None, revision: Revision = None
) -> Response:
    """The stored page's WARC record as it lies in the lake, to be saved."""
    try:
        row = article.find(lake, id_, source, revision)
    except UnknownArticle as error:
        raise ObjectNotFound(str(error)) from error
    name = re.sub(r"[^a-z0-9-]", "-", f"{row['source']}-{row['id'][:12]}-{row['revision']}")
    headers = {
        **_UNKEPT,
        "Content-Disposition": f'attachment; filename="{name}.warc.gz"',
        "Content-Security-Policy": stored_page.POLICY,
    }
    member = warc_record.member_of(lake.store, row)
    return Response(member, headers=headers, media_type="application/octet-stream")


def _nothing(request: Request, lake: Lake, target: str, said: str) -> Response:
    """Nothing is there, or nothing any more."""
    code, moment = status.HTTP_404_NOT_FOUND, article.forgotten_at(lake, target)
    if moment:
        said, code = f"This was forgotten on {moment:%Y-%m-%d}, for good", status.HTTP_410_GONE
    context = {"said": said, "asked": target, "forgotten": moment is not None}
    return templates.TemplateResponse(request, "article_search.html", context, code, _UNKEPT)


def _address(row: Row, revision: int | None = None) -> str:
    """What follows ``articles/`` in the address of a row."""
    asked: dict[str, Any] = {"source": row["source"]}
    if revision is not None:
        asked["revision"] = revision
    return f"{quote(row['id'])}?{urlencode(asked)}"


def _harmless(stored: Page, language: str | None) -> tuple[str, int]:
    shown = stored_page.document(stored, language)
    if shown is not None:
        return shown, status.HTTP_200_OK
    said = (
        f"the page of {len(stored.body):,} bytes is too large or too tangled to be shown; download"
        " its record and read it there"
    )
    return stored_page.notice(said), status.HTTP_422_UNPROCESSABLE_CONTENT


def _record(lake: Lake, row: Row) -> Mapping[str, Any]:
    """What the record says of itself, or why it cannot be read."""
    try:
        member = warc_record.member_of(lake.store, row)
        stored = warc_record.page_of(lake.store, row)
    except StoreError as error:
        return {"stored": None, "not_stored": str(error), "warc_headers": []}
    return {"stored": stored, "not_stored": "", "warc_headers": warc_record.headers_of(member)}


def _compared(row: Row, other: Row | None) -> Mapping[str, Any]:
    """What parts a copy from its article, and an earlier text from the one that replaced it."""
    if other is None:
        return {"other": None, "changed": [], "differences": None}
    before, after = (row, other) if article.kind(row) == "revision" else (other, row)
    changed = [(name, before[name], after[name]) for name in _COMPARED if row[name] != other[name]]
    short = max(row["word_count"], other["word_count"]) <= MOST_WORDS
    found = clusters.differences(before["text"], after["text"]) if short else None
    return {
        "other": other,
        "changed": changed,
        "differences": found[:MOST_DIFFERENCES] if found is not None else None,
        "left_out": max(0, len(found) - MOST_DIFFERENCES) if found is not None else 0,
    }


def _source_map(request: Request, source: str) -> Mapping[str, str]:
    """The operator's map of a source's sections; none of one that is not declared, or wrongly."""
    try:
        declared: Source | None = request.app.state.declared.catalogue().sources.get(source)
    except ConfigurationError:
        return {}
    return declared.topics if declared else {}


def _airflow_run(lake: Lake, run_id: str) -> tuple[str, str] | None:
    """DAG and run, as Airflow names them, of a run of newslake; None if Airflow did not run it."""
    said = read_manifest(lake.store, run_id) or {}
    dag, run = said.get("dag_id") or "", said.get("dag_run_id")
    return (dag, quote(run, safe="")) if dag.startswith("news_") and run else None


def _may_trigger(request: Request, user: GetUserDep, dag_id: str) -> bool:
    """Whether Airflow would let a user start a DAG, by the check of its own route for that."""
    check = requires_access_dag("POST", DagAccessEntity.RUN, dag_id)
    try:
        check(request, user)
    except HTTPException:
        return False
    return True
