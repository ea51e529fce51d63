"""What the pages say is what the program has: commands, options, variables, fields, sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from crawlers import catalogue, settings, spider
from crawlers.connections import MAX_HEAD_BYTES
from crawlers.discovery import MAX_LISTING_BYTES
from crawlers.listing import MAX_ADDRESS, MAX_ENTRIES
from crawlers.middlewares import MAX_LAYERS
from crawlers.reading import READ_MEMORY, READ_SECONDS
from crawlers.source_crawl import MAX_CHILDREN
from newslake.cli import newslake
from processing.exceptions import SourceError
from processing.records import TOPICS, State

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("crawlers", "dags", "newslake", "processing")
README, OPERATING, SOURCES = (
    (ROOT / name).read_text("utf-8")
    for name in ("README.md", "docs/operating.md", "docs/adding-a-source.md")
)
PAGES = README + OPERATING + SOURCES


def commands(group: click.Group = newslake, *words: str) -> Iterator[tuple[str, click.Command]]:
    for name, inner in group.commands.items():
        if isinstance(inner, click.Group):
            yield from commands(inner, *words, name)
        else:
            yield " ".join((*words, name)), inner


COMMANDS = dict(commands())


def section(page: str, title: str) -> str:
    """The part of a page under a heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {title!r}"
    return found[1]


def first_cells(text: str) -> list[str]:
    """The first column of a table, without its heading."""
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert rows, "no table"
    return rows


def documented_commands() -> dict[str, str]:
    """Command -> its usage, as operating.md's table has them."""
    usages = [cell.strip("` ") for cell in first_cells(section(OPERATING, "Commands"))]
    known = [u.removeprefix("newslake ") for u in usages]
    return {re.match(r"[a-z]+(?: [a-z]+)*", usage)[0]: usage for usage in known}


def test_the_table_of_commands_is_the_command_tree():
    assert set(documented_commands()) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_usage_of_a_command_has_its_options_and_no_others(name: str):
    usage = documented_commands()[name]
    options = {
        option
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }
    assert set(re.findall(r"--[a-z-]+", usage)) == options
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Argument):
            written = parameter.make_metavar(click.Context(COMMANDS[name])).strip("[].")
            assert written in usage


def shell_lines(page: str) -> Iterator[str]:
    """Command lines in a page: indented blocks, and code in running text."""
    for line in re.findall(r"^    (newslake .*)$|`(newslake [a-z][^`]*)`", page, re.MULTILINE):
        yield re.sub(r"\s+#.*|\"[^\"]*\"", "", line[0] or line[1])


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_commands_written_anywhere_exist(page: str):
    for line in shell_lines((ROOT / page).read_text("utf-8")):
        words = line.split()[1:]
        command: click.Command = newslake
        while isinstance(command, click.Group):
            assert words, f"{line!r} names a group of commands"
            assert words[0] in command.commands, f"{page}: {line!r}"
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"(?<!\S)\[?(--[a-z-]+)", line)) <= known, f"{page}: {line!r}"


def headings(page: str) -> set[str]:
    """What the headings of a page are linked by: lower case, dashes for spaces."""
    said = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in said}


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_links_between_pages_lead_somewhere(page: str):
    text = (ROOT / page).read_text("utf-8")
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {path}"
        assert not anchor or anchor in headings(target.read_text("utf-8")), f"{page}: #{anchor}"


def test_every_variable_the_code_reads_is_in_the_table_of_settings():
    code = "".join(f.read_text("utf-8") for room in ROOMS for f in (ROOT / room).rglob("*.py"))
    read = set(re.findall(r"\bNEWSLAKE_[A-Z][A-Z_]*", code))
    assert read == set(re.findall(r"`(NEWSLAKE_\w+)`", section(OPERATING, "Settings")))
    assert read >= set(re.findall(r"\bNEWSLAKE_[A-Z][A-Z_]*", PAGES))


def test_every_schedule_is_explained():
    assert set(re.findall(r"`([a-z0-9-]+)`", section(OPERATING, "Schedules"))) >= set(
        catalogue.SCHEDULES
    )
    (row,) = [line for line in SOURCES.splitlines() if line.startswith("| `schedule` |")]
    assert set(re.findall(r"`([a-z0-9-]+)`", row)) == {"schedule", *catalogue.SCHEDULES}


def test_the_table_of_fields_is_the_source_with_its_defaults():
    rows = [
        [cell.strip() for cell in line.split("|")[1:4]]
        for line in section(SOURCES, "Fields").splitlines()
        if line.startswith("| `")
    ]
    assert [name.strip("`") for name, *_ in rows] == list(catalogue.Source.model_fields)
    for name, default, meaning in rows:
        field = catalogue.Source.model_fields[name.strip("`")]
        assert meaning
        if field.is_required():
            assert default == "required"
        elif field.default in (None, [], {}):
            assert default == ("all" if name == "`allow`" else "none")
        else:
            assert default.strip("`") == str(field.default).lower()


def test_every_topic_is_named():
    said = section(SOURCES, "Topics").partition("The topics: ")[2].partition(".")[0]
    assert re.findall(r"`([^`]+)`", said) == sorted(TOPICS)


def test_the_states_of_a_dry_run_exist():
    cells = " ".join(first_cells(section(SOURCES, "The dry run")))
    named = set(re.findall(r"`([a-z-]+)`", cells)) - {"publishable"}
    assert named <= set(State)
    crawled = {s for s in State if s.startswith(("skipped", "failed", "rejected"))}
    assert crawled == named


def example() -> str:
    return re.findall(r"^```yaml\n(.*?)^```", SOURCES, re.MULTILINE | re.DOTALL)[0]


def test_the_worked_example_is_a_source(tmp_path: Path):
    file = tmp_path / "example-times.yaml"
    file.write_text(example())
    assert catalogue.read_source(file).name == "The Example Times"


def mistakes() -> list[tuple[str, str]]:
    rows = [line.split("|")[1:3] for line in section(SOURCES, "Common mistakes").splitlines()]
    return [(cells[0].strip(" `"), cells[1].strip(" `")) for cells in rows if "`" in "".join(cells)]


@pytest.mark.parametrize(("written", "said"), mistakes())
def test_a_common_mistake_gives_the_sentence_that_is_promised(tmp_path, written, said):
    declared = yaml.safe_load(example())
    if written == "feeds: []":
        del declared["sitemaps"]
    file = tmp_path / "example-times.yaml"
    file.write_text(yaml.safe_dump({**declared, **yaml.safe_load(written)}))
    with pytest.raises(SourceError) as error:
        catalogue.read_source(file)
    assert str(error.value) == f"example-times.yaml: {said}"


def test_the_limits_of_a_crawl_are_the_program_s():
    table = section(OPERATING, "What a crawl can be made to do")
    told = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", table, re.MULTILINE))
    mb, kb = 1024 * 1024, 1024
    values = {
        "one answer, from the request to its last byte": f"{settings.DOWNLOAD_TIMEOUT} s",
        "looking up a name": f"{settings.DNS_TIMEOUT} s",
        "a page, as sent and unpacked": f"{settings.DOWNLOAD_MAXSIZE // mb} MB",
        "a listing, as sent and unpacked": f"{MAX_LISTING_BYTES // mb} MB",
        "status line and headers, interim answers included": f"{MAX_HEAD_BYTES // kb} KB",
        "encodings of a body, one over the other": f"{MAX_LAYERS}",
        "redirects": f"{settings.REDIRECT_MAX_TIMES}",
        "an address in a listing": f"{MAX_ADDRESS:,} characters",
        "reading a listing, or a page for what it reserves, in a process of its own": (
            f"{READ_SECONDS} s and {READ_MEMORY // mb} MB"
        ),
        "entries of one listing": f"{MAX_ENTRIES:,}",
        "addresses of one source in a run": f"{spider.MAX_URLS:,}",
        "listings of one source in a run": f"{spider.MAX_LISTINGS}, of an index {MAX_CHILDREN}",
        "one source in a run": f"{spider.MAX_SECONDS // 3600} hour",
    }
    assert {limit for limit, value in values.items() if told[limit].startswith(value)} == set(
        values
    )
