"""``newslake topics explain``: an article's topic beside today's, with the evidence."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from newslake.explain import explain, lines
from newslake.reader import open_lake
from processing.exceptions import ConfigurationError, UnknownArticle
from processing.publishing import RunFacts, publish
from processing.records import FETCHED, Article, Visit
from processing.staging import StagedSource
from processing.texts import content_hash
from processing.topic_models import version
from processing.urls import url_id, url_key

RUN, DAY = "20261110T120000Z-abcdef", datetime(2026, 11, 10, 12, tzinfo=UTC)
URL = "https://herald.example/sport/a"
TITLE = "Striker's late goal sends the club into the cup final"
TEXT = "The match ended 2-1 after extra time."
SOURCE = (
    "id: {0}\nname: A paper\nhomepage: https://{0}.example/\nfeeds: [https://{0}.example/rss]\n"
)


@pytest.fixture
def lake(store, lake_env, tmp_path):
    story = Article(
        id=url_id(url_key(URL)),
        url=URL,
        title=TITLE,
        text=TEXT,
        section="Football",
        fetched_at=DAY,
        first_seen_at=DAY,
        content_hash=content_hash(TEXT),
        word_count=7,
        extractor="test",
    )
    staged = StagedSource(RUN, "herald")
    staged.add(Visit(URL, FETCHED, "feed", DAY), story)
    staged.put(store)
    publish(store, RunFacts(RUN, ("herald",), DAY, {"herald": {"/sport/": "health"}}, {}, {}))
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "other.yaml").write_text(SOURCE.format("other"))
    lake_env["NEWSLAKE_SOURCES"] = str(tmp_path / "sources")
    with open_lake(environ=lake_env) as opened:
        yield opened


def test_the_stored_topic_stands_beside_todays_with_its_evidence(lake, lake_env):
    said = explain(lake, URL, lake_env)
    assert said["stored"] == {"topic": "health", "topic_score": 1.0, "topic_method": "source-map"}
    assert (said["today"]["topic"], said["today"]["topic_method"]) == ("sport", "section")
    assert said["evidence"][0] == "section 'Football' -> sport"
    assert said["topics"][0]["topic"] == "sport"
    assert said["models"] == version()
    assert explain(lake, said["id"], lake_env) == said
    text = "\n".join(lines(said))
    assert "stored: health (source-map, score 1.00)" in text
    assert "today: sport (section, score " in text
    assert "candidates: sport " in text


def test_the_operators_map_of_today_counts(lake, lake_env, tmp_path):
    (tmp_path / "sources" / "herald.yaml").write_text(
        SOURCE.format("herald") + "topics: {football: labour}\n"
    )
    said = explain(lake, URL, lake_env)
    assert said["today"] == {"topic": "labour", "topic_score": 1.0, "topic_method": "source-map"}
    assert said["evidence"] == ["source map 'football' -> labour"]


def test_the_environment_may_ask_for_the_student_alone(lake, lake_env):
    said = explain(lake, URL, {**lake_env, "NEWSLAKE_TOPICS": "fast"})
    assert not any(line.startswith("encoder") for line in said["evidence"])
    assert any(line.startswith("encoder") for line in explain(lake, URL, lake_env)["evidence"])


def test_what_is_not_published_is_told(lake, lake_env):
    with pytest.raises(UnknownArticle, match="nothing is published under"):
        explain(lake, "https://herald.example/unknown", lake_env)
    with pytest.raises(ConfigurationError):
        explain(lake, "no address", lake_env)


def test_the_command_prints_words_or_json(lake, lake_env):
    def newslake(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "newslake", "topics", "explain", *words],
            env=lake_env,
            capture_output=True,
            text=True,
            check=False,
        )

    shown = newslake(URL)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[0] == TITLE
    (said,) = json.loads(newslake(URL, "--json").stdout)
    assert said == explain(lake, URL, lake_env)
    unknown = newslake("https://herald.example/unknown")
    assert unknown.returncode == 1
    assert "nothing is published under https://herald.example/unknown" in unknown.stderr
