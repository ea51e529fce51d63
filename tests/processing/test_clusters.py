"""Clusters that grow, come together, or take no more."""

from __future__ import annotations

from collections import Counter

from processing.clusters import LARGEST, Alarm, Clusters
from processing.neighbours import MOST_OF_SITE


def test_of_two_published_clusters_the_one_with_more_texts_stays():
    clusters = Clusters({"a": Counter(herald=1), "b": Counter(herald=1, tribune=1)})
    clusters.join("a", "b", "gazette")
    assert (clusters.root("a"), clusters.root("b")) == ("b", "b")
    assert clusters.merged() == {"a": "b"}


def test_of_equal_ones_the_lower_id_stays_however_they_are_named():
    for pair in (("a", "b"), ("b", "a")):
        clusters = Clusters({"b": Counter(x=1), "a": Counter(y=1)})
        clusters.join(*pair, "gazette")
        assert clusters.merged() == {"b": "a"}


def test_a_published_cluster_stays_and_of_new_ones_the_first():
    clusters = Clusters({"published": Counter(herald=1)})
    for id_ in ("z-first", "a-second"):
        clusters.add(id_, "tribune")
    clusters.join("a-second", "z-first", "tribune")
    assert clusters.root("a-second") == "z-first"
    assert not clusters.merged()
    clusters.join("z-first", "published", "tribune")
    assert clusters.root("a-second") == "published"


def test_a_cluster_takes_no_more_than_so_many_of_one_site_but_for_aggregators():
    for aggregators, takes in ((), False), (("herald",), True):
        clusters = Clusters({"a": Counter(herald=MOST_OF_SITE)}, aggregators)
        assert clusters.takes("a", "tribune")
        assert clusters.takes("a", "herald") is takes
        assert list(clusters.alarms) == ([] if takes else [Alarm("a", "herald", "mixed")])


def test_a_cluster_takes_no_more_than_so_many_texts():
    sites = Counter({f"site-{n}": 10 for n in range(LARGEST // 10)})
    clusters = Clusters({"a": sites})
    assert not clusters.takes("a", "tribune")
    clusters.add("b", "tribune")
    clusters.join("b", "a", "tribune")
    assert clusters.root("b") == "b"
    assert list(clusters.alarms) == [Alarm("a", "tribune", "large")]
