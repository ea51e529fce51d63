"""Topics: the operator's word first, then section names and models together, else unclassified."""

from importlib.resources import files
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.exceptions import ConfigurationError
from processing.records import TOPICS, UNCLASSIFIED, TopicScore
from processing.topic_sections import SECTION
from processing.topics import FLOOR, TOLD, Topic, classify, fast_chosen

ARTS = "arts-culture-entertainment-and-media"
CRIME = "crime-law-and-justice"
DISASTER = "disaster-accident-and-emergency-incident"
ECONOMY = "economy-business-and-finance"
LIFESTYLE = "lifestyle-and-leisure"
SCIENCE = "science-and-technology"

LANGUAGES = {
    *("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "ru", "uk"),
    *("tr", "el", "ro", "hu", "ar", "he", "hi", "ja", "ko", "zh", "id", "vi"),
}


@pytest.fixture(scope="module")
def lexicon() -> dict[str, dict[str, list[str]]]:
    raw = files("processing").joinpath("section_lexicon.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(raw)


@pytest.mark.parametrize(
    ("language", "section", "topic"),
    [
        ("en", "Health & Fitness", "health"),
        ("de", "Wirtschaft", ECONOMY),
        ("fr", "Politique", "politics"),
        ("es", "Deportes", "sport"),
        ("it", "Ambiente", "environment"),
        ("pt", "Saúde", "health"),
        ("nl", "Onderwijs", "education"),
        ("sv", "Näringsliv", ECONOMY),
        ("da", "Vejret", "weather"),
        ("nb-NO", "Økonomi", ECONOMY),
        ("fi", "Urheilu", "sport"),
        ("pl", "Nauka", SCIENCE),
        ("cs", "Školství", "education"),
        ("ru", "Экономика", ECONOMY),
        ("uk", "Культура", ARTS),
        ("tr", "SAĞLIK", "health"),
        ("el", "Πολιτική", "politics"),
        ("ro", "Învățământ", "education"),
        ("hu", "Időjárás", "weather"),
        ("ar", "رياضة", "sport"),
        ("he", "כלכלה", ECONOMY),
        ("hi", "राजनीति", "politics"),
        ("ja", "経済", ECONOMY),
        ("ko", "스포츠", "sport"),
        ("zh-Hant", "財經", ECONOMY),
        ("id", "Olahraga", "sport"),
        ("vi", "Thể thao", "sport"),
    ],
)
def test_a_section_names_the_topic_in_its_language(language, section, topic):
    said = classify("", "", section=section, language=language)
    assert (said.topic, said.score, said.method) == (topic, SECTION, "section")
    assert said.evidence == (f"section {section!r} -> {topic}",)
    assert classify("", "", section=section).topic == topic


@pytest.mark.parametrize(
    "section",
    [
        *("World", "Local", "Opinion", "News", "Home > News > Europe", "Video", "UK", "Live"),
        *("Ausland", "Panorama", "Monde", "Mundo", "Esteri", "Gündem", "国際", "В мире", ""),
    ],
)
def test_places_and_genres_are_no_evidence(section):
    assert classify("", "", section=section) == Topic(UNCLASSIFIED, 0.0, "none")


@pytest.mark.parametrize(
    ("url", "topic"),
    [
        ("https://a.example/wirtschaft/firma-meldet-gewinn-1.2.html", ECONOMY),
        ("https://a.example/politique/article/2024/05/01/un-vote_12.html", "politics"),
        ("https://a.example/deportes/", UNCLASSIFIED),
        ("https://a.example/deportes/futbol/otra-victoria", "sport"),
        ("https://a.example/ekonomika/news/123", ECONOMY),
        ("https://a.example/oekonomi/en-nyhed", ECONOMY),
        ("https://a.example/culture-et-loisirs/une-piece", ARTS),
        ("https://a.example/local-sport/a-match", "sport"),
        ("https://economia.site.com.br/2024/a-noticia.html", ECONOMY),
        ("https://sport.com.br/2024/a-noticia.html", UNCLASSIFIED),
        ("https://it.site.example/2024/un-articolo", UNCLASSIFIED),
        ("https://mobile.site.example/web/an-article", UNCLASSIFIED),
        (f"https://a.example/{quote('経済')}/1", ECONOMY),
        ("https://a.example/the-sport-of-politics-in-health/1", UNCLASSIFIED),
        ("https://[broken/sport/1", UNCLASSIFIED),
    ],
)
def test_the_address_names_the_topic(url, topic):
    assert classify("", "", url=url).topic == topic


def test_the_operators_map_wins():
    mapped = classify(
        "",
        "",
        url="https://a.example/Sport/business/1",
        section="Politics",
        source_map={"/sport/": "health", "/sport/business/": "labour", "politics": "weather"},
    )
    assert mapped == Topic(
        "labour",
        1.0,
        "source-map",
        ("source map '/sport/business/' -> labour",),
        (TopicScore("labour", 1.0),),
    )


@pytest.mark.parametrize("section", ["Aus aller Welt", "Start > AUS ALLER WELT > Heute"])
def test_a_key_without_slashes_is_the_name_of_a_section(section):
    source_map = {"aus aller welt": "human-interest"}
    assert classify("", "", section=section, source_map=source_map).topic == "human-interest"
    url = "https://a.example/aus aller welt/1"
    assert classify("", "", url=url, source_map=source_map).method == "none"


def test_evidence_that_agrees_scores_more_and_a_tag_counts_least():
    url = "https://a.example/sport/1"
    scores = [
        classify("", "", tags=["Sport"]).score,
        classify("", "", url=url).score,
        classify("", "", section="Sport").score,
        classify("", "", section="Sport", url=url).score,
        classify("", "", section="Sport", url=url, tags=["Sport"]).score,
    ]
    assert scores == sorted(set(scores))
    assert classify("", "", section="Sport", tags=["Politics", "Health"]).topic == "sport"


def test_tags_of_many_topics_name_none():
    every_section = ["政治", "経済", "スポーツ", "エンタメ"]
    assert classify("", "", tags=every_section).topic == UNCLASSIFIED
    assert classify("", "", tags=["Trump", "Elections", "Cinema", "Dublin"]).topic == "politics"


def test_several_topics_are_kept_by_falling_score():
    said = classify("", "", section="Wirtschaft", url="https://a.example/politik/1", tags=["Kino"])
    assert [t.topic for t in said.topics] == [ECONOMY, "politics", ARTS]
    assert [t.score for t in said.topics] == sorted((t.score for t in said.topics), reverse=True)
    assert said.evidence[0] == f"section 'Wirtschaft' -> {ECONOMY}"


def test_the_most_specific_part_of_a_breadcrumb_counts_most():
    assert classify("", "", section="Politics > Sport").topic == "sport"
    assert classify("", "", section="Sport > Politics").topic == "politics"


def test_a_name_of_two_topics_is_evidence_for_both():
    said = classify("", "", section="Faits divers", language="fr")
    assert said.topics == (TopicScore(CRIME, 0.4), TopicScore(DISASTER, 0.4))


def test_the_language_settles_what_a_name_means():
    assert classify("", "", section="Clima", language="it").topic == "environment"
    assert classify("", "", section="Clima", language="pt").topic == "weather"


def test_a_guess_below_the_floor_is_kept_but_names_nothing():
    said = classify("", "", url="https://a.example/sociedad-local/1")
    assert (said.topic, said.score, said.method) == (UNCLASSIFIED, 0.0, "none")
    assert [t.topic for t in said.topics] == ["society"]
    assert said.topics[0].score < FLOOR
    assert classify("", "", section="Sociedad").topic == "society"


TEXTS = {
    "en": (
        "Striker's late goal sends the club into the cup final",
        "The match ended 2-1.",
        "sport",
    ),
    "de": (
        "Zentralbank erhöht den Leitzins, die Börse gibt nach",
        "Die Inflation steigt.",
        ECONOMY,
    ),
    "fr": ("Les députés rejettent la motion de censure", "Le Premier ministre reste.", "politics"),
    "uk": ("Землетрус зруйнував будинки, рятувальники шукають людей", "", DISASTER),
    "ja": ("大学入試の出題ミス、文科省が高校に説明", "受験生の採点をやり直す。", "education"),
    "ar": ("وزارة الصحة تعلن ارتفاع الإصابات بالحصبة", "المستشفيات تستقبل المرضى.", "health"),
    "sw": ("Mahakama yamhukumu mwizi miaka kumi jela", "Polisi walimkamata.", CRIME),
    "ko": ("검찰, 뇌물 혐의로 전 사장 구속 기소", "법원은 영장을 발부했다.", CRIME),
}


@pytest.mark.parametrize("language", TEXTS)
def test_the_models_name_a_topic_in_many_languages(language):
    title, text, topic = TEXTS[language]
    said = classify(title, text)
    assert (said.topic, said.method) == (topic, "model")
    assert FLOOR <= said.score <= 1
    assert said.topics[0] == TopicScore(topic, said.score)
    assert all(each.score >= TOLD for each in said.topics)


def test_the_student_alone_says_by_which_words():
    said = classify(*TEXTS["en"][:2], fast=True)
    assert said.topic == "sport"
    (line,) = said.evidence
    assert line.startswith("student 0.") or line.startswith("student 1.")
    assert "-> sport by '" in line
    assert "'match'" in line or "'goal'" in line or "'striker'" in line


LONG = (
    "The striker scored twice and the goalkeeper saved a penalty as the league leaders beat their"
    " rivals in front of fifty thousand fans; the coach praised his team after the final whistle,"
    " and the club now plays the second leg of the semi-final at home on Wednesday evening."
)


def test_the_encoder_is_asked_where_the_student_has_read_little():
    asked = {
        text: [line.partition(" ")[0] for line in classify("Late goal", text).evidence]
        for text in (LONG, "It was 2-1.")
    }
    assert asked == {LONG: ["student"], "It was 2-1.": ["student", "encoder"]}


def test_a_section_tips_the_scales_and_is_told_first():
    title, text = "The minister on the pitch", "Parliament's team met the players' club."
    plain, sport, politics = (
        classify(title, text, section=section) for section in (None, "Sport", "Politics")
    )
    assert (sport.topic, politics.topic) == ("sport", "politics")
    assert (sport.method, politics.method) == ("section", "section")
    assert sport.evidence[0] == "section 'Sport' -> sport"
    assert plain.method == "model"


def test_a_section_does_not_outweigh_a_clear_text():
    said = classify(*TEXTS["en"][:2], section="Weather")
    assert (said.topic, said.method) == ("sport", "model")
    assert said.evidence[-1] == "section 'Weather' -> weather"


def test_a_text_without_a_word_stays_unclassified_and_keeps_its_guesses():
    said = classify("12345", "67 89", fast=True)
    assert (said.topic, said.score, said.method) == (UNCLASSIFIED, 0.0, "none")
    assert {each.score for each in said.topics} == {round(1 / len(TOPICS), 4)}
    assert classify("12345", "", section="Sport", fast=True).topic == "sport"


def test_the_operators_map_wins_over_a_clear_text():
    said = classify(*TEXTS["en"][:2], section="Arena", source_map={"arena": "politics"})
    assert (said.topic, said.method) == ("politics", "source-map")


def test_the_lexicon_knows_only_topics_of_the_contract_and_all_languages(lexicon):
    assert set(lexicon) == set(TOPICS)
    for topic, names in lexicon.items():
        assert set(names) - {"mul"} <= LANGUAGES, topic
        assert all(names.values()), topic
    for language in LANGUAGES:
        missing = {topic for topic in TOPICS if language not in lexicon[topic]}
        assert not missing, language


def test_every_name_of_the_lexicon_is_found(lexicon):
    for topic, languages in lexicon.items():
        for language, names in languages.items():
            for name in map(str, names):
                found = {t.topic for t in classify("", "", tags=[name], language=language).topics}
                assert topic in found, (topic, language, name)


texts = st.text(max_size=60)


@settings(deadline=None, max_examples=60)
@given(
    title=texts,
    url=st.none() | texts | texts.map(lambda t: f"https://a.example/sport/{t}/1"),
    section=st.none() | texts | texts.map(lambda t: f"News > {t} > Politik"),
    tags=st.lists(texts | st.sampled_from(["Sport", "文化"]), max_size=4),
    text=texts,
    fast=st.booleans(),
    language=st.none() | texts | st.sampled_from(["de", "zh-Hant"]),
    source_map=st.none() | st.dictionaries(texts, st.sampled_from(TOPICS), max_size=3),
)
def test_anything_gets_a_sound_answer_and_the_same_again(**said):
    title, text = said.pop("title"), said.pop("text")
    topic = classify(title, text, **said)
    assert topic == classify(title, text, **said)
    assert (topic.topic in TOPICS) == (topic.method != "none")
    assert 0 <= topic.score <= 1
    assert all(t.topic in TOPICS and 0 < t.score <= 1 for t in topic.topics)


@pytest.mark.parametrize(
    ("environ", "fast"),
    [
        ({}, False),
        ({"NEWSLAKE_TOPICS": ""}, False),
        ({"NEWSLAKE_TOPICS": "full"}, False),
        ({"NEWSLAKE_TOPICS": "fast"}, True),
    ],
)
def test_the_environment_may_ask_for_the_student_alone(environ, fast):
    assert fast_chosen(environ) is fast


def test_another_word_in_the_environment_is_told():
    with pytest.raises(ConfigurationError, match="NEWSLAKE_TOPICS is 'quick'; make it fast"):
        fast_chosen({"NEWSLAKE_TOPICS": "quick"})
