"""The command line as its users meet it: exit statuses, sentences, JSON, the dry run."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from demo import sites as demo_sites
from siteserver import Answer, Request, SiteServer

from newslake import cli
from processing import dataset
from processing.storage import Store

SITE = "http://example-times.example"
PROSE = (
    "The harbour board met on Tuesday to hear what the repair of the eastern mole will cost. "
    "Its engineers had measured the cracks over two winters, and found them wider each time. "
    "Members asked whether the work could wait until the fishing season ends in September. "
    "The chair answered that a storm would not wait, and put the question to a vote. "
    "Eleven members were in favour, three against, and two left the room before the count. "
    "Work begins in May, and the ferry will use the western quay for about eleven weeks. "
)


@dataclass(frozen=True)
class Done:
    """What a command left: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs ``newslake`` in this process through its real entry point, in a home of its own."""
    before, terminate = dict(os.environ), signal.getsignal(signal.SIGTERM)
    clean = {
        name: value
        for name, value in before.items()
        if not name.startswith(("AWS_", "NEWSLAKE_", "AIRFLOW")) and "proxy" not in name.lower()
    }

    def run(*words: str, environ: Mapping[str, str] | None = None) -> Done:
        os.environ.clear()
        os.environ.update({**clean, "NEWSLAKE_HOME": str(tmp_path / "home"), **(environ or {})})
        monkeypatch.setattr("sys.argv", ["newslake", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return Done(int(end.value.code or 0), said.out, said.err)

    try:
        yield run
    finally:
        os.environ.clear()
        os.environ.update(before)
        signal.signal(signal.SIGTERM, terminate)


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Writes source files by their ids; the environment that points at them."""
    folder = tmp_path / "sources"
    folder.mkdir()

    def write(**files: Mapping[str, Any] | str) -> dict[str, str]:
        for name, declared in files.items():
            id_ = name.replace("_", "-")
            text = declared if isinstance(declared, str) else yaml.safe_dump(source(id_, declared))
            (folder / f"{id_}.yaml").write_text(text)
        return {"NEWSLAKE_SOURCES": str(folder)}

    return write


@pytest.fixture
def empty_lake(lake_env: dict[str, str]) -> dict[str, str]:
    dataset.initialise(Store.from_environment(lake_env))
    return lake_env


def source(id_: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    home = f"http://{id_}.example"
    return {
        "id": id_,
        "name": id_.title(),
        "homepage": f"{home}/",
        "feeds": [f"{home}/feed.xml"],
        "delay": 0.0,
        **declared,
    }


def tree(group: click.Group = cli.newslake, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in group.commands.items():
        if isinstance(inner, click.Group):
            yield from tree(inner, *words, name)
        else:
            yield (*words, name)


def one_sentence(text: str) -> bool:
    return text.startswith("newslake: ") and len(text.strip().splitlines()) == 1


# --- usage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", list(tree()), ids=" ".join)
def test_every_command_explains_itself(command: Command, words: tuple[str, ...]):
    done = command(*words, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(" ".join(("Usage: newslake", *words)).strip())
    explained = done.out.partition("Options:")[0].strip().splitlines()[1:]
    assert any(line.strip() for line in explained), "no sentence says what it is for"


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("run", "--frobnicate"),
        ("dataset", "sql"),
        ("dataset", "summary", "too", "much"),
        ("extract", "there-is-no-such-file.html"),
        ("up", "--port", "eighty"),
    ],
    ids=" ".join,
)
def test_wrong_usage_has_status_2_and_says_how_to_go_on(command: Command, words: tuple[str, ...]):
    done = command(*words)
    assert (done.status, done.out) == (2, "")
    assert "Error: " in done.err
    assert "--help" in done.err


# --- the catalogue --------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("sources", "check"), ("run", "--source")], ids=" ".join)
def test_an_unknown_source_has_status_2_and_a_suggestion(command, catalogue, words):
    done = command(*words, "exmaple-times", environ=catalogue(example_times={}))
    assert done.status == 2
    assert one_sentence(done.err)
    assert "'exmaple-times'" in done.err
    assert "did you mean 'example-times'?" in done.err


@pytest.mark.parametrize("words", [("sources", "list"), ("sources", "check"), ("run",)])
def test_a_missing_sources_directory_has_status_2(command: Command, tmp_path: Path, words):
    nowhere = tmp_path / "nowhere"
    done = command(*words, environ={"NEWSLAKE_SOURCES": str(nowhere)})
    assert done.status == 2
    assert one_sentence(done.err)
    assert str(nowhere) in done.err
    assert "NEWSLAKE_SOURCES" in done.err


def test_a_wrong_setting_of_topics_is_told_before_a_run_starts(command):
    done = command("run", environ={"NEWSLAKE_TOPICS": "slow"})
    assert (done.status, done.out) == (2, "")
    assert "NEWSLAKE_TOPICS is 'slow'; make it fast" in done.err


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            "id: broken\nname: [unclosed\n",
            ("broken.yaml: line 3: not valid YAML", "mend that line"),
        ),
        ({"schedul": "daily"}, ("broken.yaml: schedul: ", "did you mean 'schedule'?")),
        ({"schedule": "fortnightly"}, ("schedule: 'fortnightly' is not a choice",)),
        ({"delay": -1}, ("broken.yaml: delay: is -1 but must be at least 0",)),
        ({"topics": {"/x/": "sports"}}, ("topics./x/: 'sports' is no topic", "'sport'?")),
        ({"feeds": []}, ("give at least one of feeds, sitemaps, sections",)),
        ({"id": "other"}, ("broken.yaml: id: 'other' differs", "write id: broken")),
        ({"feeds": ["example.com/feed"]}, ("feeds[1]: ", "write it in full")),
    ],
)
def test_a_broken_source_is_named_and_the_others_are_listed(command, catalogue, broken, said):
    environ = catalogue(good={}, broken=broken)
    listed = command("sources", "list", environ=environ)
    assert listed.status == 2
    assert [line.split()[0] for line in listed.out.splitlines()] == ["id", "good"]
    assert one_sentence(listed.err)
    assert all(part in listed.err for part in ("broken.yaml: ", *said))
    checked = command("sources", "check", environ=environ)
    assert (checked.status, checked.err) == (2, listed.err)
    as_json = command("sources", "list", "--json", environ=environ)
    assert (as_json.status, [s["id"] for s in as_json.json]) == (2, ["good"])


def test_a_broken_source_that_is_asked_for_gives_its_own_sentence(command, catalogue):
    done = command("sources", "check", "broken", environ=catalogue(good={}, broken={"delay": -1}))
    assert done.status == 2
    assert one_sentence(done.err)
    assert "broken.yaml: delay: " in done.err


def test_a_well_declared_catalogue_is_said_to_be(command, catalogue):
    done = command("sources", "check", environ=catalogue(one={}, two={"enabled": False}))
    assert (done.status, done.err) == (0, "")
    assert "2 sources" in done.out


def test_the_list_shows_a_name_as_it_is_written(command, catalogue):
    name = "[red]The [/b] :smile: Times"
    done = command("sources", "list", environ=catalogue(odd={"name": name}))
    assert (done.status, done.err) == (0, "")
    assert name in done.out


def test_the_schema_is_a_json_schema_of_a_source_file(command: Command):
    done = command("sources", "schema")
    assert done.status == 0
    assert {"id", "name", "homepage"} <= set(done.json["required"])
    assert done.json["additionalProperties"] is False


# --- a new source ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("example-times.example",), "the shipped catalogue stays as it is; give --sources DIR"),
        (("ftp://example-times.example", "--sources", "there"), "is no web address; write"),
        (("paper.example", "--sources", "there", "--id", "A"), "may hold a-z, 0-9 and hyphens"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_source_that_cannot_be_added_has_status_2(command: Command, words, said):
    done = command("sources", "add", *words)
    assert (done.status, done.out) == (2, "")
    assert one_sentence(done.err)
    assert said in done.err


@pytest.mark.parametrize("ending", ["yaml", "yml"])
def test_a_source_that_is_there_is_never_overwritten(command: Command, tmp_path: Path, ending):
    file = tmp_path / f"example-times.{ending}"
    file.write_text("mine")
    environ = {"NEWSLAKE_SOURCES": str(tmp_path)}
    done = command("sources", "add", f"{SITE}/", environ=environ)
    assert done.status == 2
    assert one_sentence(done.err)
    assert f"{file} is there already" in done.err
    assert "--id" in done.err
    assert file.read_text() == "mine"


def test_a_source_is_added_and_shown_as_text_or_as_json(command, tmp_path, monkeypatch):
    monkeypatch.setattr("newslake.adding.DELAY", 0.0)
    folder = tmp_path / "new"
    feed = f'<link rel="alternate" type="application/rss+xml" href="{SITE}/feed.xml">'
    front = f"<!doctype html><html><head><title>Times</title>{feed}</head><p>Welcome</p></html>"

    def with_front_page(request: Request) -> Answer:
        if request.url == f"{SITE}/":
            return Answer(200, {"Content-Type": "text/html"}, front.encode())
        return site(request)

    with SiteServer(with_front_page) as server:
        web = {"http_proxy": server.proxy_url}
        words = ("sources", "add", f"{SITE}/", "--sources", str(folder))
        shown = command(*words, environ=web)
        told = command(*words, "--id", "times-2", "--json", environ=web)
    checked = command("sources", "check", environ={"NEWSLAKE_SOURCES": str(folder)})
    assert (shown.status, shown.err) == (0, "")
    file = folder / "example-times.yaml"
    assert shown.out.endswith(f"{file} was written:\n\n{file.read_text()}\n")
    assert f"feed                   {SITE}/feed.xml\n" in shown.out
    assert f"publishable            {SITE}/sport/mole-repair\n" in shown.out
    assert told.status == 0
    assert [row["section"] for row in told.json if row["section"] != "proposal"] == [
        *("listing", "sample", "sample", "file"),
    ]
    assert told.json[-1] == {
        "section": "file",
        "file": str(folder / "times-2.yaml"),
        "id": "times-2",
    }
    assert (checked.status, checked.err) == (0, "")
    assert "2 sources" in checked.out


def test_a_site_that_lists_nothing_is_not_added(command: Command, tmp_path: Path, web):
    words = ("sources", "add", f"{SITE}/", "--sources", str(tmp_path / "new"), "--json")
    done = command(*words, environ=web)
    assert (done.status, done.json) == (1, [])
    assert one_sentence(done.err)
    assert f"{SITE}/ cannot be read: answered 404" in done.err
    assert not (tmp_path / "new").exists()


# --- saved pages ----------------------------------------------------------------------------


def test_extract_prints_articles_and_names_what_is_none(command: Command, tmp_path: Path):
    pages, stories = demo_sites.pages(1), demo_sites.stories(1)
    good = stories["harbour-herald.example/cannery-reopens"]
    bad = stories["harbour-herald.example/council-live-botcheck"]
    for name, story in (("good", good), ("bad", bad)):
        (tmp_path / f"{name}.html").write_bytes(pages[story.url].body)
    done = command("extract", str(tmp_path / "bad.html"), str(tmp_path / "good.html"))
    assert done.status == 0
    (line,) = done.out.splitlines()
    assert json.loads(line)["title"] == good.title
    (reason,) = done.err.splitlines()
    assert "rejected-blocked: " in reason


def test_extract_of_a_damaged_warc_file_gives_no_traceback(command: Command, tmp_path: Path):
    file = tmp_path / "cut.warc.gz"
    file.write_bytes(gzip.compress(b"WARC/1.1\r\nWARC-Type: response\r\nContent-Le")[:30])
    done = command("extract", str(file))
    assert (done.status, done.out) == (0, "")


# --- the dataset ----------------------------------------------------------------------------


def test_wrong_sql_gives_one_sentence(command: Command, empty_lake):
    done = command("dataset", "sql", "SELECT headline FROM articles", environ=empty_lake)
    assert (done.status, done.out) == (1, "")
    assert one_sentence(done.err)
    assert "headline" in done.err


def test_sql_answers_as_a_table_or_as_json(command: Command, empty_lake):
    query = "SELECT '[/b] :smile:' AS title, 1 AS n, 2 AS n, DATE '2026-11-10' AS date"
    shown = command("dataset", "sql", query, environ=empty_lake)
    assert shown.status == 0
    assert [line.split() for line in shown.out.splitlines()] == [
        ["title", "n", "n_1", "date"],
        ["[/b]", ":smile:", "1", "2", "2026-11-10"],
    ]
    done = command("dataset", "sql", "--json", query, environ=empty_lake)
    assert done.json == [{"title": "[/b] :smile:", "n": 1, "n_1": 2, "date": "2026-11-10"}]
    nothing = "SELECT title FROM articles"
    assert command("dataset", "sql", nothing, environ=empty_lake).out == "no rows\n"
    assert command("dataset", "sql", "--json", nothing, environ=empty_lake).json == []


def test_sql_writes_a_file(command: Command, empty_lake: dict[str, str], tmp_path: Path):
    file = tmp_path / "answer.csv"
    query = "SELECT 'a, b' AS x, 1 AS x"
    done = command("dataset", "sql", query, "--output", str(file), environ=empty_lake)
    assert (done.status, done.out) == (0, f"1 rows in {file}\n")
    assert file.read_bytes() == b'x,x_1\r\n"a, b",1\r\n'
    for wrong in (["--output", "answer.xls"], ["--output", str(file), "--json"]):
        assert command("dataset", "sql", query, *wrong).status == 2


def test_an_empty_lake_is_summed_up_and_proved(command: Command, empty_lake):
    shown = command("dataset", "summary", environ=empty_lake)
    assert shown.status == 0
    assert "0 articles, 0 copies" in shown.out
    assert empty_lake["NEWSLAKE_LAKE"] in shown.out
    told = command("dataset", "summary", "--json", environ=empty_lake)
    assert (told.status, told.json[0]) == (0, {"section": "revisions", "count": 0})
    nothing = {"rows": 0, "files": 0, "bytes": 0}
    tables = ("articles", "copies", "revisions", "coverage")
    assert told.json[1:] == [{"section": "sizes", "table": name, **nothing} for name in tables]
    proved = command("dataset", "verify", environ=empty_lake)
    assert (proved.status, proved.err) == (0, "")
    assert "0 articles" in proved.out
    assert "no findings" in proved.out
    assert command("dataset", "verify", "--json", environ=empty_lake).json == []


def test_a_bucket_without_a_lake_is_said_to_hold_none(command: Command, lake_env):
    Store.from_environment(lake_env).ensure_bucket()
    done = command("dataset", "summary", environ=lake_env)
    assert (done.status, done.out) == (1, "")
    assert one_sentence(done.err)
    assert "newslake run" in done.err


def test_a_wrong_lake_address_has_status_2(command: Command, lake_env):
    done = command("dataset", "summary", environ={**lake_env, "NEWSLAKE_LAKE": "newslake"})
    assert done.status == 2
    assert one_sentence(done.err)
    assert "NEWSLAKE_LAKE is 'newslake'" in done.err


def test_a_store_that_does_not_answer_gives_one_sentence(command: Command, lake_env):
    with socket.socket() as held:  # bound and not listening: nobody else can take the port
        held.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}"
        done = command("dataset", "summary", environ={**lake_env, "AWS_ENDPOINT_URL_S3": endpoint})
    assert (done.status, done.out) == (1, "")
    assert one_sentence(done.err)
    assert endpoint in done.err
    assert "newslake doctor" in done.err


def test_a_proxy_is_not_asked_for_a_store_on_this_machine(command: Command, empty_lake):
    with SiteServer(lambda request: Answer(502)) as proxy:
        environ = {**empty_lake, "http_proxy": proxy.proxy_url}
        done = command("dataset", "sql", "SELECT 1 AS one", environ=environ)
        assert (done.status, proxy.requests) == (0, [])


def test_doctor_says_each_check_as_json(command: Command, lake_env):
    Store.from_environment(lake_env).ensure_bucket()
    done = command("doctor", "--json", environ=lake_env)
    checks = {check["name"]: check for check in done.json}
    assert {"python", "packages", "sources", "store", "conditional writes"} <= set(checks)
    assert checks["conditional writes"]["ok"]
    assert all(check["ok"] or check["mend"] for check in checks.values())
    assert done.status == (0 if all(check["ok"] for check in checks.values()) else 1)


# --- the dry run ----------------------------------------------------------------------------


def site(request: Request) -> Answer:
    """One good article, one page that is gone; every other host is dead."""
    now = datetime.now(UTC)
    if request.host != "example-times.example":
        return Answer(503)
    if request.path == "/feed.xml":
        items = "".join(
            f"<item><link>{SITE}/sport/{name}</link>"
            f"<pubDate>{now - timedelta(hours=3):%a, %d %b %Y %H:%M:%S} GMT</pubDate></item>"
            for name in ("mole-repair", "gone")
        )
        feed = f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'
        return Answer(200, {"Content-Type": "text/xml"}, feed.encode())
    if request.path == "/sport/mole-repair":
        page = (
            "<!doctype html><html lang=en><head><title>Mole repair begins in May</title></head>"
            f"<body><article><h1>Mole repair begins in May</h1><p>{PROSE}</p><p>{PROSE}</p>"
            "</article></body></html>"
        )
        return Answer(200, {"Content-Type": "text/html; charset=utf-8"}, page.encode())
    return Answer(404, {"Content-Type": "text/html"}, b"<p>nothing here</p>")


@pytest.fixture
def web() -> Iterator[dict[str, str]]:
    with SiteServer(site) as server:
        yield {"http_proxy": server.proxy_url}


def test_a_dry_run_shows_what_would_be_stored_and_why_not_the_rest(command, catalogue, web):
    declared = {"topics": {"/sport/": "sport"}, "deny": ["/video/"]}
    environ = {**catalogue(example_times=declared), **web}
    done = command("sources", "check", "example-times", environ=environ)
    assert (done.status, done.err) == (0, "")
    states = {line.split()[1]: line.split()[0] for line in done.out.splitlines() if SITE in line}
    assert states == {
        f"{SITE}/sport/mole-repair": "publishable",
        f"{SITE}/sport/gone": "failed-http",
    }
    assert "Mole repair begins in May" in done.out
    assert "sport, " in done.out
    assert "answered 404 (Not Found)" in done.out


def test_a_dry_run_names_the_source_that_is_dead(command, catalogue, web):
    environ = {**catalogue(dead_press={}), **web}
    done = command("sources", "check", "dead-press", "--json", environ=environ)
    assert (done.status, done.json) == (1, [])
    assert one_sentence(done.err)
    assert "dead-press: no listing could be read" in done.err
