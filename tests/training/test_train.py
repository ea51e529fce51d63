"""Training: two runs write the same bytes, from texts that are the project's own or IPTC's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from processing import topic_models
from processing.records import TOPICS

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {
    *("en", "de", "fr", "es", "pt", "it", "nl", "pl", "ru", "tr", "ar", "zh", "ja", "hi", "id"),
    "sv",
}


def train(out: Path, *words: str) -> bytes:
    command = [sys.executable, str(ROOT / "training" / "train.py"), "--out", str(out), *words]
    subprocess.run(command, check=True, capture_output=True)
    return out.read_bytes()


def test_two_runs_write_the_same_bytes(tmp_path):
    small = ("--headlines", "1", "--words", "50")
    first = train(tmp_path / "first.npz", *small)
    kept = ("--cache", str(tmp_path / "vectors"))
    assert first == train(tmp_path / "second.npz", *small, *kept)
    assert first == train(tmp_path / "third.npz", *small, *kept)
    models = topic_models.read(tmp_path / "first.npz")
    assert len(models.student.read("the", "").logits) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_headlines_of_many_languages(topic):
    file = ROOT / "training" / "headlines" / f"{topic}.yaml"
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert set(said) == LANGUAGES
    assert sum(map(len, said.values())) >= 100


def test_no_headline_stands_under_two_topics():
    texts = [
        text
        for file in (ROOT / "training" / "headlines").glob("*.yaml")
        for said in yaml.safe_load(file.read_text(encoding="utf-8")).values()
        for text in said
    ]
    assert len(texts) == len(set(texts))


def test_the_vocabulary_names_its_owner_and_licence():
    text = (ROOT / "training" / "media_topics.yaml").read_text(encoding="utf-8")
    assert "International Press Telecommunications Council" in text
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    assert set(yaml.safe_load(text)) == set(TOPICS)


def test_what_is_shipped_knows_its_own_training_texts():
    file = ROOT / "training" / "headlines"
    right = []
    for at, topic in enumerate(TOPICS):
        said = yaml.safe_load((file / f"{topic}.yaml").read_text(encoding="utf-8"))
        for text in said["en"]:
            logits = topic_models.shipped().student.read(text, "").logits
            right.append(int(np.argmax(logits)) == at)
    assert np.mean(right) > 0.8
