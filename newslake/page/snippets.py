"""Code to copy that reads exactly what a view shows, in the ways of docs/reading.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from processing.storage import Store

COLUMNS = ("date", "topic", "title", "source", "published_at", "url")
"""What is read of each article."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Articles dated ``first`` to ``last``, both included, of one ``topic`` or all.

    ``counted``: their numbers by date and topic, in place of the rows.
    """

    first: date
    last: date
    topic: str | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code for one reader: its name, what it needs from PyPI, the code."""

    name: str
    needs: str
    code: str


def snippets(store: Store, selection: Selection) -> list[Snippet]:
    """Code for each reader; ``answer`` is what it gives. Holds no credentials."""
    options = _options(store.delta_options)
    head = f"options = {options}\n"
    table = f'table = DeltaTable("{store.url}/articles", storage_options=options)\n'
    return [
        Snippet("newslake", "newslake", _newslake(store.url, selection)),
        Snippet(
            "DuckDB",
            "duckdb deltalake",
            f"import duckdb\nfrom deltalake import DeltaTable\n\n{head}{table}"
            f"articles = table.to_pyarrow_dataset()\nanswer = duckdb.sql({_sql(selection)})\n"
            "answer.show()\n",
        ),
        Snippet("Polars", "polars deltalake", _polars(store.url, head, selection)),
        Snippet("pandas", "pandas deltalake", _pandas(head + table, selection)),
        Snippet("Spark", "pyspark delta-spark", _spark(store, selection)),
    ]


def _options(known: Mapping[str, str]) -> str:
    shown = ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION")
    lines = "".join(f'    "{name}": "{known[name]}",\n' for name in shown if name in known)
    return f"{{  # AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from the environment\n{lines}}}"


def _sql(selection: Selection) -> str:
    what = ", ".join(COLUMNS)
    end = "ORDER BY published_at DESC"
    if selection.counted:
        what, end = "date, topic, count(*) AS articles", "GROUP BY date, topic ORDER BY date, topic"
    lines = [f"SELECT {what}", "FROM articles", f"WHERE {_where(selection)}", end]
    return '"""\n' + "".join(f"    {line}\n" for line in lines) + '"""'


def _where(selection: Selection) -> str:
    where = f"date BETWEEN DATE '{selection.first}' AND DATE '{selection.last}'"
    return f"{where} AND topic = '{selection.topic}'" if selection.topic else where


def _newslake(url: str, selection: Selection) -> str:
    asked = f"lake.sql({_sql(selection)})"
    if not selection.counted:
        topic = f', topic="{selection.topic}"' if selection.topic else ""
        asked = (
            f'lake.articles(\n        date=("{selection.first}", "{selection.last}"){topic},\n'
            f"        columns={list(COLUMNS)},\n    )"
        ).replace("'", '"')
    return f'import newslake\n\nwith newslake.open_lake("{url}") as lake:\n    answer = {asked}\n'


def _polars(url: str, head: str, selection: Selection) -> str:
    days = ", ".join(_days(selection))
    topic = f', pl.col("topic") == "{selection.topic}"' if selection.topic else ""
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    end = f'.select({names})\n    .sort("published_at", descending=True)'
    if selection.counted:
        end = '.group_by("date", "topic")\n    .len("articles")\n    .sort("date", "topic")'
    return (
        f"from datetime import date\n\nimport polars as pl\n\n{head}answer = (\n"
        f'    pl.scan_delta("{url}/articles", storage_options=options)\n'
        f'    .filter(pl.col("date").is_between({days}){topic})\n    {end}\n    .collect()\n)\n'
    )


def _pandas(head: str, selection: Selection) -> str:
    first, last = _days(selection)
    topic = f'\n    ("topic", "=", "{selection.topic}"),' if selection.topic else ""
    columns = ["date", "topic"] if selection.counted else list(COLUMNS)
    end = (
        'frame.groupby(["date", "topic"]).size().reset_index(name="articles")'
        if selection.counted
        else 'frame.sort_values("published_at", ascending=False)'
    )
    shown = str(columns).replace("'", '"')
    return (
        f"from datetime import date\n\nfrom deltalake import DeltaTable\n\n{head}selection = [\n"
        f'    ("date", ">=", {first}),\n    ("date", "<=", {last}),{topic}\n]\n'
        f"frame = table.to_pandas(filters=selection, columns={shown})\nanswer = {end}\n"
    )


def _spark(store: Store, selection: Selection) -> str:
    place = f"{store.url}/articles".replace("s3://", "s3a://", 1)
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    end = f'.select({names})\n    .orderBy("published_at", ascending=False)'
    if selection.counted:
        end = '.groupBy("date", "topic")\n    .count()\n    .orderBy("date", "topic")'
    return (
        "# spark: a session with Delta and this store, see docs/reading.md\nanswer = (\n"
        f'    spark.read.format("delta")\n    .load("{place}")\n'
        f'    .where("{_where(selection)}")\n    {end}\n)\nanswer.show()\n'
    )


def _days(selection: Selection) -> list[str]:
    """Its first and last day as Python writes them."""
    return [f"date({d.year}, {d.month}, {d.day})" for d in (selection.first, selection.last)]
