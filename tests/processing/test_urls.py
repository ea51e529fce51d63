"""URL keys: what must be one page, what must stay two, and that keys are stable."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.urls import url_id, url_key

PLAIN = "https://example.com/2026/11/harbour-wall-4711"
SAME = [
    "http://example.com/2026/11/harbour-wall-4711",
    "https://www.example.com/2026/11/harbour-wall-4711/",
    "https://m.example.com/2026/11/harbour-wall-4711",
    "https://amp.example.com/2026/11/harbour-wall-4711",
    "https://example.com:443/2026/11/harbour-wall-4711",
    "https://EXAMPLE.com/2026/11/harbour-wall-4711",
    "https://example.com//2026/11/harbour-wall-4711",
    "https://example.com/2026/11/harbour-wall-4711#comments",
    "https://example.com/2026/11/harbour-wall-4711?utm_source=rss&utm_medium=feed",
    "https://example.com/2026/11/harbour-wall-4711?fbclid=IwAR0&gclid=1",
    "https://example.com/2026/11/harbour-wall-4711?ref=rss",
    "https://example.com/2026/11/harbour-wall-4711?at_medium=RSS&at_campaign=KARANGA",
    "https://example.com/2026/11/harbour-wall-4711?cmp=share_btn",
    "https://example.com/2026/11/harbour-wall-4711?outputType=amp",
    "https://example.com/2026/11/harbour-wall-4711/amp",
    "https://example.com/2026/11/harbour-wall-4711/amp/",
    "https://example.com/2026/11/harbour-wall-4711/index.html",
    "https://www.google.com/amp/s/example.com/2026/11/harbour-wall-4711",
    "https://example-com.cdn.ampproject.org/c/s/example.com/2026/11/harbour-wall-4711",
    " https://example.com/2026/11/harbour-wall-4711 ",
    "https://www2.example.com/2026/11/harbour-wall-4711",
    "https://mobile.example.com/2026/11/harbour-wall-4711",
    "https://mobil.example.com/2026/11/harbour-wall-4711",
    "https://touch.example.com/2026/11/harbour-wall-4711",
    "https://wap.example.com/2026/11/harbour-wall-4711",
    "https://www.m.example.com/2026/11/harbour-wall-4711",
    "https://m.www.example.com/2026/11/harbour-wall-4711",
    "https://example.com./2026/11/harbour-wall-4711",
    "https://user:secret@example.com/2026/11/harbour-wall-4711",
    "https://example.com/2026/11/harbour-wall-4711?",
    "https://example.com/2026/11/harbour-wall-4711/?&",
    "https://example.com/2026/11/harbour-wall-4711;jsessionid=0A1B2C",
    "https://example.com/2026/11/harbour-wall-4711/index.php",
    "https://example.com/2026/11/harbour-wall-4711/default.aspx",
    "https://example.com/2026/11/harbour-wall-4711/index.shtml?utm_source=x",
    "https://example.com/2026/11/harbour-wall-4711.amp",
    "https://example.com/amp/2026/11/harbour-wall-4711",
    "https://example.com/2026/11/harbour-wall-4711/?amp",
    "https://example.com/2026/11/harbour-wall-4711?amp=1",
    "https://example.com/2026/11/harbour-wall-4711?amp_js_v=0.1&usqp=mq331AQFKAGwASA%3D",
    "https://example.com/2026/11/harbour-wall-4711?ampshare=https://example.com/x&aoh"
    "=16&referrer=https://www.google.com",
    "https://cdn.ampproject.org/c/s/example.com/2026/11/harbour-wall-4711",
    "https://example-com.cdn.ampproject.org/v/s/www.example.com/2026/11/harbour-wall-"
    "4711?amp_js_v=a6",
    "https://example-com.cdn.ampproject.org/c/example.com/2026/11/harbour-wall-4711",
    "https://www.google.co.uk/amp/s/amp.example.com/2026/11/harbour-wall-4711",
    "https://www.bing.com/amp/s/example.com/2026/11/harbour-wall-4711",
    "https://example-com.bing-amp.com/c/s/example.com/2026/11/harbour-wall-4711",
    "https://example.com/2026/11/harbour-wall-4711?utm_source=rss&amp;utm_medium=feed",
    "https://example.com/2026/11/harbour-wall-4711?UTM_Source=rss",
    "https://example.com/2026/11/harbour-wall-4711?gad_source=1&gclsrc=aw.ds&gclid=x&wbraid=1",
    "https://example.com/2026/11/harbour-wall-4711?ysclid=lx1&_openstat=abc",
    "https://example.com/2026/11/harbour-wall-4711?mc_cid=1&mc_eid=2&mkt_tok=3",
    "https://example.com/2026/11/harbour-wall-4711?li_fat_id=1&rdt_cid=2&epik=3&ScCid=4&ttclid=5",
    "https://example.com/2026/11/harbour-wall-4711?hsa_acc=1&_hsenc=p2&_hsmi=3&hsCtaTracking=1",
    "https://example.com/2026/11/harbour-wall-4711?pk_campaign=x&mtm_source=y&piwik_kwd=z",
    "https://example.com/2026/11/harbour-wall-4711?cmpid=rss&CMP=Share_iOSApp_Other&i"
    "ntcmp=a&icid=b&ocid=d",
    "https://example.com/2026/11/harbour-wall-4711?smid=tw-share&smtyp=cur&emc=rss&partner=rss",
    "https://example.com/2026/11/harbour-wall-4711?taid=6543&feedType=RSS&feedName=topNews&rpc=22",
    "https://example.com/2026/11/harbour-wall-4711?reflink=desktopwebshare_permalink",
    "https://example.com/2026/11/harbour-wall-4711?srnd=homepage&sref=abc&leadSource="
    "uverify%20wall",
    "https://example.com/2026/11/harbour-wall-4711?cndid=12&itid=hp-top&wpisrc=nl&hpid=hp_no-name",
    "https://example.com/2026/11/harbour-wall-4711?gaa_at=eafs&gaa_n=1&gaa_ts=2&gaa_sig=3",
    "https://example.com/2026/11/harbour-wall-4711?sf210987654=1",
    "https://example.com/2026/11/harbour-wall-4711?__twitter_impression=true&__s=abc&"
    "fb_action_ids=1&fb_source=x",
    "https://example.com/2026/11/harbour-wall-4711?xtor=RSS-3&xtref=acc&at_medium=RSS"
    "&ns_mchannel=rss&wt_mc=rss",
    "https://example.com/2026/11/harbour-wall-4711?ref=rss&ref_src=twsrc&referer=x&re"
    "ferrer=y&via=z",
    "https://example.com/2026/11/harbour-wall-4711?share=facebook",
    "https://example.com/2026/11/harbour-wall-4711?replytocom=4711",
    "https://example.com/2026/11/harbour-wall-4711?guccounter=1&guce_referrer=a&guce_"
    "referrer_sig=b&soc_src=c&tsrc=d&.tsrc=e",
    "https://example.com/2026/11/harbour-wall-4711?spm=a2c&scm=1&traffic_source=x&dic"
    "bo=v2-1&tblci=2",
    "https://example.com/2026/11/harbour-wall-4711#Echobox=1700000000",
    "https://example.com/2026/11/harbour-wall-4711#:~:text=harbour",
    "https://example.com:443/2026//11///harbour-wall-4711//",
    "https://example.com/2026/11/harbour%2Dwall-4711",
    "https://example.com/2026/11/./harbour-wall-4711",
    "https://example.com/2025/../2026/11/harbour-wall-4711",
    "https://example.com/2026/11/harbour-wall-4711?PHPSESSID=abc",
    "https://example.com/2026/11/harbour-wall-4711?print=1",
    "https://example.com/2026/11/harbour-wall-4711?fbclid=1&igshid=3&igsh=4&sfnsn=5",
    "https://example.com/2026/11/harbour-wall-4711?trk=public_post&trkCampaign=x",
    "https://example.com/2026/11/harbour-wall-4711?output=amp",
]
_TELLING = [
    *("aid", "artid", "article", "article_id", "cat", "cid", "code", "date", "doc", "docid", "f"),
    *("idx", "item", "key", "lang", "m", "mid", "mod", "n", "newsid", "nid", "no", "oid", "pid"),
    *("q", "r", "s", "section", "seite", "seq", "story", "storyid", "t", "tag", "tid", "type"),
    *("uid", "v", "view"),
]
DIFFERENT = [
    ("https://example.com/story?id=1", "https://example.com/story?id=2"),
    ("https://example.com/story?articleId=1", "https://example.com/story?articleId=2"),
    ("https://example.com/story?sid=1", "https://example.com/story?sid=2"),
    ("https://example.com/s.php?p=1", "https://example.com/s.php?p=2"),
    ("https://example.com/AbC", "https://example.com/abc"),
    ("https://example.com/a", "https://example.com/b"),
    ("https://example.com/a", "https://example.org/a"),
    ("https://blog.example.com/a", "https://example.com/a"),
    ("http://127.0.0.1:8001/a", "http://127.0.0.1:8002/a"),
    ("https://example.com/ampere-law", "https://example.com/ere-law"),
    ("https://example.com/a?page=1", "https://example.com/a?page=2"),
    ("https://example.com/a%2Fb", "https://example.com/a/b"),
    ("https://example.com/camp/a-1", "https://example.com/c/a-1"),
    ("https://example.com/lamp", "https://example.com/l"),
    ("https://example.com/amplitude/1", "https://example.com/litude/1"),
    ("https://example.com/best-amp.html", "https://example.com/best.html"),
    ("https://example.com/index2.html", "https://example.com/"),
    ("https://example.com/index.php?id=1", "https://example.com/index.php?id=2"),
    ("https://example.com/default.asp?a=1", "https://example.com/default.asp?a=2"),
    ("https://example.com/a.html", "https://example.com/a"),
    ("https://sport.example.com/a", "https://example.com/a"),
    ("https://edition.example.com/a", "https://www.example.com/a"),
    ("https://mexample.com/a", "https://example.com/a"),
    ("https://example.com/s?share_price=1", "https://example.com/s?share_price=2"),
    ("https://example.com/s?sourceid=1", "https://example.com/s?sourceid=2"),
    ("https://example.com/s?reference=1", "https://example.com/s?reference=2"),
    ("https://example.com/s?sf=1", "https://example.com/s?sf=2"),
    *((f"https://example.com/s?{name}=1", f"https://example.com/s?{name}=2") for name in _TELLING),
]
PATHS = st.lists(st.text("abcXYZ019-_äß中", min_size=1, max_size=8), min_size=1, max_size=4)


@pytest.mark.parametrize("variant", SAME)
def test_variants_of_one_page_have_one_key(variant):
    assert url_key(variant) == url_key(PLAIN) == "example.com/2026/11/harbour-wall-4711"


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_pages_have_different_keys(one, other):
    assert url_key(one) != url_key(other)


def test_the_order_of_the_query_does_not_matter():
    assert url_key("https://example.com/a?b=2&a=1") == url_key("https://example.com/a?a=1&b=2")


def test_an_umlaut_is_the_same_written_or_encoded():
    written = "https://example.de/kultur/orgel-für-jürgen"
    assert url_key(written) == url_key("https://example.de/kultur/" + quote("orgel-für-jürgen"))


@pytest.mark.parametrize(
    "bad", ["", "example.com/a", "/a", "mailto:a@b.c", "ftp://a/b", "http:///a"]
)
def test_what_is_no_web_address_is_refused(bad):
    with pytest.raises(ValueError, match="not an absolute"):
        url_key(bad)


@given(PATHS, st.dictionaries(st.text("abcid", min_size=1, max_size=5), st.text(max_size=5)))
def test_a_key_is_its_own_key(path, query):
    pairs = "&".join(f"{quote(n)}={quote(v)}" for n, v in query.items())
    url = "https://example.com/" + "/".join(map(quote, path)) + (f"?{pairs}" if pairs else "")
    key = url_key(url)
    assert url_key(f"http://{key}") == key
    assert url_key(f"{url}{'&' if pairs else '?'}utm_source=x#top") == key


@given(st.text(max_size=60))
def test_any_text_gives_a_key_or_a_value_error(text):
    for url in (text, f"https://{text}", f"https://example.com/{text}"):
        try:
            key = url_key(url)
        except ValueError:
            continue
        assert len(url_id(key)) == 32
