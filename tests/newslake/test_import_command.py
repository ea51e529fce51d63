"""``newslake import`` as operators start it: rows, repeats, kills, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from faultproxy import FaultProxy

from crawlers.catalogue import Source
from newslake.importing import Imported, check, hosts, import_file
from processing import dataset
from processing.commits import read_manifest
from processing.pool import ExtractionPool
from processing.storage import Store
from processing.verification import verify

ARCHIVED = datetime(2019, 3, 5, 6, 30, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
SITE = "https://www.courier.example.org"


def declared(**more: Any) -> Source:
    return Source.model_validate(
        {"id": "courier", "name": "Courier", "homepage": f"{SITE}/", "feeds": [f"{SITE}/rss"]}
        | more
    )


def html(words: str) -> bytes:
    text = (
        f"<p>{words} was all that the spokeswoman of the harbour would say on Tuesday, after a"
        " night in which the tide had risen higher than at any time since the great flood.</p>"
    )
    title = f"{words} in the harbour"
    return (
        f"<html lang=en><head><title>{title}</title></head><body>"
        f"<article><h1>{title}</h1>{text * 3}</article>"
    ).encode()


def warc(path: Path, *pages: tuple[str, bytes], at: datetime = ARCHIVED) -> str:
    """An uncompressed WARC file of these paths of the site."""
    records = []
    for name, body in pages:
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:x:{name}>\r\n"
            f"WARC-Date: {at:%Y-%m-%dT%H:%M:%SZ}\r\nWARC-Target-URI: {SITE}{name}\r\n"
            "Content-Type: application/http; msgtype=response\r\n"
            f"Content-Length: {len(block)}\r\n\r\n"
        )
        records.append(head.encode() + block + b"\r\n\r\n")
    path.write_bytes(b"".join(records))
    return str(path)


@pytest.fixture(scope="module")
def pool():
    with ExtractionPool(workers=1) as pool:
        yield pool


@pytest.fixture
def take(store: Store, pool: ExtractionPool) -> Callable[..., Imported]:
    """Imports a file; each time a minute later than the time before."""
    moments = (NOW + timedelta(minutes=n) for n in range(60))

    def run(file: str, *sources: Source, **more: Any) -> Imported:
        return import_file(store, file, sources or (declared(),), pool, next(moments), **more)

    return run


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    found = dataset.scan(store, table).to_table().to_pylist()
    return sorted(found, key=lambda row: (row["url"], row["run_id"]))


def counted(store: Store) -> dict[str, int]:
    names = ("articles", "copies", "revisions", "keys", "fingerprints")
    return {name: dataset.scan(store, name).count_rows() for name in names}


# --- rows -----------------------------------------------------------------------------------


def test_pages_of_an_archive_are_published(store: Store, take, tmp_path: Path):
    pages = [("/sport/a", html("Water")), ("/b", html("Wind")), ("/c", b"%PDF-1.4")]
    file = warc(tmp_path / "old.warc", *pages)
    imported = take(file, declared(topics={"/sport/": "sport"}))
    assert imported.counts == {"published": 2, "rejected-not-html": 1}
    assert imported.damaged_records == 0
    one, two = sorted(rows(store, "articles"), key=lambda row: row["title"])
    assert (two["source"], two["topic"], two["topic_method"]) == ("courier", "weather", "model")
    assert (one["title"], one["topic"], one["topic_method"]) == (
        "Water in the harbour",
        "sport",
        "source-map",
    )
    assert (one["fetched_at"], one["first_seen_at"]) == (ARCHIVED, ARCHIVED)
    assert (one["date"], one["warc_key"]) == (ARCHIVED.date(), file)
    manifest = read_manifest(store, imported.run_id)
    assert manifest is not None
    assert (manifest["dag_id"], manifest["dag_run_id"]) == ("import", file)
    assert manifest["discovered"] == {"courier": 3}
    assert not verify(store, full=True).findings


def test_the_same_file_again_adds_nothing(store: Store, take, tmp_path: Path):
    copy = ("/c", html("Water"))
    file = warc(tmp_path / "old.warc", ("/a", html("Water")), ("/b", html("Wind")), copy)
    first = take(file)
    assert first.counts == {"duplicate-exact": 1, "published": 2}
    before = counted(store)
    again = take(file)
    assert again.run_id != first.run_id
    assert again.counts == {"unchanged": 3}
    assert counted(store) == before
    assert len(rows(store, "coverage")) == 6


def test_a_later_text_of_the_same_page_is_a_revision(store: Store, take, tmp_path: Path):
    early = warc(tmp_path / "early.warc", ("/a", html("Water")))
    longer = html("Water").replace(
        b"</article>", b"<p>Nobody was hurt, it said later.</p></article>"
    )
    late = warc(tmp_path / "late.warc", ("/a", longer), at=ARCHIVED + timedelta(days=1))
    take(early)
    assert take(late).counts == {"updated": 1}
    assert take(early).counts == {"unchanged": 1}  # history does not undo what came after
    (row,), (old,) = rows(store, "articles"), rows(store, "revisions")
    assert (row["revision"], old["revision"]) == (1, 0)
    assert row["first_seen_at"] == old["first_seen_at"] == ARCHIVED
    assert row["warc_key"] == late


def test_all_pages_are_of_the_source_that_is_given(store: Store, take, tmp_path: Path):
    take(warc(tmp_path / "a.warc", ("/a", html("Water"))), source="harbour-archive")
    assert [row["source"] for row in rows(store, "articles")] == ["harbour-archive"]


def test_a_site_that_nobody_declared_is_named_by_its_domain(store: Store, take, tmp_path: Path):
    elsewhere = declared(id="other", homepage="https://x.example/", feeds=["https://x.example/r"])
    take(warc(tmp_path / "a.warc", ("/a", html("Water"))), elsewhere)
    assert [row["source"] for row in rows(store, "articles")] == ["example-org"]


def test_a_homepage_says_more_than_a_listing():
    feeds = "https://feeds.example/shared"
    sources = [
        declared(id="a", homepage="https://a.example/", feeds=[feeds, "https://b.example/rss"]),
        declared(id="b", homepage="https://www.b.example/news", feeds=[feeds]),
    ]
    assert hosts(sources) == {"a.example": "a", "b.example": "b", "feeds.example": "a"}


@pytest.mark.parametrize("done", [1, 2, 4])
def test_an_import_that_breaks_off_is_repeated_without_loss_or_doubling(
    store: Store, take, tmp_path: Path, done: int
):
    file = warc(tmp_path / "a.warc", *((f"/{n}", html(f"Water {n}")) for n in range(4)))

    class Stopped(Exception):
        pass

    def stop(at: int, _: int) -> None:
        if at == done:
            raise Stopped

    with pytest.raises(Stopped):
        take(file, watch=stop)
    assert take(file).counts == {"published": 4}
    assert len(rows(store, "articles")) == counted(store)["keys"] == 4


# --- the command ----------------------------------------------------------------------------


@pytest.fixture
def environ(lake_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sources").mkdir()
    said = {"id": "courier", "name": "C", "homepage": f"{SITE}/", "feeds": [f"{SITE}/rss"]}
    (tmp_path / "sources" / "courier.yaml").write_text(yaml.safe_dump(said))
    return {**lake_env, "NEWSLAKE_SOURCES": str(tmp_path / "sources")}


def start(environ: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "newslake", "import", *words],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(environ: dict[str, str], *words: str) -> tuple[int, str, str]:
    process = start(environ, *words)
    out, err = process.communicate()
    assert "Traceback" not in err
    return process.returncode, out, err


def test_a_file_that_cannot_be_read_stops_no_other(environ, store: Store, tmp_path: Path):
    good = warc(tmp_path / "good.warc", ("/a", html("Water")), ("/b", html("Wind")))
    bad = tmp_path / "bad.warc.gz"
    bad.write_bytes(b"These are my notes.")
    status, out, err = run(environ, str(bad), good, "--json")
    assert status == 1
    (told,) = err.splitlines()
    assert told.startswith(f"newslake: {bad} cannot be read")
    (said,) = json.loads(out)
    assert (said["file"], said["counts"], said["damaged_records"]) == (good, {"published": 2}, 0)
    assert read_manifest(store, said["run_id"]) is not None
    status, out, err = run(environ, good, good)
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    assert line.startswith(f"{good}: 2 unchanged (run ")


def test_wrong_paths_are_all_told_before_anything_starts(environ, store: Store, tmp_path: Path):
    good = warc(tmp_path / "good.warc", ("/a", html("Water")))
    nowhere = [str(tmp_path / "nowhere.warc"), f"s3://{store.bucket}/nowhere.warc", str(tmp_path)]
    status, out, err = run(environ, good, *nowhere)
    assert (status, out) == (2, "")
    assert [line.split(";")[0] for line in err.splitlines()] == [
        f"newslake: no file is at {address}" for address in nowhere
    ]
    assert not list(store.objects())


def test_a_wrong_source_id_is_told(store: Store, tmp_path: Path):
    file = warc(tmp_path / "good.warc", ("/a", html("Water")))
    assert check(store, [file], "courier-2") == []
    (error,) = check(store, [file], "The Courier")
    assert str(error).startswith("--source: 'The Courier' may hold")


def test_an_import_killed_while_it_stages_is_repeated(environ, store: Store, tmp_path: Path):
    file = warc(tmp_path / "a.warc", *((f"/{n}", html(f"Water {n}")) for n in range(4)))
    running: list[subprocess.Popen[str]] = []

    def kill(_: object) -> bool:
        family = [psutil.Process(running[0].pid)]
        for process in [*family, *family[0].children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return False

    with FaultProxy(environ["AWS_ENDPOINT_URL_S3"], r"PUT .*/coverage\.parquet", kill) as proxy:
        running.append(start({**environ, "AWS_ENDPOINT_URL_S3": proxy.url}, file))
        running[0].communicate()
    assert proxy.met == 1
    assert counted(store)["articles"] == 0
    status, out, err = run(environ, file, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)[0]["counts"] == {"published": 4}
    assert Counter(row["url"] for row in rows(store, "articles")) == {
        f"{SITE}/{n}": 1 for n in range(4)
    }
