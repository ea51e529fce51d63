"""The ``newslake`` command: the operator's and reader's face.

Exit status: 0 all well; 1 the command failed, or a whole source failed; 2 wrong usage or
configuration.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from newslake import __version__
from processing.exceptions import ArchiveError, ConfigurationError, NewslakeError
from processing.records import TOPICS, UNCLASSIFIED, State

_PIPE_WIDTH = 160
_LAST_WIDTH = 24  # what words say stands last, and is not cut to pieces for the others' sake

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON array of objects.")


def main() -> NoReturn:
    """Run the command line; prints an error of ours as one sentence."""
    from newslake.objectstore import past_proxies

    # The steps' log is for Airflow's tasks: a command says itself what there is to say.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGTERM, _terminate)
    # Here too: this process itself asks the embedded store, through libraries that read these.
    os.environ.update(past_proxies(os.environ))
    try:
        # Without standalone_mode click raises no Exit: it returns the status.
        status = newslake(prog_name="newslake", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has left (as in ``| head``); nothing more can be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except NewslakeError as error:
        click.echo(f"newslake: {error}", err=True)
        sys.exit(error.exit_status)
    sys.exit(status)


def _terminate(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


@click.group()
@click.version_option(__version__, prog_name="newslake")
def newslake() -> None:
    """News sites into a clean, deduplicated dataset by date and topic."""


@newslake.command()
@click.option("--source", "only", multiple=True, metavar="ID", help="Only this source; repeatable.")
@click.option(
    "--sources",
    "directory",
    type=click.Path(path_type=Path),
    help="Directory of source files; else NEWSLAKE_SOURCES, else the shipped catalogue.",
)
@click.option("--demo", "with_demo", is_flag=True, help="Crawl the demo sites, served here.")
def run(only: tuple[str, ...], directory: Path | None, with_demo: bool) -> None:
    """Crawl, extract and publish once, now."""
    from crawlers import catalogue
    from newslake import summary
    from newslake.configuration import sources_directory
    from newslake.demo import environment
    from newslake.reader import Lake
    from newslake.run import run as run_once
    from processing.storage import Store
    from processing.topics import fast_chosen

    environ = dict(os.environ)
    if directory is not None:
        environ["NEWSLAKE_SOURCES"] = str(directory.absolute())
    declared = catalogue.load(sources_directory(environment(environ) if with_demo else environ))
    declared.select(only)  # a misspelt id is told before anything starts
    fast_chosen(environ)  # and a wrong setting
    for error in declared.errors:
        click.echo(f"newslake: {error}", err=True)
    if not only and not any(source.enabled for source in declared.sources.values()):
        raise ConfigurationError(
            "no source is enabled; set enabled: true in one of the source files"
        )
    console = _console()
    with (
        _watching(console) as watch,
        run_once(environ, only=only, with_demo=with_demo, watch=watch) as outcome,
    ):
        watch.close()
        lake = Lake(Store.from_environment(outcome.environ))
        summary.show(console, lake, {"Log of the run": str(outcome.log)})
        failures = (outcome.manifest or {}).get("failures", {})
        for id_, reason in failures.items():
            click.echo(f"newslake: source {id_} failed: {reason}", err=True)
        if not outcome.succeeded:
            if not failures and not declared.errors:
                click.echo(f"newslake: the run failed; the end of {outcome.log} says why", err=True)
            raise click.exceptions.Exit(1)


@newslake.command()
@click.option("--port", default=8080, show_default=True, help="Loopback port of Airflow's page.")
def up(port: int) -> None:
    """Run the object store and Airflow on this machine until Ctrl-C."""
    from newslake import objectstore, stack
    from newslake.configuration import home

    folder = home(os.environ)
    with objectstore.lake_environment(os.environ, folder) as lake:
        environ = {**os.environ, **lake, "NEWSLAKE_HOME": str(folder)}
        if lake:
            click.echo(f"Object store: {lake['AWS_ENDPOINT_URL_S3']}")
        stack.up(folder, environ, dags=stack.dags_folder(), port=port)


@newslake.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE_OR_WARC...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
def extract(files: tuple[Path, ...]) -> None:
    """Print the articles in saved pages and WARC files as JSON lines.

    Needs no lake. What is no article is named on standard error with its reason.
    """
    from processing.pool import ExtractionPool
    from processing.records import Rejection
    from processing.saved import extract_saved

    with ExtractionPool() as pool:
        for url, outcome in extract_saved(files, pool):
            if isinstance(outcome, Rejection):
                click.echo(f"{url}: {outcome.state}: {outcome.detail}", err=True)
            else:
                click.echo(json.dumps(outcome.to_row(), default=str, ensure_ascii=False))


@newslake.command("import")
@click.argument("files", nargs=-1, required=True, metavar="WARC...")
@click.option(
    "--source", metavar="ID", help="Whose pages they are; else told by their hosts, page by page."
)
@as_json
def import_warc(files: tuple[str, ...], source: str | None, as_json: bool) -> None:
    """Take existing WARC files, as CC-NEWS or your own, through extraction and publishing.

    Each is a local path, or s3://bucket/key in the lake's own store, and becomes one run.
    """
    from crawlers import catalogue
    from newslake import importing, objectstore
    from newslake.configuration import home, sources_directory
    from processing.pool import ExtractionPool
    from processing.storage import Store
    from processing.topics import fast_chosen

    known = catalogue.load(sources_directory(os.environ))
    for error in known.errors:
        click.echo(f"newslake: {error}", err=True)
    fast_topics = fast_chosen(os.environ)
    done: list[importing.Imported] = []
    files = tuple(dict.fromkeys(files))
    with objectstore.lake_environment(os.environ, home(os.environ)) as lake:
        store = Store.from_environment({**os.environ, **lake})
        _tell_broken(importing.check(store, files, source))
        with ExtractionPool(workers=max(1, min(4, os.cpu_count() or 1))) as pool:
            for file in files:
                try:
                    with _counting(file) as watch:
                        imported = importing.import_file(
                            store,
                            file,
                            list(known.sources.values()),
                            pool,
                            datetime.now(UTC),
                            source=source,
                            fast_topics=fast_topics,
                            watch=watch,
                        )
                except ArchiveError as error:
                    click.echo(f"newslake: {error}", err=True)
                    continue
                done.append(imported)
                if not as_json:
                    click.echo(str(imported))
    if as_json:
        _print_json([asdict(imported) for imported in done])
    if len(done) < len(files):
        raise click.exceptions.Exit(1)


@newslake.command()
@as_json
def doctor(as_json: bool) -> None:
    """Say what is configured, what answers, what is wrong and how to mend it."""
    from newslake.doctor import diagnose

    checks = diagnose(os.environ)
    if as_json:
        _print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            click.echo(f"{'ok ' if check.ok else 'BAD'} {check.name}: {check.said}")
            if check.mend:
                click.echo(f"    {check.mend}")
    if not all(check.ok for check in checks):
        raise click.exceptions.Exit(1)


@newslake.group()
def sources() -> None:
    """The catalogue of news sites."""


@sources.command("list")
@as_json
def list_sources(as_json: bool) -> None:
    """Print every source; broken files are named and make the status 2."""
    from crawlers import catalogue
    from newslake.configuration import sources_directory

    known = catalogue.load(sources_directory(os.environ))
    found = [source.model_dump() for source in known.sources.values()]
    if as_json:
        _print_json(found)
    else:
        _print_table(
            [
                {
                    "id": source.id,
                    "name": source.name,
                    "schedule": source.schedule,
                    "listings": len(source.listings),
                    "enabled": "yes" if source.enabled else "no",
                }
                for source in known.sources.values()
            ]
        )
    _tell_broken(known.errors)


@sources.command("schema")
def schema() -> None:
    """Print the JSON Schema of a source file."""
    from crawlers import catalogue

    click.echo(json.dumps(catalogue.json_schema(), indent=2))


@sources.command("check")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@as_json
def check_sources(ids: tuple[str, ...], as_json: bool) -> None:
    """Validate every source file; with IDs, try those sources and store nothing.

    Shows for each URL discovered what would be stored, and why not the rest.
    """
    from crawlers import catalogue
    from newslake.check import check
    from newslake.configuration import sources_directory

    known = catalogue.load(sources_directory(os.environ))
    chosen = known.select(ids)
    found: list[dict[str, Any]] = []
    failed = []
    for source in chosen:
        rows, reason = check(source, os.environ)
        found += rows
        if reason:
            failed.append(reason)
        if not as_json:
            _print_checked(rows)
    if as_json:
        _print_json(found)
    elif not ids:
        click.echo(f"{len(known.sources)} sources are well declared")
    for reason in failed:
        click.echo(f"newslake: {reason}", err=True)
    if not ids:
        _tell_broken(known.errors)
    if failed:
        raise click.exceptions.Exit(1)


@sources.command("add")
@click.argument("url", metavar="URL")
@click.option("--id", "id_", metavar="ID", help="Its id; else the name in the site's domain.")
@click.option(
    "--sources",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory to write the file to; else NEWSLAKE_SOURCES.",
)
@as_json
def add_source(url: str, id_: str | None, directory: Path | None, as_json: bool) -> None:
    """Find a site's feeds and sitemaps, try a sample of its articles, and write its file.

    Asks at most 25 pages, then fetches at most 20 articles, one a second. Never overwrites.
    """
    from newslake import adding

    file = adding.destination(url, id_, directory, os.environ)
    told: list[Mapping[str, Any]] = []

    def tell(rows: Sequence[Mapping[str, Any]]) -> None:
        told.extend(rows)
        if not as_json:
            _print_added(rows)

    try:
        adding.add(url, file, os.environ, datetime.now(UTC), tell)
    finally:
        if as_json:
            _print_json(told)
    if not as_json:
        click.echo(f"{file} was written:\n\n{file.read_text('utf-8')}")


@sources.command("health")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--date",
    "days",
    metavar="FIRST[..LAST]",
    help="Only these days (UTC); else yesterday, and today so far.",
)
@as_json
def source_health(ids: tuple[str, ...], days: str | None, as_json: bool) -> None:
    """Print what is not as usual with the sources: the figure, where to look, the likely mend.

    Prints nothing when all is as usual, so that cron mails only what asks for something to be
    done; a terminal is told so. Alarms are no failure: status 1 when nothing could be judged.
    """
    from crawlers import catalogue
    from newslake import health
    from newslake.configuration import sources_directory
    from newslake.days import parse_days
    from newslake.reader import open_lake

    if ids:
        catalogue.load(sources_directory(os.environ)).select(ids)  # a misspelt one has no alarms
    now = datetime.now(UTC)
    first, last = parse_days(days)
    first, last = first or now.date() - timedelta(days=1), last or now.date()
    with open_lake() as lake:
        rows = [asdict(alarm) for alarm in health.alarms(lake, first, last, now, ids)]
        judged = bool(rows) or health.crawled(lake, first, last, ids)
    if as_json:
        _print_json(rows)
    else:
        for line in health.lines(rows):
            click.echo(line)
        if judged and not rows and sys.stdout.isatty():
            click.echo("all is as usual")
    if not judged:
        click.echo(
            f"newslake: nothing was crawled from {first} to {last}, so nothing can be judged;"
            " 'newslake dataset coverage' shows which runs were due",
            err=True,
        )
        raise click.exceptions.Exit(1)


@sources.command("fixture")
@click.argument("url", metavar="URL")
@click.option(
    "--output",
    "directory",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to; made if missing.",
)
def save_fixture(url: str, directory: Path) -> None:
    """Save the stored page of an address as a test fixture: what to feed extraction, what it gives.

    The page is a WARC file that "newslake extract" reads, the outcome JSON. Never overwrites.
    """
    from newslake import fixture
    from newslake.reader import open_lake

    with open_lake() as lake:
        for path in fixture.save(lake, url, directory):
            click.echo(str(path))


def _print_added(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        match row["section"]:
            case "listing":
                newest = f", newest {row['newest']:%Y-%m-%d %H:%M}" if row["newest"] else ""
                click.echo(f"{row['kind']:<22} {row['url']}")
                click.echo(f"{'':<22} {row['entries']} entries{newest} | {row['via']}")
            case "left-out":
                click.echo(f"{'left out':<22} {row['url']}")
                click.echo(f"{'':<22} {row['reason']} | {row['via']}")
            case "sample":
                _print_checked([row])
            case "unsampled":
                click.echo(f"{row['state']:<22} not tried: {row['count']}")


def _print_checked(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        click.echo(f"{row['state']:<22} {row['url']}")
        if row.get("title"):
            day = row["published_at"].date() if row["published_at"] else "no date"
            authors = ", ".join(row["authors"] or ()) or "no author"
            said = f"{day} ({row['published_source']}), {authors}, {row['topic']}"
            click.echo(f"{'':<22} {row['title']} | {said}, {row['word_count']} words")
        elif row["detail"]:
            click.echo(f"{'':<22} {row['detail']}")


@newslake.group()
def dataset() -> None:
    """The dataset: what it holds, queries, proofs."""


@dataset.command("summary")
@as_json
def summarise(as_json: bool) -> None:
    """Print articles by date and topic, copies, and what the last run did."""
    from newslake import summary
    from newslake.reader import open_lake

    with open_lake() as lake:
        if as_json:
            _print_json(summary.rows(lake))
        else:
            summary.show(_console(), lake, {})


@dataset.command("sql")
@click.argument("query")
@as_json
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to this file instead, which ends in .csv or .parquet.",
)
def sql(query: str, as_json: bool, output: Path | None) -> None:
    """Run QUERY by DuckDB over articles, copies, revisions and coverage."""
    from newslake import answers
    from newslake.reader import open_lake

    if as_json and output:
        raise click.UsageError("--json prints, --output writes a file: choose one of them")
    write = answers.writer(output) if output else None
    with open_lake() as lake:
        table = lake.sql(query)
    table = table.rename_columns(_told_apart(table.column_names))
    if write:
        write(table)
        click.echo(f"{table.num_rows} rows in {output}")
    elif as_json:
        _print_json(table.to_pylist())
    else:
        _print_table(table.to_pylist())


@dataset.command("coverage")
@click.option(
    "--date", "days", metavar="FIRST[..LAST]", help="Only these days (UTC); else the last seven."
)
@click.option("--source", "only", multiple=True, metavar="ID", help="Only this source; repeatable.")
@click.option("--run", "run_id", metavar="RUN_ID", help="Only this run.")
@click.option("--state", type=click.Choice(list(map(str, State))), help="List URLs in this state.")
@click.option("--url", metavar="URL", help="List all that runs did about this address, any day.")
@as_json
def coverage(
    days: str | None,
    only: tuple[str, ...],
    run_id: str | None,
    state: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Print what became of the URLs discovered, and which days are complete.

    By day and source; with --run by source; with --state or --url one by one.
    """
    from newslake import coverage as shown
    from newslake.days import parse_days
    from newslake.reader import open_lake

    now = datetime.now(UTC)
    first, last = parse_days(days)
    if days is None and url is None:
        first, last = now.date() - timedelta(days=6), now.date()
    with open_lake() as lake:
        if state or url:
            rows = shown.urls(lake.store, first, last, only, run_id=run_id, state=state, url=url)
        elif run_id:
            rows = shown.by_run(lake.store, run_id, only)
        else:
            rows = shown.by_day(lake.store, first or now.date(), last or now.date(), only, now)
    if as_json:
        _print_json(rows)
    elif state or url:
        _print_table(rows)
    else:
        _print_table(shown.lines(rows))
        for sentence in shown.remarks(rows):
            click.echo(sentence)


@dataset.command("cluster")
@click.argument("target", metavar="URL_OR_ID")
@as_json
def cluster(target: str, as_json: bool) -> None:
    """Print all texts of an article's or copy's story in time order, and how they differ."""
    from newslake import clusters
    from newslake.reader import open_lake

    with open_lake() as lake:
        said = clusters.rows(lake, target)
    if as_json:
        _print_json(said)
    else:
        for line in clusters.lines(said):
            click.echo(line)


@dataset.command("verify")
@click.option("--full", is_flag=True, help="Extract every stored page again, not only a sample.")
@as_json
def verify(full: bool, as_json: bool) -> None:
    """Prove that the lake agrees with itself; status 1 when it does not."""
    from newslake.reader import open_lake
    from processing.verification import verify as verify_lake

    with open_lake() as lake:
        report = verify_lake(lake.store, full=full)
    if as_json:
        _print_json([asdict(finding) for finding in report.findings])
    else:
        for finding in report.findings:
            click.echo(f"{finding.check}: {finding.subject}: {finding.detail}")
        for note in report.notes:
            click.echo(note)
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(report.checked.items()))
        click.echo(f"checked {counted}: {len(report.findings) or 'no'} findings")
    if report.findings:
        raise click.exceptions.Exit(1)


@dataset.command("migrate")
def migrate() -> None:
    """Bring a lake that an older newslake wrote up to this one's format."""
    from newslake.reader import open_lake
    from processing.migration import migrate as migrate_lake

    with open_lake() as lake:
        before, after = migrate_lake(lake.store)
    click.echo(
        f"the lake has format {after}" + (f", it had {before}" if before < after else " already")
    )


@dataset.command("compact")
@click.option(
    "--keep-days",
    default=30,
    show_default=True,
    type=click.IntRange(min=1),
    help="Days for which old versions and leftovers stay.",
)
@as_json
def compact(keep_days: int, as_json: bool) -> None:
    """Merge small files; delete old versions, leftovers, and raw pages past NEWSLAKE_RAW_DAYS."""
    from newslake.reader import open_lake
    from newslake.upkeep import keep_up

    with open_lake() as lake:
        done = keep_up(lake.store, os.environ, datetime.now(UTC), keep_days)
    if as_json:
        _print_json([asdict(each) for each in done])
        return
    for each in done:
        sizes = f"{each.objects} objects, {each.bytes} bytes" if each.objects else ""
        click.echo(f"{each.task}: {each.where}: {' '.join(filter(None, (sizes, each.detail)))}")
    if not done:
        click.echo("there was nothing to do")


@dataset.command("reprocess")
@click.option("--date", "days", metavar="FIRST[..LAST]", help="Only these days (UTC).")
@click.option("--source", "only", multiple=True, metavar="ID", help="Only this source; repeatable.")
@click.option("--yes", is_flag=True, help="Commit without asking.")
@as_json
def reprocess(days: str | None, only: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Extract stored pages again with today's code; show the difference, commit on consent."""
    from newslake import reprocess as again
    from newslake.days import parse_days
    from newslake.reader import open_lake
    from processing.reprocessing import Day, Selection

    def consent(found: again.Found) -> bool:
        if not as_json:
            again.show(_console(), found)
        if yes:
            return True
        if sys.stdin.isatty():
            return click.confirm("Commit this?", err=True)
        click.echo("nothing was changed; repeat with --yes to commit this", err=True)
        return False

    def watch(day: Day) -> None:
        looked_at, differ = day.looked_at.total(), len(day.differences)
        click.echo(f"{day.day}: {looked_at} looked at, {differ} differ", err=True)

    selection = Selection(*parse_days(days), only)
    with open_lake() as lake:
        found = again.reprocess(lake.store, selection, os.environ, consent, watch=watch)
    rows = found.rows()
    if as_json:
        _print_json(rows)
        return
    if not found:
        again.show(_console(), found)
        click.echo("today's code makes nothing else of these pages")
    for run_id in sorted({run_id for row in rows for run_id in row["runs"]}):
        click.echo(f"committed as run {run_id}")


@dataset.command("forget")
@click.argument("target", metavar="URL_OR_ID")
@click.option("--with-copies", is_flag=True, help="Its copies too; else one takes its place.")
@click.option("--yes", is_flag=True, help="Forget without asking.")
@as_json
def forget(target: str, with_copies: bool, yes: bool, as_json: bool) -> None:
    """Take an article out of every place, for good; it is never fetched or imported again.

    Older versions of the tables can no longer be read afterwards.
    """
    from newslake import forget as forgetting
    from newslake.reader import open_lake
    from processing.forgetting import Found

    if not (yes or sys.stdin.isatty()):
        raise ConfigurationError("nobody can be asked here; repeat with --yes to forget it")

    def consent(found: Found) -> bool:
        for line in forgetting.lines(found):
            click.echo(line, err=as_json)
        return yes or click.confirm("Forget this for good?", err=True)

    with open_lake() as lake:
        now = datetime.now(UTC)
        done = forgetting.forget(lake.store, target, consent, now, with_copies=with_copies)
    if done is None:
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(1)
    if as_json:
        _print_json([done])
    else:
        click.echo(f"forgotten as run {done['run_id']}")


@dataset.command("export")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "jsonl", "huggingface"]),
    default="parquet",
    show_default=True,
)
@click.option("--date", "days", metavar="FIRST[..LAST]", help="Only these days (UTC).")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="SLUG",
    type=click.Choice([*TOPICS, UNCLASSIFIED]),
    help="Only this topic; repeatable.",
)
@click.option("--source", "only", multiple=True, metavar="ID", help="Only this source; repeatable.")
@click.option(
    "--language", "languages", multiple=True, metavar="TAG", help="Only this one; repeatable."
)
@click.option(
    "--table",
    type=click.Choice(["articles", "copies", "revisions"]),
    default="articles",
    show_default=True,
)
@as_json
def export(
    destination: Path,
    form: str,
    days: str | None,
    topics: tuple[str, ...],
    only: tuple[str, ...],
    languages: tuple[str, ...],
    table: str,
    as_json: bool,
) -> None:
    """Write a selection of rows as a folder of files, DESTINATION.

    parquet: TABLE/date=/topic=/. jsonl: one gzip file of JSON lines. huggingface: Parquet shards
    and a data card. export.json in it tells what it holds.
    """
    from newslake.days import parse_days
    from newslake.exporting import Selection
    from newslake.exporting import export as write
    from newslake.reader import open_lake

    selection = Selection(table, *parse_days(days), topics, only, languages)
    with open_lake() as lake:
        said = write(lake, destination, form, selection, datetime.now(UTC))
    if as_json:
        _print_json([{"destination": str(destination), **said}])
    else:
        click.echo(f"{said['rows']} rows of {table} are in {destination}")


@newslake.group()
def topics() -> None:
    """Which topic an article has, and why."""


@topics.command("explain")
@click.argument("target", metavar="URL_OR_ID")
@as_json
def topics_explain(target: str, as_json: bool) -> None:
    """Show an article's topic beside the one it would get today, with the evidence for that."""
    from newslake.explain import explain, lines
    from newslake.reader import open_lake

    with open_lake() as lake:
        said = explain(lake, target, os.environ)
    if as_json:
        _print_json([said])
    else:
        for line in lines(said):
            click.echo(line)


def _tell_broken(errors: Iterable[ConfigurationError]) -> None:
    broken = list(errors)
    for error in broken:
        click.echo(f"newslake: {error}", err=True)
    if broken:
        raise click.exceptions.Exit(2)


def _told_apart(names: list[str]) -> list[str]:
    """Names with DuckDB's own suffixes (``title``, ``title_1``) where a query repeats one."""
    taken = set(names)
    apart: list[str] = []
    for name in names:
        suffixed = (f"{name}_{number}" for number in count(1))
        apart.append(next(n for n in suffixed if n not in taken) if name in apart else name)
        taken.add(apart[-1])
    return apart


def _print_json(found: Sequence[Mapping[str, Any]]) -> None:
    click.echo(json.dumps(found, default=str, ensure_ascii=False, indent=1))


def _print_table(found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    if not found:
        click.echo("no rows")
        return
    table = Table(box=None, pad_edge=False)
    *narrow, last = found[0]
    for column in narrow:
        table.add_column(column, overflow="fold")
    table.add_column(last, overflow="fold", min_width=_LAST_WIDTH if narrow else None)
    for row in found:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    _console().print(table)


def _console() -> Console:
    # What is printed comes from pages and people: a "[/b]" or ":smile:" in it is no markup.
    # A file or pipe is no narrow window.
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


@contextmanager
def _counting(name: str) -> Iterator[Callable[[int, int], object]]:
    """A bar on a terminal that fills as it is told how many of how many are done."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Bars:
    """A bar per stage on a terminal; a line per event elsewhere."""

    _STAGES: Mapping[str, str] = {
        "crawl": "Crawling",
        "extract": "Extracting",
        "publish": "Publishing",
    }

    def __init__(self, console: Console):
        self._console = console
        self._sources = 0
        self._bars = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __call__(self, stage: str, text: str, done: int, total: int) -> None:
        self._console.print(
            text if stage == "lake" else f"{stage}: {text}", markup=False, soft_wrap=True
        )
        if stage == "plan":
            self._bars.start()
            for name, words in self._STAGES.items():
                size = 1 if name == "publish" else total
                self._tasks[name] = self._bars.add_task(words, total=size)
        elif stage in self._tasks:
            self._bars.advance(self._tasks[stage], done)

    def close(self) -> None:
        self._bars.stop()


@contextmanager
def _watching(console: Console) -> Iterator[_Bars]:
    bars = _Bars(console)
    try:
        yield bars
    finally:
        bars.close()
