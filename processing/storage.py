"""The lake's object store: a bucket and prefix reached with boto3.

One ``Store`` per process, shared by its threads. Conditional puts (RFC 9110 §13.1 over S3's
``If-Match``/``If-None-Match``) are what every promise of the lake rests on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from processing.exceptions import (
    ConfigurationError,
    ObjectNotFound,
    PreconditionFailed,
    StoreError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

DEFAULT_LAKE = "s3://newslake"
_LAKE_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*?))?/?")
_DELETE_BATCH = 1000  # the most keys S3's DeleteObjects takes

CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_THROTTLED = "run this again later, with less at once if it goes on"
_FULL = "give the store more space (or raise its quota) and run this again: nothing is torn"
MENDS = {
    "NoSuchBucket": "let 'newslake run' create the bucket, or correct NEWSLAKE_LAKE",
    "InvalidAccessKeyId": f"correct {CREDENTIALS}",
    "SignatureDoesNotMatch": f"correct {CREDENTIALS}",
    "ExpiredToken": "renew the session that AWS_SESSION_TOKEN belongs to",
    "AccessDenied": "allow these credentials to list the bucket, and to get, put and delete in it",
    "RequestTimeTooSkewed": "set this machine's clock, best by NTP",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "PermanentRedirect": "set AWS_REGION to the bucket's region",
    "NotImplemented": "use a store that knows conditional writes, see 'newslake doctor'",
    "SlowDown": _THROTTLED,
    "InsufficientStorage": _FULL,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
}
"""What to do about a store's answer, by its error code; 507 counts as InsufficientStorage."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing or a head shows it: key within the lake, size in bytes, ETag."""

    key: str
    size: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Blob:
    """An object read whole; ``age`` is seconds since it was written, by the store's own clock."""

    data: bytes
    etag: str
    age: float


class Store:
    """A lake's bucket and prefix. Keys are relative to the prefix.

    Every method raises StoreError when the store does not answer after boto3's retries or
    refuses us, ObjectNotFound where a key is missing.
    """

    def __init__(self, bucket: str, prefix: str, client: S3Client, delta_options: dict[str, str]):
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.client = client
        self.delta_options = delta_options
        """What deltalake's object store needs to reach the same bucket."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, retries: int = 10) -> Self:
        """The lake that ``NEWSLAKE_LAKE`` and boto3's own variables name.

        Raises ConfigurationError when ``NEWSLAKE_LAKE`` is not ``s3://bucket[/prefix]``.
        """
        bucket, prefix = parse_lake_url(environ.get("NEWSLAKE_LAKE") or DEFAULT_LAKE)
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        config = Config(
            # 10: an outage of 6 s needs 8 attempts; boto3's default of 5 gives up after 2 s.
            retries={"mode": "standard", "total_max_attempts": retries},
            max_pool_connections=32,
            connect_timeout=5,
            read_timeout=60,
            # Stores other than AWS often serve neither bucket host names nor CRC trailers.
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        credentials: dict[str, Any] = {
            "aws_access_key_id": environ.get("AWS_ACCESS_KEY_ID"),
            "aws_secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY"),
            "aws_session_token": environ.get("AWS_SESSION_TOKEN"),
        }
        client = boto3.session.Session(region_name=region, **credentials).client(
            "s3", endpoint_url=endpoint or None, config=config
        )
        client.meta.events.register_first("needs-retry.s3", _as_throttling)
        options = {"AWS_REGION": region, "conditional_put": "etag"}
        if endpoint:
            options["AWS_ENDPOINT_URL"] = endpoint
            options["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
        options |= {name.upper(): value for name, value in credentials.items() if value}
        return cls(bucket, prefix, client, options)

    @property
    def url(self) -> str:
        """The lake's address, without a trailing slash."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def ensure_bucket(self) -> None:
        """Create the bucket when it is missing."""
        try:
            self.client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if _status(error) != 404:
                self._refuse(error, "reach")
            try:
                self.client.create_bucket(Bucket=self.bucket)
            except (ClientError, BotoCoreError) as refused:
                if getattr(refused, "response", {}).get("Error", {}).get("Code") not in (
                    "BucketAlreadyOwnedByYou",
                    "BucketAlreadyExists",
                ):
                    self._refuse(refused, "create")
        except BotoCoreError as error:
            self._refuse(error, "reach")

    def stated_time(self) -> datetime | None:
        """The store's own clock, from its ``Date`` (RFC 9110 §6.6.1); None where it states none."""
        try:
            answer: Any = self.client.list_objects_v2(
                Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1
            )
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "list")
        said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return parsedate_to_datetime(said) if said else None

    def get(self, key: str) -> Blob:
        """The whole object under ``key``."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
            return Blob(answer["Body"].read(), answer["ETag"], _age(answer))
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "read", key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """``length`` bytes of the object from ``offset`` on."""
        wanted = f"bytes={offset}-{offset + length - 1}"
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key, Range=wanted)
            return answer["Body"].read()
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "read", key)

    def exists(self, key: str) -> bool:
        """Whether an object lies under ``key``."""
        try:
            self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except ClientError as error:
            if _status(error) == 404:
                return False
            self._refuse(error, "read", key)
        except BotoCoreError as error:
            self._refuse(error, "read", key)
        return True

    def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        """Write ``data`` under ``key``; its ETag.

        With ``if_match`` only over that ETag, with ``if_none_match`` only where nothing lies.
        Raises PreconditionFailed when that does not hold. A retry after a lost response meets
        its own write: that is told by reading back and counts as success.
        """
        condition: dict[str, Any] = {}
        if if_match is not None:
            condition["IfMatch"] = if_match
        if if_none_match:
            condition["IfNoneMatch"] = "*"
        try:
            answer = self.client.put_object(
                Bucket=self.bucket, Key=self.prefix + key, Body=data, **condition
            )
        except ClientError as error:
            if condition and _status(error) in (404, 409, 412):
                return self._own_write(key, data)
            self._refuse(error, "write", key)
        except BotoCoreError as error:
            self._refuse(error, "write", key)
        return answer["ETag"]

    def _own_write(self, key: str, data: bytes) -> str:
        try:
            found = self.get(key)
        except ObjectNotFound:
            found = None
        if found is None or found.data != data:
            raise PreconditionFailed(
                f"{self.url}/{key} was changed by another writer in the meantime"
            )
        return found.etag

    def put_file(self, key: str, path: Path) -> None:
        """Upload a local file, in parts when it is large."""
        try:
            self.client.upload_file(str(path), self.bucket, self.prefix + key)
        except (ClientError, BotoCoreError, boto3.exceptions.S3UploadFailedError) as error:
            self._refuse(error, "write", key)

    def get_file(self, key: str, path: Path) -> None:
        """Copy the object under ``key`` to a local file, in parts when it is large."""
        try:
            self.client.download_file(self.bucket, self.prefix + key, str(path))
        except (ClientError, BotoCoreError, boto3.exceptions.RetriesExceededError) as error:
            self._refuse(error, "read", key)

    def objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key begins with ``prefix``, in key order."""
        pages = self.client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
                for entry in page.get("Contents", ()):
                    yield StoredObject(
                        entry["Key"][len(self.prefix) :],
                        entry["Size"],
                        entry["ETag"],
                        entry["LastModified"],
                    )
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "list", prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; a key under which nothing lies is passed over."""
        names: list[ObjectIdentifierTypeDef] = [{"Key": self.prefix + key} for key in keys]
        try:
            for start in range(0, len(names), _DELETE_BATCH):
                answer = self.client.delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": names[start : start + _DELETE_BATCH], "Quiet": True},
                )
                for refused in answer.get("Errors", ()):
                    raise StoreError(f"cannot delete {refused['Key']}: {refused.get('Message')}")
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "delete")

    def old_versions(self) -> list[tuple[str, str]]:
        """Key and version id of all that the bucket keeps besides the newest objects.

        Delete markers come last: one that went before what it hides would bring that back.
        """
        try:
            if "Status" not in self.client.get_bucket_versioning(Bucket=self.bucket):
                return []
            pages = self.client.get_paginator("list_object_versions")
            old: list[tuple[str, str]] = []
            markers: list[tuple[str, str]] = []
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for each in page.get("Versions", ()):
                    if not each["IsLatest"]:
                        old.append((each["Key"][len(self.prefix) :], each["VersionId"]))
                for marker in page.get("DeleteMarkers", ()):
                    markers.append((marker["Key"][len(self.prefix) :], marker["VersionId"]))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NotImplemented":
                return []  # a store without versions
            self._refuse(error, "list the versions of")
        except BotoCoreError as error:
            self._refuse(error, "list the versions of")
        return old + markers

    def delete_versions(self, versions: Iterable[tuple[str, str]]) -> None:
        """Remove versions of objects for good, in the order given."""
        try:
            for key, version in versions:
                self.client.delete_object(
                    Bucket=self.bucket, Key=self.prefix + key, VersionId=version
                )
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "delete versions of")

    def abort_uploads(self, before: datetime) -> tuple[int, int]:
        """Give up every upload in parts begun before a moment; how many, and their bytes.

        Such parts are in no listing, but are stored and paid for until somebody gives them up.
        """
        count = size = 0
        uploads = self.client.get_paginator("list_multipart_uploads")
        parts = self.client.get_paginator("list_parts")
        try:
            for page in uploads.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] >= before:
                        continue
                    named: Any = {
                        "Bucket": self.bucket,
                        "Key": upload["Key"],
                        "UploadId": upload["UploadId"],
                    }
                    for listed in parts.paginate(**named):
                        size += sum(part["Size"] for part in listed.get("Parts", ()))
                    self.client.abort_multipart_upload(**named)
                    count += 1
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "clear uploads of")
        return count, size

    def _refuse(self, error: Exception, doing: str, key: str = "") -> NoReturn:
        where = f"{self.url}/{key}".rstrip("/")
        if isinstance(error, ClientError):
            code = error.response.get("Error", {}).get("Code", "")
            if key and code in ("NoSuchKey", "404", "NotFound"):
                raise ObjectNotFound(f"nothing lies under {where}") from error
            if _status(error) == 507:
                code = "InsufficientStorage"
            mend = MENDS.get(
                code, "check the credentials and what they may do with 'newslake doctor'"
            )
            raise StoreError(
                f"cannot {doing} {where}: the store answered {code or _status(error)}"
                f" ({error.response.get('Error', {}).get('Message', 'no message')}); {mend}"
            ) from error
        raise StoreError(
            f"cannot {doing} {where}: {error}; check the endpoint with 'newslake doctor'"
        ) from error


def parse_lake_url(url: str) -> tuple[str, str]:
    """Bucket and prefix of ``s3://bucket[/prefix]``; raises ConfigurationError otherwise."""
    match = _LAKE_URL.fullmatch(url)
    if not match:
        raise ConfigurationError(
            f"NEWSLAKE_LAKE is {url!r}; write it as s3://bucket or s3://bucket/prefix"
        )
    return match["bucket"], match["prefix"] or ""


def _as_throttling(response: tuple[Any, dict[str, Any]] | None, **_: Any) -> None:
    """Have boto3 repeat on a bare 429 too: it knows throttling by S3's own codes alone."""
    if response is not None and response[0].status_code == 429:
        response[1].setdefault("Error", {})["Code"] = "SlowDown"


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _age(answer: Mapping[str, Any]) -> float:
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(said) if said else datetime.now(UTC)
    modified: datetime = answer["LastModified"]
    return max(0.0, (now - modified).total_seconds())
