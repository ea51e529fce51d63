"""The catalogue: which sites are crawled and how, one YAML file each.

A broken file becomes one sentence and never stops the others.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from processing.exceptions import ConfigurationError, SourceError
from processing.records import TOPICS

Schedule = Literal["every-15-minutes", "hourly", "every-6-hours", "daily", "weekly"]
"""How often a source is due; each schedule that has sources is a DAG of its own."""

SCHEDULES: tuple[str, ...] = get_args(Schedule)

INTERVALS: Mapping[str, timedelta] = {
    "every-15-minutes": timedelta(minutes=15),
    "hourly": timedelta(hours=1),
    "every-6-hours": timedelta(hours=6),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
}
"""The time between two runs of a schedule."""

Right = Literal["tdm", "ai", "noindex"]
"""A publisher's reservation that a source may honour beyond robots.txt."""


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        absolute = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        absolute = False
    if not absolute or re.search(r"\s", value):
        raise ValueError(f"{value!r} is no web address; write it in full, as https://example.com/")
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(
            f"{value!r} is no regular expression ({error}); put a backslash before what is meant"
            " literally"
        ) from None
    return value


def _topic(value: str) -> str:
    if value not in TOPICS:
        raise ValueError(f"{value!r} is no topic; {_nearest(value, TOPICS)}")
    return value


WebAddress = Annotated[
    str, AfterValidator(_web_address), WithJsonSchema({"type": "string", "format": "uri"})
]
Regex = Annotated[
    str, AfterValidator(_regex), WithJsonSchema({"type": "string", "format": "regex"})
]
TopicSlug = Annotated[
    str, AfterValidator(_topic), WithJsonSchema({"type": "string", "enum": list(TOPICS)})
]


class Source(BaseModel):
    """One news site, as its YAML file declares it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(pattern=r"^[a-z0-9-]+$", description="equals the file's name")
    name: str = Field(min_length=1)
    homepage: WebAddress
    country: str | None = Field(None, pattern=r"^[a-z]{2}$", description="ISO 3166-1 alpha-2")
    language: str | None = Field(
        None, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="BCP 47; else detected"
    )
    schedule: Schedule = "hourly"
    feeds: list[WebAddress] = []
    sitemaps: list[WebAddress] = Field([], description="sitemap, index or news sitemap")
    sections: list[WebAddress] = Field([], description="pages whose links are followed one level")
    allow: list[Regex] = Field([], description="when given, article URLs must match one")
    deny: list[Regex] = Field([], description="article URLs must match none")
    max_articles: int = Field(500, ge=1, description="requests for articles per run")
    max_age_days: int = Field(7, ge=1, description="older entries are not fetched")
    delay: float = Field(
        1.0, ge=0, le=3600, strict=False, description="seconds between requests to one host"
    )
    concurrency: int = Field(1, ge=1, le=16)
    render: bool = Field(False, description="headless Chromium, only for this source")
    aggregator: bool = Field(False, description="carries others' copy")
    honour: list[Right] = Field([], description="beyond robots.txt")
    topics: dict[str, TopicSlug] = Field({}, description="this site's sections to topic slugs")
    allow_private: bool = Field(False, description="may reach loopback and private addresses")
    enabled: bool = True

    @model_validator(mode="after")
    def _lists_something(self) -> Source:
        if not (self.feeds or self.sitemaps or self.sections):
            raise ValueError(
                "lists nothing to read; give at least one of feeds, sitemaps, sections"
            )
        return self

    @property
    def listings(self) -> tuple[str, ...]:
        """Every address where this source lists its articles, each once."""
        return tuple(dict.fromkeys([*self.feeds, *self.sitemaps, *self.sections]))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The sources of a directory by id, and one error per file that is broken."""

    sources: dict[str, Source]
    errors: tuple[SourceError, ...] = ()

    def select(self, ids: Iterable[str]) -> list[Source]:
        """The named sources.

        Raises ConfigurationError on an id that is not in the catalogue, or whose file is broken.
        """
        found = []
        for id_ in ids:
            if id_ not in self.sources:
                broken = [str(e) for e in self.errors if str(e).startswith(f"{id_}.y")]
                raise ConfigurationError(
                    broken[0]
                    if broken
                    else f"no source {id_!r} in the catalogue; {_nearest(id_, self.sources)}"
                )
            found.append(self.sources[id_])
        return found


def aggregators(sources: Iterable[Source]) -> frozenset[str]:
    """The ids of those sources that carry others' copy."""
    return frozenset(source.id for source in sources if source.aggregator)


def load(directory: Path) -> Catalogue:
    """Read every ``*.yaml`` of a directory, in order of names.

    Raises ConfigurationError when the directory is missing or holds no YAML file.
    """
    files = sorted(p for p in directory.glob("*.y*ml") if p.suffix in (".yaml", ".yml"))
    if not files:
        state = "holds no YAML file" if directory.is_dir() else "is not there"
        raise ConfigurationError(
            f"the sources directory {directory} {state}; point NEWSLAKE_SOURCES at a directory"
            " of <id>.yaml files"
        )
    sources: dict[str, Source] = {}
    errors: list[SourceError] = []
    for file in files:
        try:
            source = read_source(file)
            if source.id in sources:
                raise SourceError(
                    f"{file.name}: id: {source.id!r} is declared twice; keep one of the files"
                )
            sources[source.id] = source
        except SourceError as error:
            errors.append(error)
    return Catalogue(sources, tuple(errors))


def read_source(file: Path) -> Source:
    """The source that one file declares; raises SourceError with one sentence when it is wrong."""
    try:
        declared = yaml.load(file.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 safe
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else "syntax"
        problem = getattr(error, "problem", None) or "unreadable characters"
        raise SourceError(
            f"{file.name}: {line}: not valid YAML ({problem}); mend that line"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file.name}: cannot be read ({error}); save it as UTF-8") from None
    if not isinstance(declared, dict):
        raise SourceError(
            f"{file.name}: holds no fields; write one 'name: value' a line, beginning with id"
        )
    try:
        source = Source.model_validate(declared)
    except ValidationError as error:
        raise SourceError(f"{file.name}: {_sentence(error)}") from None
    if source.id != file.stem:
        raise SourceError(
            f"{file.name}: id: {source.id!r} differs from the file's name; write id: {file.stem}"
        )
    return source


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a source file."""
    return Source.model_json_schema()


def plan(sources: Sequence[Source], slots: int) -> list[list[Source]]:
    """Deal sources over at most ``slots`` batches, none empty, in order of ids.

    With no more sources than slots each has a batch of its own.
    """
    ordered = sorted(sources, key=lambda source: source.id)
    batches = min(max(slots, 1), len(ordered))
    return [ordered[start::batches] for start in range(batches)]


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a field given twice, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_MENDS = {
    "missing": "is missing; add it",
    "list_type": "must be a list; write it as [first, second]",
    "dict_type": "must be a map; write it as {/sport/: sport}",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "is empty; fill it in",
}
_PATTERNS = {
    "id": "may hold a-z, 0-9 and hyphens only",
    "country": "must be two small letters (ISO 3166-1), as gb",
    "language": "must be a BCP 47 tag, as en or pt-BR",
}


def _sentence(error: ValidationError) -> str:
    """The first fault of a file as field, problem and mend, and how many more there are."""
    faults = error.errors(include_url=False)
    # An unknown field explains a missing one (a misspelt name), so it goes first.
    fault = min(faults, key=lambda f: f["type"] != "extra_forbidden")
    steps = [f".{step}" if isinstance(step, str) else f"[{step + 1}]" for step in fault["loc"]]
    field = "".join(steps).lstrip(".") or "source"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{field}: {_problem(fault)}{more}"


def _problem(fault: Any) -> str:
    kind, value, context = fault["type"], fault.get("input"), fault.get("ctx", {})
    name = str(fault["loc"][0]) if fault["loc"] else ""
    problem = _MENDS.get(kind, str(fault["msg"]))
    if kind == "extra_forbidden":
        problem = f"is no field of a source; {_nearest(name, Source.model_fields)}"
    elif kind == "literal_error":
        choices = re.findall(r"'([^']+)'", str(context["expected"]))
        problem = f"{value!r} is not a choice; {_nearest(str(value), choices)}"
    elif kind == "string_pattern_mismatch":
        problem = f"{value!r} {_PATTERNS[name]}"
    elif kind == "string_type" and isinstance(value, bool):
        problem = 'is read by YAML as yes or no; put it in quotes, as "no"'
    elif kind == "value_error":
        problem = str(context["error"])
    elif kind in ("greater_than_equal", "less_than_equal"):
        bound = "at least" if kind == "greater_than_equal" else "at most"
        problem = f"is {value!r} but must be {bound} {context.get('ge', context.get('le')):g}"
    return problem


def _nearest(value: str, choices: Iterable[str]) -> str:
    known = list(choices)
    near = get_close_matches(value, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(sorted(known))}"
