"""Lines that recur over a host's pages: what is learnt of them, kept, and taken out of texts."""

import gzip
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.cleaning import SiteTemplate
from processing.site_templates import (
    STORIES,
    HostLines,
    PageLines,
    Templates,
    host_of,
    pin_templates,
    pinned_templates,
)
from processing.storage import Store

BUTTONS = "Get the evening letter"
PLEDGE = "The Harbour Herald belongs to its readers; join them for the price of a coffee a week."


def report(number: int, *own: str) -> str:
    """A report whose words no other number shares, with lines of the site's own."""
    draw = random.Random(number)
    words = ["".join(draw.choices("abcdefghiklmnoprstuvw", k=9)) for _ in range(120)]
    paragraphs = [" ".join(words[at : at + 30]).capitalize() + "." for at in range(0, 120, 30)]
    return "\n".join([paragraphs[0], *own, *paragraphs[1:]])


def learnt(*texts: str) -> HostLines:
    lines = HostLines()
    lines.learn(map(PageLines.of, texts))
    return lines


def test_a_line_of_three_stories_is_the_sites():
    lines = learnt(*(report(n, BUTTONS, PLEDGE) for n in range(3)))
    assert SiteTemplate(lines.lines) == SiteTemplate.of([BUTTONS, PLEDGE])
    assert SiteTemplate(lines.lines).without(report(9, PLEDGE)) == report(9)


def test_two_stories_prove_nothing():
    assert learnt(*(report(n, BUTTONS) for n in range(2))).lines == frozenset()


def test_versions_of_one_story_do_not_erase_each_other():
    versions = [report(1) + f"\nBy {n} in the evening the bridge was open again." for n in range(9)]
    assert learnt(*versions).lines == frozenset()


def test_a_page_read_twice_counts_once():
    assert learnt(*[report(1, BUTTONS)] * 5).lines == frozenset()


def test_a_background_paragraph_of_a_running_story_stays():
    """Long lines have to recur in a tenth of the stories, short ones in a twentieth."""
    background = "The strike of the ferry crews began in March, after the owners had cut the pay."
    stories = [report(n, background, BUTTONS) for n in range(9)]
    others = [report(n, "By the newsroom") for n in range(100, 191)]
    assert learnt(*others, *stories).lines == SiteTemplate.of([BUTTONS, "By the newsroom"]).lines


def test_what_the_site_has_dropped_is_forgotten():
    lines = learnt(*(report(n, BUTTONS) for n in range(10)))
    assert lines.lines
    lines.learn(PageLines.of(report(n)) for n in range(1000, 1000 + STORIES))
    assert lines.lines == frozenset()


def test_paragraphs_are_never_learnt():
    paragraph = " ".join(["Whoever", "reads", "this", "far"] * 16)
    assert learnt(*(report(n, paragraph) for n in range(5))).lines == frozenset()


def test_what_was_learnt_survives_its_file():
    lines = learnt(*(report(n, BUTTONS) for n in range(4)))
    again = HostLines.from_json(lines.to_json())
    assert (again.lines, list(again.stories)) == (lines.lines, list(lines.stories))
    assert again.to_json() == lines.to_json()


@pytest.mark.parametrize(
    "data",
    [b"", b"no gzip", gzip.compress(b"[]"), gzip.compress(b"{"), gzip.compress(b'{"format": 9}')],
    ids=["empty", "no-gzip", "no-object", "no-json", "newer"],
)
def test_a_damaged_file_is_as_none(data):
    assert HostLines.from_json(data).lines == frozenset()


@settings(max_examples=50)
@given(st.lists(st.text(max_size=80), max_size=8))
def test_any_text_can_be_learnt(texts):
    lines = learnt(*texts)
    assert HostLines.from_json(lines.to_json()).lines == lines.lines


def test_templates_live_in_the_lake(store: Store):
    templates = Templates(store)
    url = "https://www.herald.example/2026/11/20/ferry"
    assert templates.of(url) is None
    for n in range(4):
        templates.meet(url, PageLines.of(report(n, BUTTONS)))
    templates.put()
    assert [found.key for found in store.objects("state/templates/")] == [
        "state/templates/herald.example.json.gz"
    ]
    assert Templates(store).of("https://m.herald.example/other") == SiteTemplate.of([BUTTONS])
    assert Templates(store).of("https://tribune.example/other") is None
    assert Templates(store).of("no address") is None


def test_of_two_runs_at_once_one_learns(store: Store):
    one, other = Templates(store), Templates(store)
    for templates, line in ((one, BUTTONS), (other, PLEDGE)):
        for n in range(4):
            templates.meet("https://herald.example/", PageLines.of(report(n, line)))
        templates.of("https://herald.example/")
    one.put()
    other.put()
    assert Templates(store).of("https://herald.example/") == SiteTemplate.of([BUTTONS])


def test_a_piece_of_work_keeps_its_templates(store: Store):
    assert pinned_templates(store, "staged/templates.json") is None
    chosen = {"herald.example": SiteTemplate.of([BUTTONS])}
    pin_templates(store, "staged/templates.json", chosen)
    assert pinned_templates(store, "staged/templates.json") == chosen


def test_hosts_are_told_apart_as_url_keys_tell_them():
    assert host_of("https://www.herald.example:443/a?b") == "herald.example"
    assert host_of("https://herald.example:8443/a") == "herald.example:8443"
    assert host_of("mailto:desk@herald.example") == ""
