"""What every column, state and manifest field means: the lake's own description of itself.

The words here are the source; docs/data-format.md shows the same tables (a test compares), and
``documents`` puts them into the lake as README.md and JSON Schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from processing.records import TOPICS, UNCLASSIFIED, State
from processing.tables import PARTITIONS, SCHEMAS

TABLES = {
    "articles": "One row per distinct article.",
    "copies": "One row per duplicate, text and all, pointing at its article.",
    "revisions": "Articles as they were before a change: one row per replaced text.",
    "coverage": "One row per run, source and URL discovered: its one final state in that run.",
    "keys": "URL key to what was published under it; how newslake knows a page again.",
    "fingerprints": "What a text is found again by: one row for each of articles and copies.",
}


@dataclass(frozen=True, slots=True)
class Column:
    """What a column means, and when it is null (nothing for a column that never is)."""

    meaning: str
    null: str = ""


_ARTICLE = {
    "id": Column(
        "Identity of the article: the first 32 hex digits of SHA-256 of its URL key. Fixed at"
        " first publication."
    ),
    "url": Column("Address the page was finally read from, after redirects, as it stands."),
    "canonical_url": Column(
        "Address the page itself names as its canonical one, when it was believed.",
        "the page names none, or one that was not believed",
    ),
    "source": Column("Id of the source (a site's YAML file) that led to it."),
    "title": Column("Headline, without the site's name."),
    "authors": Column(
        "Names of the authors as the page states them, best effort; empty when unknown."
    ),
    "published_at": Column(
        "Moment of publication in UTC, as stated by `published_source`. With precision `day` the"
        " time of day carries no information. A stated time without a zone is taken as UTC, so it"
        " can be some hours off.",
        "nobody states a plausible one",
    ),
    "published_source": Column(
        "Who stated `published_at`: `json-ld`, `meta`, `sitemap` or `feed` (the"
        " listing), `html` (visible on the page), `url`, or `first-seen` (nobody:"
        " then `published_at` is null, `date` the day of `first_seen_at`). The surest first;"
        " `html` and `url` are read by heuristics."
    ),
    "published_precision": Column(
        "How fine `published_at` was stated: `second`, `minute` or `day`.", "`published_at` is null"
    ),
    "modified_at": Column(
        "Moment of the last change in UTC, as the publisher states it; publishers also touch it"
        " without a change of text.",
        "nobody states a plausible one",
    ),
    "first_seen_at": Column(
        "When newslake first fetched the article, in UTC; of an imported one, when the archive that"
        " held it did."
    ),
    "fetched_at": Column("When the page behind this row was fetched, in UTC."),
    "language": Column(
        "Language of the text as a primary BCP 47 subtag (`en`, `pt`): the page's claim, unless the"
        " text clearly is in another.",
        "neither text nor page tells",
    ),
    "topic_score": Column(
        "How sure `topic` is, 0 to 1: about the share of such articles whose topic is right; 1 for"
        " the operator's word, 0 for `unclassified`."
    ),
    "topic_method": Column(
        "Who chose `topic`: `source-map` (the operator's map of a site's sections), `section` (the"
        " models, and a section's name in page, address or tags that speaks for it), `model` (the"
        " models alone) or `none` (`unclassified`: nothing is sure enough). Which models, the"
        " manifest's `software` says under `topic-models`."
    ),
    "topics": Column(
        "All candidate topics with their scores, surest first, weak guesses included; may be empty."
    ),
    "section": Column(
        "The site's own section, as page or listing state it; a breadcrumb (`News > Sport`) where"
        " the page has that alone.",
        "not stated",
    ),
    "tags": Column(
        "Keywords as page or listing state them; may be empty. `LiveBlogPosting`, schema.org's own"
        " word, comes first where the page calls itself a live blog: its text goes on changing."
    ),
    "summary": Column("The publisher's own description of the article.", "not stated"),
    "text": Column(
        "Body of the article as plain text, paragraphs parted by newlines; title, navigation,"
        " comments and related links left out. Extraction is good, not perfect: the page behind"
        " `warc_key` is the truth."
    ),
    "word_count": Column(
        "Words of `text`; in scripts without spaces two characters count as one word."
    ),
    "image_url": Column("Address of the lead image, not fetched.", "not stated"),
    "is_accessible_for_free": Column(
        "Whether the publisher states that the whole article is free to read; false often means"
        " that `text` is a teaser.",
        "not stated",
    ),
    "wire": Column(
        "News agency the text comes from (`AP`, `Reuters`, `AFP`, ...), by its byline, dateline,"
        " credit or copyright line.",
        "no agency is told",
    ),
    "cluster_id": Column(
        "What texts of one story have in common: the `id` of one of its articles. Copies have their"
        " article's; articles share one where they are like the same text, or one contains the"
        " other. Moves, without another `run_id`, when two clusters prove to be one."
    ),
    "revision": Column("0 as first published, one more for each later text."),
    "content_hash": Column(
        "SHA-256 (64 hex digits) of the normalised text: NFKC, casefolded, words alone with single"
        " spaces between."
    ),
    "rights": Column(
        "What the publisher said when the page was fetched; newslake grants nothing. `robots`"
        " (to newslake, by robots.txt), `tdm` (text and data mining, by TDMRep) and `ai` (training"
        " or feeding models: robots.txt shuts out a known AI crawler, a Content Signal, or"
        " `noai`) are `allowed`, `denied` or `unknown`: nobody said. A denial in one place"
        " outweighs a permission in another. `licence` is a licence's URL, `evidence` quotes what"
        " was read. Of an imported page only headers and page were asked.",
        "the row is older than the reading of rights; `reprocess` fills in what the stored page"
        " tells",
    ),
    "extractor": Column(
        "Name and version of what made `text` out of the page; `+site-template/...` at its end"
        " where lines that recur over the site were taken out."
    ),
    "run_id": Column("Run that last wrote the row; its manifest is `runs/<run_id>.json`."),
    "warc_key": Column(
        "Key in the lake of the WARC file that holds the page (for imported files the address"
        " given).",
        "the raw file has expired",
    ),
    "warc_offset": Column(
        "Byte where the page's gzip member begins (in imported files its zstd frame, or its record"
        " where nothing is packed).",
        "`warc_key` is null, or an imported file is packed as one",
    ),
    "warc_length": Column("Length of that member in bytes.", "`warc_offset` is null"),
    "date": Column(
        "UTC day of `published_at` at first publication, of `first_seen_at` where that was null."
        " Fixed then: a later correction changes `published_at` alone."
    ),
    "topic": Column(
        "Top-level slug of IPTC Media Topics, or `unclassified` when the evidence is too thin."
    ),
}

COLUMNS: dict[str, dict[str, Column]] = {
    "articles": _ARTICLE,
    "copies": _ARTICLE
    | {
        "article_id": Column("`id` of the article that it duplicates."),
        "relation": Column(
            "How it duplicates: `same-url` (the same URL key from another source), `exact` (the"
            " same normalised text, at most 30 days apart), `near` (edited: at most 3 days apart,"
            " at least half of the shorter text and two fifths of the longer are shared) or"
            " `contained` (cut: half of it or more stands in its article, which has much besides)."
            " As first published."
        ),
        "similarity": Column(
            "The share of the shorter text that stands in the longer, as estimated when it was"
            " published, 0 to 1; 1 for `same-url` and `exact`."
        ),
    },
    "revisions": _ARTICLE
    | {
        "replaced_at": Column("When the row was replaced, in UTC."),
        "replaced_by_run": Column("Run that replaced it."),
        "changed": Column(
            "Which of `title`, `text`, `published_at`, `modified_at` changed; empty"
            " when another column did."
        ),
    },
    "coverage": {
        "run_id": Column("The run."),
        "source": Column("Id of the source."),
        "url": Column(
            "The URL as discovered, which may differ from the article's `url` by a redirect."
        ),
        "state": Column("What became of it; one of the states below."),
        "detail": Column("The reason in one line, for people.", "the state says it all"),
        "http_status": Column("Status of the last HTTP response.", "none was received"),
        "discovered_via": Column("The listing that named it.", "not known"),
        "article_id": Column(
            "`id` in articles of the article it is or duplicates.",
            "it led to no article, or that has left the dataset",
        ),
        "at": Column("When that was decided, in UTC."),
        "date": Column("UTC day of the run."),
    },
    "keys": {
        "key": Column("First 32 hex digits of SHA-256 of a URL key."),
        "source": Column("Id of the source that published under it."),
        "id": Column("`id` of the row in articles or copies."),
        "kind": Column("Which table holds that row: `article` or `copy`."),
        "date": Column("Its partition `date`."),
        "topic": Column("Its `topic`."),
        "run_id": Column("Run that first published it."),
    },
    "fingerprints": {
        "key": Column("First 32 hex digits of the row's `content_hash`."),
        "source": Column("The row's `source`."),
        "id": Column("The row's `id`."),
        "article_id": Column("The article it stands for: its own `id` in articles."),
        "relation": Column("The copy's `relation`.", "it is an article"),
        "run_id": Column("Run that last wrote it."),
        "similarity": Column("The copy's `similarity`.", "it is an article"),
        "cluster_id": Column("The row's `cluster_id`."),
        "signature": Column("Version of the way `winnowed` is made, 1 so far."),
        "winnowed": Column(
            "What the text is found by after edits: of every run of five words (in scripts without"
            " spaces, of eight characters) the upper half of its xxh3 hash, of every ten runs in a"
            " row the least; none of a text below 50 words."
        ),
        "date": Column("The row's `date`."),
    },
}
"""Table -> column -> meaning."""

STATES: dict[State, str] = {
    State.PUBLISHED: "new in articles",
    State.UPDATED: "known, with a new text: its row was replaced, the old one is in revisions;"
    " in a run of `reprocess`: its row was corrected",
    State.UNCHANGED: "asked again; the server said 304, or the text is the same",
    State.DUPLICATE_EXACT: "same URL key or same text as an article; the row is in copies, or it is"
    " the same page again",
    State.DUPLICATE_NEAR: "nearly the text of an article, or contained in one; the row is in"
    " copies",
    State.SKIPPED_ROBOTS: "robots.txt forbids it",
    State.SKIPPED_RIGHTS: "its publisher reserves what the source honours (`tdm`, `ai`,"
    " `noindex`): not taken",
    State.SKIPPED_RULE: "the source's own allow and deny rules leave it out",
    State.SKIPPED_OLD: "older than the source's max_age_days",
    State.SKIPPED_LIMIT: "beyond the source's max_articles of this run; a later run may take it",
    State.SKIPPED_UNSAFE: "its address is forbidden: private, loopback, or not http(s)",
    State.SKIPPED_UNAVAILABLE: "not tried: its host had failed too often in this run",
    State.FAILED_HTTP: "the server answered with an error status",
    State.FAILED_REDIRECT: "redirected too often, in a circle, or to nowhere",
    State.FAILED_NETWORK: "no connection: name not found, refused, reset, TLS",
    State.FAILED_TIMEOUT: "no answer in time",
    State.FAILED_TOO_LARGE: "the page exceeds the size limit",
    State.REJECTED_NOT_HTML: "not an HTML page",
    State.REJECTED_NOT_ARTICLE: "a page, but no article: listing, live page, gallery, home page",
    State.REJECTED_TOO_SHORT: "too little text for an article",
    State.REJECTED_BLOCKED: "bot check, consent wall, or an error page with status 200",
    State.FAILED_EXTRACTION: "the page could not be read, or took too long",
    State.FORGOTTEN: "removed from the dataset on request",
}
"""Coverage state -> meaning."""

MANIFEST = {
    "run_id": "The run: moment it was due and a suffix.",
    "dag_id": "Airflow's DAG, `reprocess`, `import`, or null.",
    "dag_run_id": "Airflow's own id of the run; of an import the file; or null.",
    "started_at": "ISO 8601, UTC.",
    "finished_at": "ISO 8601, UTC: when all tables were committed. A run published again moves it.",
    "counts": "source -> state -> coverage rows of the run.",
    "known": "source -> URLs discovered that were known from before and not asked again.",
    "discovered": "source -> all URLs discovered: coverage rows and known together.",
    "failures": "source that failed as a whole -> reason.",
    "schedules": "source -> schedule it was crawled by, null by hand; empty when nothing was"
    " crawled.",
    "flags": "What is unusual, as `source`, `flag`, `detail`; `volume-collapse`: far fewer URLs"
    " than the source showed before; `cluster-too-large`, `cluster-too-mixed`: texts of the source"
    " are articles of their own, since a cluster of more than 1,000 texts, or of more than 20 of"
    " one site, looks like a template. Flagged runs are published all the same.",
    "completeness": "Rows of `dataset coverage` for the run's sources: its own day as it stood with"
    " this run, and the day before where this run closed it.",
    "partitions": "Partitions of articles it touched, as `date|topic`.",
    "tables": "table -> Delta version with this run in it.",
    "first_tables": "`tables` as they were when the run first finished: what `since_run` goes by.",
    "software": "package -> version that made it.",
}
"""Field of ``runs/<run_id>.json`` -> meaning."""

VALUES: dict[str, tuple[str, ...]] = {
    "state": tuple(State),
    "topic": (*TOPICS, UNCLASSIFIED),
    "published_source": ("json-ld", "meta", "sitemap", "feed", "html", "url", "first-seen"),
    "published_precision": ("second", "minute", "day"),
    "topic_method": ("source-map", "section", "model", "none"),
    "relation": ("same-url", "exact", "near", "contained"),
    "kind": ("article", "copy"),
}
"""Column -> all values it may take."""


PROMISES = {
    "Files": "`articles` lies under `date=YYYY-MM-DD/topic=<slug>/`, `keys` in one folder, the rest"
    " under `date=YYYY-MM-DD/`; the partition columns are in the folders' names, not in the files."
    " zstd Parquet, sorted by `published_at` then `id` (`keys` and `fingerprints` by `key`). A"
    " published file is never overwritten. A bare glob over `*.parquet` also sees files that were"
    " replaced: the Delta log alone says which files are the table.",
    "Protocol": "Delta reader version 1 suffices, for every table.",
    "Snapshots": "Each table changes in one transaction, so a reader sees a run's rows in it all or"
    " not at all. A run's tables change one after another, and its manifest comes last: join"
    " tables of one state by the versions under `tables` in a manifest.",
    "Old versions": "They stay for the days that the operator chooses (`newslake dataset compact`,"
    " 30 if not told otherwise). When an article is forgotten on request, they go at once.",
    "Identity": "`id` is fixed at first publication and unique in `articles`. In `copies` (`id`,"
    " `source`) is unique, in `coverage` (`run_id`, `source`, `url`).",
    "URL key": "What is compared: the URL without scheme, `www.`, tracking parameters, AMP and"
    " mobile marks, fragment and trailing slash. The page's canonical URL counts when it is"
    " believed, else the fetched one.",
    "`date`": "The UTC day of `published_at` where that is known and plausible, else of"
    " `first_seen_at`. It stays as first published; `topic` moves only when pages are processed"
    " again.",
    "An article once published stays one": "What arrives later with the same text or nearly the"
    " same, even if dated earlier, is a copy. Equal texts more than 30 days apart, and edited ones"
    " more than 3, are articles of their own.",
    "Duplicates": "A copy keeps its row, text and all, and is like its article itself, not only"
    " like another copy. A text that contains an earlier, much shorter one is no copy: both are"
    " articles of one cluster. `newslake dataset cluster` shows a cluster and what differs in it.",
    "Changes": "Another text under the same URL key from the same source replaces the row, raises"
    " `revision` and moves the earlier row to `revisions`. A page that newslake reads better than"
    " before corrects its row in place: no revision, another `run_id` and `extractor`.",
    "Coverage": "Every URL that a listing named ends a run in one state: a row in `coverage`, or,"
    " when it was known and not asked again, a count under `known` in the manifest. Both add up"
    " to the URLs discovered; `newslake dataset verify` proves it.",
    "Completeness": "Per UTC day and source: the runs its schedule had due, those done and failed,"
    " and whether the day is closed: over, and followed by a crawl that finished well. From"
    " `lake.completeness()`, and of a run's own sources in its manifest. A closed day still gains"
    " articles that their publisher dates back.",
    "Provenance": "`warc_key`, `warc_offset` and `warc_length` make the page behind a row one range"
    " read; the gzip member before it says which listing led there.",
}
"""What -> what a reader may rely on."""


def documents() -> dict[str, bytes]:
    """The objects by which a lake explains itself: key -> content."""
    schemas = {f"schema/{name}.json": _as_json(json_schema(name)) for name in SCHEMAS}
    return {"README.md": readme().encode(), **schemas}


def json_schema(table: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one row of a table, moments and days as ISO 8601 text."""
    columns = COLUMNS[table]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": table,
        "description": f"{TABLES[table]} Partitioned by {_partitioned(table)}.",
        "type": "object",
        "properties": {
            field.name: {
                "description": columns[field.name].meaning,
                **_kind(field, nullable=_may_be_null(table, field)),
            }
            for field in SCHEMAS[table]
        },
        "required": SCHEMAS[table].names,
        "additionalProperties": False,
    }


def readme() -> str:
    """The lake's README, in Markdown."""
    parts = [_OPENING, f"## What is promised\n\n{promises()}"]
    parts += [f"## {name}/\n\n{TABLES[name]}\n\n{column_table(name)}" for name in SCHEMAS]
    parts.append(f"## Coverage states\n\n{listing(STATES, 'state')}")
    parts.append(f"## runs/<run_id>.json\n\n{listing(MANIFEST, 'field')}")
    return "\n\n".join(parts) + "\n"


def column_table(table: str) -> str:
    """A table's columns as a Markdown table; of copies and revisions only those of their own."""
    own = set(COLUMNS[table]) - (set(_ARTICLE) if table in ("copies", "revisions") else set())
    rows = [
        f"| `{field.name}` | {_type_name(field.type)}"
        f" | {COLUMNS[table][field.name].null or 'never'} | {COLUMNS[table][field.name].meaning} |"
        for field in SCHEMAS[table]
        if field.name in own
    ]
    before = "Every column of articles, and:\n\n" if len(own) < len(SCHEMAS[table]) else ""
    head = "| column | type | null when | meaning |\n|---|---|---|---|\n"
    return before + head + "\n".join(rows)


def promises() -> str:
    """What a reader may rely on, as a Markdown list."""
    return "\n".join(f"- **{what}.** {said}" for what, said in PROMISES.items())


def listing(said: Mapping[Any, str], head: str) -> str:
    """Names and their meanings as a Markdown table."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in said.items()]
    return f"| {head} | meaning |\n|---|---|\n" + "\n".join(rows)


_OPENING = """# A newslake

News articles by date and topic, collected by newslake. Objects of this lake:

- `articles/`, `copies/`, `revisions/`, `coverage/`, `keys/`, `fingerprints/`: Delta Lake tables \
of zstd Parquet. Read them with newslake's own `open_lake`, or with any Delta reader (Polars, \
DuckDB, pandas, Spark, Trino, Athena).
- `runs/<run_id>.json`: what each finished run did, written last.
- `raw/date=YYYY-MM-DD/source=<id>/*.warc.gz`: the pages as fetched, one gzip member per record.
- `schema/<table>.json`: JSON Schemas of the rows.
- `staged/`, `state/`, `lease.json`: newslake's own; not for readers.
- `lake.json`: the version of this layout.

`articles` is partitioned by date and topic, the others by date, `keys` not at all."""


_JSON_TYPES = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer"},
    "int64": {"type": "integer"},
    "float": {"type": "number"},
    "timestamp[us, tz=UTC]": {"type": "string", "format": "date-time"},
    "date32[day]": {"type": "string", "format": "date"},
}


def _partitioned(table: str) -> str:
    return " and ".join(PARTITIONS[table]) or "nothing"


def _may_be_null(table: str, field: pa.Field[Any]) -> bool:
    return field.nullable and bool(COLUMNS[table][field.name].null)


def _kind(field: pa.Field[Any], *, nullable: bool) -> dict[str, Any]:
    kind = _json_type(field.type)
    if field.name in VALUES:
        kind["enum"] = [*VALUES[field.name], *([None] if nullable else [])]
    if nullable:
        kind["type"] = [kind["type"], "null"]
    return kind


def _json_type(kind: pa.DataType) -> dict[str, Any]:
    if isinstance(kind, pa.ListType):
        return {"type": "array", "items": _json_type(kind.value_type)}
    if isinstance(kind, pa.StructType):
        inner = {part.name: _kind(part, nullable=part.nullable) for part in kind}
        return {"type": "object", "properties": inner}
    return dict(_JSON_TYPES[str(kind)])


def _type_name(kind: pa.DataType) -> str:
    name = str(kind).replace("item: ", "").replace("date32[day]", "date")
    return f"`{name.replace('tz=', '').replace('bool', 'boolean')}`"


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
