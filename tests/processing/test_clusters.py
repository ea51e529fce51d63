"""Clusters that grow, come together, or take no more."""

from __future__ import annotations

from collections import Counter

from processing.clusters import LARGEST, Alarm, Cluster, Clusters
from processing.neighbours import MOST_OF_SITE


def of(**texts: int) -> Cluster:
    return Cluster(Counter(texts))


def test_of_two_published_clusters_the_one_with_more_texts_stays():
    clusters = Clusters({"a": of(herald=1), "b": of(herald=1, tribune=1)})
    clusters.join("a", "b", "gazette")
    assert (clusters.root("a"), clusters.root("b")) == ("b", "b")
    assert clusters.merged() == {"a": "b"}


def test_of_equal_ones_the_lower_id_stays_however_they_are_named():
    for pair in (("a", "b"), ("b", "a")):
        clusters = Clusters({"b": of(x=1), "a": of(y=1)})
        clusters.join(*pair, "gazette")
        assert clusters.merged() == {"b": "a"}


def test_a_published_cluster_stays_and_of_new_ones_the_first():
    clusters = Clusters({"published": of(herald=1)})
    for id_ in ("z-first", "a-second"):
        clusters.add(id_, "tribune")
    clusters.join("a-second", "z-first", "tribune")
    assert clusters.root("a-second") == "z-first"
    assert not clusters.merged()
    clusters.join("z-first", "published", "tribune")
    assert clusters.root("a-second") == "published"


def test_a_cluster_takes_no_more_than_so_many_of_one_site_but_for_aggregators():
    for aggregators, takes in ((), False), (("herald",), True):
        clusters = Clusters({"a": of(herald=MOST_OF_SITE)}, aggregators)
        assert clusters.takes("a", "tribune")
        assert clusters.takes("a", "herald") is takes
        assert list(clusters.alarms) == ([] if takes else [Alarm("a", "herald", "mixed")])


def test_a_cluster_takes_no_more_than_so_many_texts():
    clusters = Clusters({"a": of(**{f"site-{n}": 10 for n in range(LARGEST // 10)})})
    assert not clusters.takes("a", "tribune")
    clusters.add("b", "tribune")
    clusters.join("b", "a", "tribune")
    assert clusters.root("b") == "b"
    assert list(clusters.alarms) == [Alarm("a", "tribune", "large")]


def test_the_articles_of_clusters_come_together_and_those_given_stay_as_they_were():
    given = Cluster(Counter(herald=2), {"a"})
    clusters = Clusters({"a": given})
    clusters.add("b", "tribune", "b")
    clusters.add("b", "gazette")
    clusters.join("b", "a", "tribune")
    assert clusters.articles("b") == {"a", "b"}
    assert clusters.articles("none") == set()
    assert given == Cluster(Counter(herald=2), {"a"})
