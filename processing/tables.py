"""The lake's tables as Arrow schemas, in the column order readers see.

docs/data-format.md says what each column means; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

_MOMENT = pa.timestamp("us", tz="UTC")


def _required(name: str, kind: pa.DataType) -> pa.Field[Any]:
    return pa.field(name, kind, nullable=False)


def _optional(name: str, kind: pa.DataType) -> pa.Field[Any]:
    return pa.field(name, kind)


ARTICLES = pa.schema(
    [
        _required("id", pa.string()),
        _required("url", pa.string()),
        _optional("canonical_url", pa.string()),
        _required("source", pa.string()),
        _required("title", pa.string()),
        _optional("authors", pa.list_(pa.string())),
        _optional("published_at", _MOMENT),
        _required("published_source", pa.string()),
        _optional("published_precision", pa.string()),
        _optional("modified_at", _MOMENT),
        _required("first_seen_at", _MOMENT),
        _required("fetched_at", _MOMENT),
        _optional("language", pa.string()),
        _optional("topic_score", pa.float32()),
        _required("topic_method", pa.string()),
        _optional(
            "topics",
            pa.list_(pa.struct([("topic", pa.string()), ("score", pa.float32())])),
        ),
        _optional("section", pa.string()),
        _optional("tags", pa.list_(pa.string())),
        _optional("summary", pa.string()),
        _required("text", pa.string()),
        _required("word_count", pa.int32()),
        _optional("image_url", pa.string()),
        _optional("is_accessible_for_free", pa.bool_()),
        _optional("wire", pa.string()),
        _required("cluster_id", pa.string()),
        _required("revision", pa.int32()),
        _required("content_hash", pa.string()),
        _optional(
            "rights",
            pa.struct(
                [(name, pa.string()) for name in ("robots", "tdm", "ai", "licence", "evidence")]
            ),
        ),
        _required("extractor", pa.string()),
        _required("run_id", pa.string()),
        _optional("warc_key", pa.string()),
        _optional("warc_offset", pa.int64()),
        _optional("warc_length", pa.int64()),
        _optional("date", pa.date32()),
        _optional("topic", pa.string()),
    ]
)
"""One row per distinct article; partitioned by ``date``, ``topic``."""

COPIES = pa.schema(
    [
        *ARTICLES,
        _required("article_id", pa.string()),
        _required("relation", pa.string()),
        _optional("similarity", pa.float32()),
    ]
)
"""One row per duplicate, pointing at its article; partitioned by ``date``."""

REVISIONS = pa.schema(
    [
        *ARTICLES,
        _required("replaced_at", _MOMENT),
        _required("replaced_by_run", pa.string()),
        _optional("changed", pa.list_(pa.string())),
    ]
)
"""Articles as they were before a change; partitioned by ``date``."""

COVERAGE = pa.schema(
    [
        _required("run_id", pa.string()),
        _required("source", pa.string()),
        _required("url", pa.string()),
        _required("state", pa.string()),
        _optional("detail", pa.string()),
        _optional("http_status", pa.int32()),
        _optional("discovered_via", pa.string()),
        _optional("article_id", pa.string()),
        _required("at", _MOMENT),
        _optional("date", pa.date32()),
    ]
)
"""One row per run, source and URL discovered: its final state; partitioned by ``date``."""

KEYS = pa.schema(
    [
        _required("key", pa.string()),
        _required("source", pa.string()),
        _required("id", pa.string()),
        _required("kind", pa.string()),
        _optional("date", pa.date32()),
        _optional("topic", pa.string()),
        _required("run_id", pa.string()),
    ]
)
"""SHA-256 (32 hex digits) of a URL key -> what was published under it, without a window.

``kind`` is ``article`` or ``copy``: which table holds the row ``id``.
"""

FINGERPRINTS = pa.schema(
    [
        _required("key", pa.string()),
        _required("source", pa.string()),
        _required("id", pa.string()),
        _required("article_id", pa.string()),
        _optional("relation", pa.string()),
        _required("run_id", pa.string()),
        # Nullable, since lakes of format 2 had none of them.
        _optional("similarity", pa.float32()),
        _optional("cluster_id", pa.string()),
        _optional("signature", pa.int32()),
        _optional("winnowed", pa.list_(pa.int32())),
        _optional("date", pa.date32()),
    ]
)
"""What a text is found again by: one row for each row of articles and copies; partitioned by
``date``, that row's own.

``key`` is the first 32 hex digits of ``content_hash``; ``relation`` and ``similarity`` are null
for an article.
``winnowed`` are the keys of ``signatures.sign``, made as version ``signature`` makes them.
"""

EXTRACTED = "extracted"
"""Staged coverage state of a page that became an article: publishing decides its final one."""


def _nullable(schema: pa.Schema) -> list[pa.Field[Any]]:
    return [f.with_nullable(True) for f in schema]


STAGED_ARTICLES = pa.schema([*_nullable(ARTICLES), _required("listed_url", pa.string())])
"""Extracted articles on their way to publishing; ``listed_url`` joins them to their coverage."""

STAGED_COVERAGE = COVERAGE
"""Coverage on its way to publishing; ``state`` may also be EXTRACTED or ``known``."""

PARTITIONS = {
    "articles": ["date", "topic"],
    "copies": ["date"],
    "revisions": ["date"],
    "coverage": ["date"],
    "keys": [],
    "fingerprints": ["date"],
}
SCHEMAS = {
    "articles": ARTICLES,
    "copies": COPIES,
    "revisions": REVISIONS,
    "coverage": COVERAGE,
    "keys": KEYS,
    "fingerprints": FINGERPRINTS,
}


def to_table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table of exactly ``schema``.

    Columns a row lacks become null; a value of the wrong type or a null where none may be
    raises pyarrow.ArrowInvalid (or ArrowTypeError).
    """
    table = pa.Table.from_pylist(list(rows), schema=schema)
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise pa.ArrowInvalid(f"column {field.name} must not be null")
    return table
