"""Nobody sees anything of the page without Airflow's login and its access check."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from served_page import ServedPage

from newslake import stack

LIST = """
import json, os
from newslake.page.app import make_app
routes = make_app(os.environ).routes
print(json.dumps([[type(r).__name__, r.path, sorted(getattr(r, "methods", []))] for r in routes]))
"""
VALUES = {"id": "0" * 32, "id_": "herald", "day": "2026-11-20", "path:path": "style.css"}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, list[str]]]:
    """Kind, path and methods of each route; in a process of its own, for it imports airflow."""
    home = tmp_path_factory.mktemp("routes")
    env = {**os.environ, "NEWSLAKE_HOME": str(home)}
    env |= stack.airflow_environment(home, env, dags=home)
    said = subprocess.run(
        [sys.executable, "-P", "-c", LIST], env=env, capture_output=True, check=True
    )
    return [tuple(route) for route in json.loads(said.stdout.splitlines()[-1])]


def addresses(routes: list[tuple[str, str, list[str]]]) -> list[tuple[str, str]]:
    """Method and path of each, with something put in for its parameters."""
    return [
        (method, "/newslake" + re.sub(r"{([^}]+)}", lambda found: VALUES.get(found[1], "x"), path))
        for _, path, methods in routes
        for method in methods
    ]


def test_every_route_is_one_that_the_check_covers(routes):
    # A mount, or a bare Starlette route, passes the application's dependencies by.
    assert {kind for kind, _, _ in routes} == {"APIRoute"}
    assert {"/", "/sources", "/static/{path:path}"} <= {path for _, path, _ in routes}


@pytest.mark.parametrize("token", [None, "made.up.token"])
def test_a_stranger_is_refused_everywhere(page: ServedPage, routes, token):
    for method, path in addresses(routes):
        answer = page.ask(path, token, method, accept="application/json")
        assert answer.status in (401, 403), (method, path)
        assert set(json.loads(answer.text)) == {"detail"}


def test_who_may_not_use_the_website_is_refused_everywhere(page: ServedPage, routes):
    token = page.token("guest")
    for method, path in addresses(routes):
        assert page.ask(path, token, method).status == 403, (method, path)


def test_a_browser_without_login_is_sent_to_airflows_own(page: ServedPage, routes):
    for method, path in addresses(routes):
        if method == "GET":
            answer = page.ask(path)
            assert answer.status == 303, path
            assert answer.headers["location"].startswith("/auth/login?next=http"), path
            assert answer.text == ""


def test_who_is_logged_in_is_let_in(page: ServedPage):
    assert page.view("/").status == 200
    assert page.view("/static/style.css").status == 200
    assert page.view("/static/../app.py").status == 404


def test_every_answer_forbids_what_comes_from_elsewhere(page: ServedPage):
    for path in ("/", "/sources", "/static/copy.js", "/nothing", "/days/2026-11-40"):
        policy = page.view(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; base-uri 'none'")
        assert "unsafe" not in policy
