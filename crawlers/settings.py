"""The Scrapy project's settings: each with Scrapy's default and why ours differs."""

BOT_NAME = "newslake"  # scrapybot

USER_AGENT = "newslake/0.1 (+https://github.com/newslake/newslake)"
# Scrapy/VERSION: site owners must be able to tell us apart and to reach us.

DEFAULT_REQUEST_HEADERS = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate",
}
# Adds Accept-Language: en, which turns multilingual sites English, and br and zstd, which few
# readers of WARC files unpack.

# --- Nothing that listens, and nothing that is not the web ---
TELNETCONSOLE_ENABLED = False  # True: a Python console on a port
REMOTE_CONTROL_ENABLED = False  # True: runs code that comes over HTTP
DOWNLOAD_HANDLERS = {
    "data": None,
    "file": None,
    "ftp": None,
    "http": "crawlers.connections.Connections",
    "https": "crawlers.connections.Connections",
    "s3": None,
}  # all on: a feed names URLs; and none looks where a connection leads
DOWNLOAD_VERIFY_CERTIFICATES = True  # False: pages are stored as what their site said
COOKIES_ENABLED = False  # True: nothing here logs in, and cookies tie requests together
HTTPCACHE_ENABLED = False  # False: the state's conditional GETs do it, across runs
METAREFRESH_ENABLED = False  # True: news pages reload themselves, which looks like a redirect
FEEDS: dict[str, object] = {}  # none: pages go to WARC, never through item exports

# --- Bounds; on headers: crawlers.connections, on listings: crawlers.reading, crawlers.listing and
# crawlers.spider, which also bounds a source's time ---
DOWNLOAD_MAXSIZE = 8 * 1024 * 1024  # 1 GB; listings carry their own, larger one
DOWNLOAD_WARNSIZE = 0  # 32 MB: the limit above already speaks
DOWNLOAD_TIMEOUT = 30  # 180 s, which a few dead hosts turn into hours
DNS_TIMEOUT = 10  # 60 s
REACTOR_THREADPOOL_MAXSIZE = 64  # 10: name servers that do not answer would hold up all others
REDIRECT_MAX_TIMES = 5  # 20
RETRY_TIMES = 1  # 2: the next run asks again anyway
RETRY_HTTP_CODES = [
    500,
    502,
    503,
    504,
    522,
    524,
    408,
]  # with 429: who says 'slow down' is left alone
RETRY_GIVE_UP_LOG_LEVEL = "INFO"  # ERROR: a URL that fails is a line of the ledger, no fault here
HTTPERROR_ALLOW_ALL = True  # False: each status becomes a state of its own

# --- Pace ---
ROBOTSTXT_OBEY = False  # False: crawlers.politeness obeys it, by RFC 9309 and with Crawl-delay
AUTOTHROTTLE_ENABLED = False  # False: crawlers.politeness does it, never below what is asked for
DOWNLOAD_DELAY = 1.0  # 0; each source's own delay takes its place
DOWNLOAD_DELAY_JITTER = 0.0  # 0.5, which halves a Crawl-delay at times
CONCURRENT_REQUESTS_PER_DOMAIN = 1  # 8; each source's own concurrency takes its place

DOWNLOADER_MIDDLEWARES = {
    "crawlers.guards.ForgottenGuard": 30,
    "crawlers.guards.AddressGuard": 40,
    "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,  # listings may name any host
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
    "crawlers.politeness.Politeness": 560,  # below the retries at 550: it sees each attempt
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": None,
    "crawlers.middlewares.Decompression": 590,
    "crawlers.middlewares.WireCapture": 595,
    "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": None,
    "crawlers.middlewares.Redirects": 600,
}

TWISTED_REACTOR = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
# The default too; stated since the spider's coroutines need it.

LOG_INSTALL_ROOT_HANDLER = False  # True: text; crawlers.log_lines keeps level and source apart
LOG_VERSIONS: list[str] = []  # ten libraries
LOGSTATS_INTERVAL = 60.0  # 60: its line is the sign of life in a task's log
STATS_DUMP = False  # True: the result file says what counts
