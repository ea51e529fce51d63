"""What a store must prove before the lake writes to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from faultproxy import CONDITIONS, FaultProxy, answering

from processing import probe
from processing.exceptions import StoreError
from processing.storage import Store


def through(lake_env: dict[str, str], proxy: FaultProxy) -> Store:
    return Store.from_environment({**lake_env, "AWS_ENDPOINT_URL_S3": proxy.url}, retries=2)


def test_a_store_with_conditional_writes_passes_and_keeps_nothing(store):
    probe.check(store, datetime.now(UTC))
    assert not list(store.objects())


def test_a_store_is_tried_once(store, lake_env):
    with FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], r"PUT ", lambda _: True, 10**6) as proxy:
        tried = through(lake_env, proxy)
        probe.check(tried, datetime.now(UTC))
        first = proxy.met
        probe.check(tried, datetime.now(UTC))
        assert 0 < first == proxy.met


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        (CONDITIONS, "If-None-Match and If-Match"),
        (CONDITIONS[:1], "honour If-None-Match:"),
        (CONDITIONS[1:], "honour If-Match:"),
    ],
)
def test_a_store_that_ignores_conditions_is_refused_with_the_mend(store, lake_env, headers, named):
    with FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], strip=headers, keys=lake_env) as proxy:
        careless = through(lake_env, proxy)
        for _ in range(2):  # a refused store is not taken for a proven one
            with pytest.raises(StoreError, match=rf"{named}.*; use a store with conditional"):
                probe.check(careless, datetime.now(UTC))
    assert not list(store.objects())


def test_a_store_that_does_not_know_conditions_is_refused_with_the_mend(store, lake_env):
    unknown = answering(501, "NotImplemented")
    with (
        FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], r"PUT ", unknown, 10**6) as proxy,
        pytest.raises(StoreError, match="does not know conditional writes; use a store"),
    ):
        probe.check(through(lake_env, proxy), datetime.now(UTC))


def test_a_store_that_refuses_every_conditional_write_is_refused(store, lake_env):
    never = answering(412, "PreconditionFailed")
    with (
        FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], r"PUT ", never, 10**6) as proxy,
        pytest.raises(StoreError, match="refuses every write with If-None-Match"),
    ):
        probe.check(through(lake_env, proxy), datetime.now(UTC))


def test_both_of_a_pair_told_to_come_again_is_no_refusal(store, lake_env):
    busy = answering(409, "ConditionalRequestConflict")
    with FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], r"PUT ", busy, 2) as proxy:
        probe.check(through(lake_env, proxy), datetime.now(UTC))
        assert proxy.met == 2


@pytest.mark.parametrize(
    ("off", "said"),
    [
        (timedelta(hours=1), "60 minutes ahead of the store's"),
        (timedelta(hours=-1), "60 minutes behind the store's"),
    ],
)
def test_a_clock_an_hour_off_is_one_sentence_before_anything_is_written(store, off, said):
    with pytest.raises(StoreError, match=rf"{said}; set this machine's clock, best by NTP"):
        probe.check(store, store.stated_time() + off)
    assert not list(store.objects())


@pytest.mark.parametrize(
    ("status", "code", "mend"),
    [
        (403, "RequestTimeTooSkewed", "set this machine's clock, best by NTP"),
        (503, "SlowDown", "run this again later"),
        (507, "", "give the store more space"),
        (403, "QuotaExceeded", "give the store more space"),
    ],
)
def test_what_a_store_answers_comes_with_its_mend(store, lake_env, status, code, mend):
    said = answering(status, code)
    with (
        FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], r"PUT ", said, 10**6) as proxy,
        pytest.raises(StoreError, match=rf"cannot write s3://\S+/a: [^\n]*; {mend}"),
    ):
        through(lake_env, proxy).put("a", b"")


def test_clocks_within_ten_minutes_agree():
    noon = datetime(2026, 11, 10, 12, tzinfo=UTC)
    assert probe.clock_fault(noon, noon + timedelta(minutes=10)) is None
    assert probe.clock_fault(noon, noon - timedelta(minutes=10)) is None
    assert probe.clock_fault(None, noon) is None
