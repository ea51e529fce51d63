"""The topic models: what is shipped reads texts of many languages, the same everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing import topic_encoder, topic_models
from processing.records import TOPICS
from processing.topic_encoder import Head, opening
from processing.topic_student import Student, pieces

TABLE = Student(["wahl", "partei", "fußball", "選挙", "the"], np.zeros((5, 3), np.int8), 1.0)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("wahl", ["wahl"]),
        ("wahlpartei", ["wahl", "partei"]),
        ("wahlen", ["wahl"]),
        ("unwahl", []),
        ("there", []),
        ("東京選挙区", ["選挙"]),
        ("", []),
    ],
)
def test_a_word_is_read_as_the_words_it_is_made_of(word, found):
    assert list(pieces(word, dict.fromkeys(["wahl", "partei", "選挙", "the"]))) == found


def test_words_are_found_whatever_their_case_width_and_punctuation():
    assert TABLE.known("„WAHL“: Ｐａｒｔｅｉ-the,選挙！") == [0, 1, 4, 3]
    assert TABLE.known("Wahl wahl WAHL") == [0]


def test_logits_are_sums_over_the_root_of_the_number_of_words():
    student = Student(["ball", "goal"], np.array([[3, -1], [7, 1]], np.int8), 0.5)
    reading = student.read("Ball, ball", "goal")
    assert reading.logits == (0.5 / 2**0.5 * 10, 0.0)
    assert student.telling(reading, 0, 5) == ["goal", "ball"]
    assert student.telling(reading, 1, 5) == []
    assert student.read("nothing", "known").logits == (0.0, 0.0)


@given(text=st.text(max_size=80))
def test_a_student_reads_anything(text):
    words = dict.fromkeys(["wahl", "選挙", "the"])
    assert all(piece in words for piece in pieces(text, words))
    assert len(TABLE.read(text, text).logits) == 3


@given(title=st.text(max_size=300), text=st.text(max_size=300))
def test_an_opening_fits_and_can_be_written(title, text):
    said = opening(title, text)
    assert len(said.encode()) <= topic_encoder.READS


def test_an_opening_ends_with_a_whole_letter_and_holds_no_surrogate():
    assert opening("語" * 60, "") == "語" * (topic_encoder.READS // 3)
    assert opening("a\ud800b", "c") == "a?b. c"


def test_a_head_sums_whole_numbers():
    head = Head(np.array([[1, -2]], np.int16), np.array([0.5], np.float32), topic_encoder.STEPS)
    assert head.logits(np.array([300, 100], np.int16)) == (100.5,)


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "models.npz"
    rows = np.zeros((2, len(TOPICS)))
    rows[0, 3] = 1.0
    topic_models.write(file, ["quake", "選挙"], rows, np.eye(len(TOPICS), 384), np.zeros(17))
    models = topic_models.read(file)
    assert models.student.read("Quake", "").logits[3] == pytest.approx(1.0, rel=0.01)
    vector = np.zeros(384, np.int16)
    vector[5] = topic_encoder.STEPS // 2
    assert models.head.logits(vector)[5] == pytest.approx(0.5)


def test_models_of_other_topics_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "models.npz"
    monkeypatch.setattr(topic_models, "TOPICS", ("a", "b"))
    topic_models.write(file, ["x"], np.ones((1, 2)), np.ones((2, 384)), np.zeros(2))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="trained for other topics"):
        topic_models.read(file)


def test_the_shipped_models_are_small_and_have_a_version():
    assert topic_models.SHIPPED.stat().st_size < 3_000_000
    assert len(topic_models.version()) == 12
    with np.load(topic_models.SHIPPED) as held:
        assert held["weights"].nbytes < 100_000


def test_no_texts_are_no_vectors():
    assert topic_encoder.encode([]).shape == (0, 384)


@settings(max_examples=10, deadline=None)
@given(text=st.text(max_size=60))
def test_an_encoder_reads_anything(text):
    (vector,) = topic_encoder.encode([opening(text, text)])
    assert np.abs(vector).max() <= topic_encoder.STEPS
