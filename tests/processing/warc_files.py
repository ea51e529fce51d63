"""WARC files for tests, written record by record as a crawl writes them."""

from __future__ import annotations

import gzip
import json
from datetime import datetime


def record(kind: str, body: bytes, url: str, at: datetime, content_type: str) -> bytes:
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{kind}-{hash(url)}>\r\n"
        f"WARC-Date: {at.strftime('%Y-%m-%dT%H:%M:%SZ')}\r\nWARC-Target-URI: {url}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def response(
    url: str, body: bytes, at: datetime, headers: str = "", status: str = "200 OK"
) -> bytes:
    block = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\n{headers}\r\n".encode() + body
    return record("response", block, url, at, "application/http; msgtype=response")


def statement(url: str, at: datetime, said: dict[str, object]) -> bytes:
    return record("metadata", json.dumps(said).encode(), url, at, "application/json")


def packed(*records: bytes) -> bytes:
    return b"".join(map(gzip.compress, records))
