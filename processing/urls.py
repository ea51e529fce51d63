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

# What follows whoever shares, mails, advertises or measures a link, and never tells pages apart.
_TRACKING = re.compile(
    r"^(utm_\w+|mtm_\w+|(?:pk|piwik)_(?:campaign|kwd|keyword|source|medium|content|cid)|itm_\w+"
    r"|gclid|gclsrc|gad_\w+|dclid|gbraid|wbraid|_ga|_gl|gaa_\w+|fbclid|fb_\w+|igshid|igsh|sfnsn"
    r"|msclkid|ysclid|yclid|_openstat|twclid|ttclid|li_fat_id|rdt_cid|epik|sccid|__twitter_impression"
    r"|mc_[ce]id|mkt_tok|vero_(id|conv)|oly_(anon|enc)_id|_hs(enc|mi)|hsa_\w+|hsctatracking|__s"
    r"|wt_?_?mc\w*|xtor|xtref|xtcr|at_\w+|ns_\w+|cid_source|cmp(id)?|cm(p|_)\w*|intcmp|icid|ito|ocid"
    r"|ftag|sf\d{6,}|sr_share|share|smid|smtyp|emc|partner|src|source|via|ref|ref_?src|ref_?url"
    r"|referr?er|reflink|feature|feed(type|name)?|rss(feed)?|taid|rpc|srnd|sref|leadsource|itid|hpid"
    r"|wpisrc|wpmm|cndid|guccounter|guce_\w+|\.?tsrc|soc_src|soc_trk|s_cid|sh|spm|scm|dicbo|tblci"
    r"|traffic_source|trk(campaign)?|amp|amp_\w+|ampshare|usqp|aoh|output(type)?|print|replytocom"
    r"|phpsessid|jsessionid)$",
    re.IGNORECASE,
)
_CACHE = re.compile(
    r"^https?://(?:www\.(?:google\.[a-z.]+|bing\.com)/amp"
    r"|(?:[^/]+\.)?(?:cdn\.ampproject\.org|bing-amp\.com)/[cv])/(s/)?",
    re.IGNORECASE,
)
_MOBILE_HOST = re.compile(r"^(?:(?:www\d?|m|mobile?|touch|amp|wap)\.)+(?=[^.]+\.[^.])")
_SESSION = re.compile(r";jsessionid=[^/]*", re.IGNORECASE)
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
    # Feeds escape their addresses twice.
    parts = urlsplit(canonicalize_url(url.strip().replace("&amp;", "&")))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an absolute http(s) URL: {url!r}")
    host = _MOBILE_HOST.sub("", parts.hostname.rstrip("."))
    if parts.port and parts.port != {"http": 80, "https": 443}[parts.scheme]:
        host = f"{host}:{parts.port}"
    path = re.sub(r"/{2,}", "/", _SESSION.sub("", parts.path)).rstrip("/") or "/"
    path = _INDEX_PAGE.sub("/", _AMP_PATH.sub("", path))
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
