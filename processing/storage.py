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

    def folders(self, prefix: str) -> list[str]:
        """The names directly under ``prefix`` (which ends in a slash) that hold objects."""
        pages = self.client.get_paginator("list_objects_v2")
        full = self.prefix + prefix
        try:
            return [
                entry["Prefix"][len(full) :].rstrip("/")
                for page in pages.paginate(Bucket=self.bucket, Prefix=full, Delimiter="/")
                for entry in page.get("CommonPrefixes", ())
            ]
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

    def _refuse(self, error: Exception, doing: str, key: str = "") -> NoReturn:
        where = f"{self.url}/{key}".rstrip("/")
        if isinstance(error, ClientError):
            code = error.response.get("Error", {}).get("Code", "")
            if key and code in ("NoSuchKey", "404", "NotFound"):
                raise ObjectNotFound(f"nothing lies under {where}") from error
            raise StoreError(
                f"cannot {doing} {where}: the store answered {code or _status(error)}"
                f" ({error.response.get('Error', {}).get('Message', 'no message')});"
                " check the credentials and what they may do with 'newslake doctor'"
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


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _age(answer: Mapping[str, Any]) -> float:
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(said) if said else datetime.now(UTC)
    modified: datetime = answer["LastModified"]
    return max(0.0, (now - modified).total_seconds())
