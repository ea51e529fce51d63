"""The phrases of phrases.yaml as compiled patterns: what sites say around a report."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

_SAID: dict[str, list[str]] = yaml.safe_load(
    Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8")
)


def _any_of(name: str) -> re.Pattern[str]:
    return re.compile("|".join(_SAID[name]), re.IGNORECASE)


POINTERS = _any_of("pointers")
PROMOTIONS = _any_of("promotions")
CHECKS = _any_of("checks")
CONSENT = _any_of("consent")
SCRIPT = _any_of("script")
ERRORS = _any_of("errors")
