"""The lake's lease, against a real store."""

from __future__ import annotations

import json

import pytest

from processing.exceptions import LeaseLost
from processing.lease import KEY, lease


class Clock:
    """A clock that moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def held_by(store) -> str:
    return json.loads(store.get(KEY).data)["holder"].split(" ")[0]


def test_the_lease_is_held_and_given_back(store):
    with lease(store, "run-1") as held:
        assert held_by(store) == "run-1"
        held.confirm()
    assert held_by(store) == ""


def test_each_holder_has_a_higher_token(store):
    tokens = []
    for _ in range(3):
        with lease(store, "run-1") as held:
            tokens.append(held.token)
    assert tokens == [1, 2, 3]


def test_a_holder_without_a_sign_of_life_is_succeeded_and_told_so(store):
    clock = Clock()
    with lease(store, "dead", time_to_live=40) as dead:
        with lease(store, "heir", time_to_live=40, wait=clock.wait, clock=clock) as heir:
            assert clock.now > 40, "it was watched for its whole time to live"
            assert heir.token == dead.token + 1
            with pytest.raises(LeaseLost, match="another publisher took over"):
                dead.confirm()
        assert held_by(store) == ""


def test_a_holder_that_renews_is_waited_for(store):
    clock = Clock()
    with lease(store, "busy", time_to_live=40) as busy:

        def wait(seconds: float) -> None:
            clock.wait(seconds)
            if clock.now < 120:
                busy.confirm()
            elif clock.now < 120 + 2:
                busy.release()

        with lease(store, "next", time_to_live=40, wait=wait, clock=clock) as held:
            assert held.token == busy.token + 1
            assert clock.now >= 120


def test_a_twin_of_the_same_run_does_not_take_anothers_lease_for_its_own(store):
    clock = Clock()
    with (
        lease(store, "run-1", time_to_live=10, wait=clock.wait) as first,
        lease(store, "run-1", time_to_live=10, wait=clock.wait, clock=clock),
        pytest.raises(LeaseLost),
    ):
        first.confirm()
