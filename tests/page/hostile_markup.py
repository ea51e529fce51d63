"""A page that tries every way out that is known of: to run script, to load, to go elsewhere."""

from __future__ import annotations

from pathlib import Path

_RUNS = "fetch('TARGET/script').catch(()=>0);top.owned=1;alert(1)"


def page(target: str, text: str) -> bytes:
    """The page, all of whose ways lead to ``target``, an origin; with some text of an article."""
    html = Path(__file__).with_name("hostile.html").read_text("utf-8")
    for name, meant in (("RUNS", _RUNS), ("TARGET", target), ("TEXT", text)):
        html = html.replace(name, meant)
    return html.encode()
