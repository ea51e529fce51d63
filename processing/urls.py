"""URL keys: one comparable form for all addresses of the same article.

A key is for comparing only and is never fetched. It must join what is the same (tracking
parameters, AMP and mobile forms, index pages) and part what is not (``?id=``, path case).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode, urlsplit

from w3lib.url import canonicalize_url

_TRACKING = re.compile(
    r"^(utm_\w+|mc_[ce]id|fbclid|gclid|dclid|gbraid|wbraid|msclkid|yclid|igshid|igsh|twclid|ttclid"
    r"|_ga|_gl|_hs(enc|mi)|mkt_tok|vero_(id|conv)|oly_(anon|enc)_id|wt_?_?mc\w*|xtor|at_\w+|ns_\w+"
    r"|cmp(id)?|cid_source|cm(p|_)\w*|ito|ocid|ftag|sr_share|share|smid|smtyp|partner|src|source|ref"
    r"|ref_?src|ref_?url|referrer|feature|amp|outputtype|output|rss|rssfeed|feed|guccounter"
    r"|guce_referr\w*|spm|soc_src|soc_trk|s_cid|sh|__twitter_impression|traffic_source|tblci)$",
    re.IGNORECASE,
)
_CACHE = re.compile(
    r"^https?://(?:www\.google\.[a-z.]+/amp|[^/]+\.cdn\.ampproject\.org/[cv])/(s/)?", re.I
)
_MOBILE_HOST = re.compile(r"^(?:www\d?|m|mobile|amp|wap)\.(?=[^.]+\.[^.])")
_INDEX_PAGE = re.compile(r"/(?:index|default)\.(?:html?|php|aspx?|jsp|shtml)$", re.I)
_MASK = "forgotten:"
_AMP_PATH = re.compile(
    r"(?:^/amp(?=/)|/amp(?:\.html)?$|\.amp(?=\.html$)|\.amp$|(?<=/)amp/(?=.*\d))"
)


# A publish asks for each of its articles' keys several times.
@lru_cache(maxsize=16_384)
def url_key(url: str) -> str:
    """The URL in its comparable form: host, path and what of the query tells pages apart.

    Scheme, ``www.``/``m.``/``amp.``, default port, fragment, trailing slash, index page, AMP
    marks and tracking parameters are gone; the query is sorted. Raises ValueError on what is
    not an absolute http(s) URL.
    """
    cached = _CACHE.match(url)
    if cached:
        url = ("https://" if cached[1] else "http://") + url[cached.end() :]
    parts = urlsplit(canonicalize_url(url.strip()))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an absolute http(s) URL: {url!r}")
    host = _MOBILE_HOST.sub("", parts.hostname.rstrip("."))
    if parts.port and parts.port != {"http": 80, "https": 443}[parts.scheme]:
        host = f"{host}:{parts.port}"
    path = _INDEX_PAGE.sub(
        "/", _AMP_PATH.sub("", re.sub(r"/{2,}", "/", parts.path).rstrip("/") or "/")
    )
    query = [
        (n, v) for n, v in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.match(n)
    ]
    return host + (path.rstrip("/") or "/") + (f"?{urlencode(sorted(query))}" if query else "")


def url_id(key: str) -> str:
    """The id that belongs to a URL key: the first 32 hex digits of its SHA-256."""
    return sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]


# --- what is forgotten ----------------------------------------------------------------------

TOMBSTONES = "forgotten/"
"""Where the lake keeps a tombstone for each URL key whose pages it shall never hold again."""


def tombstone(id_: str) -> str:
    """The object key of the tombstone of a URL key, by that key's id."""
    return f"{TOMBSTONES}{id_}.json"


def forgotten_ids(tombstones: Iterable[str]) -> frozenset[str]:
    """The ids of the URL keys that these tombstones stand for."""
    return frozenset(key.removeprefix(TOMBSTONES).removesuffix(".json") for key in tombstones)


def mask(url: str) -> str:
    """What ledgers and coverage say in place of a forgotten address: ``forgotten:<id>``."""
    return f"{_MASK}{address_id(url)}"


def address_id(url: str) -> str:
    """The id of an address's URL key; of a masked address the one it had before.

    What has no URL key, since it is no absolute http(s) URL, is its own.
    """
    if url.startswith(_MASK):
        return url.removeprefix(_MASK)
    try:
        return url_id(url_key(url))
    except ValueError:
        return url_id(url)
