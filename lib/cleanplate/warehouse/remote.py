"""Remote storage: S3 through boto3, everything else through pyarrow's file systems."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import boto3
import botocore.client
import botocore.exceptions
from pyarrow import fs

from cleanplate.errors import StorageError

_S3_ERRORS = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)
_S3_SCHEMES = ("s3", "s3a", "s3n")


def backend(uri: str) -> S3Backend | ArrowBackend:
    """What reads and writes URIs of this scheme."""
    return S3Backend() if uri.partition("://")[0] in _S3_SCHEMES else ArrowBackend()


@dataclass(frozen=True)
class S3Backend:
    """S3 and what speaks its protocol (AWS_ENDPOINT_URL names another endpoint)."""

    def put_new(self, uri: str, data: bytes) -> bool:
        """Writes on the condition that there is no such key; whether it wrote."""
        bucket, key = split_s3(uri)
        try:
            s3_client().put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
        except botocore.exceptions.ClientError as error:
            if _status(error) in (409, 412):
                return False
            raise StorageError(f"cannot write {uri}: {error}") from error
        except botocore.exceptions.BotoCoreError as error:
            raise StorageError(f"cannot write {uri}: {error}") from error
        return True

    def get(self, uri: str) -> bytes:
        """The object's bytes."""
        bucket, key = split_s3(uri)
        try:
            return bytes(s3_client().get_object(Bucket=bucket, Key=key)["Body"].read())
        except _S3_ERRORS as error:
            raise StorageError(f"cannot read {uri}: {error}") from error

    def size(self, uri: str) -> int:
        """The object's size in bytes."""
        bucket, key = split_s3(uri)
        try:
            return int(s3_client().head_object(Bucket=bucket, Key=key)["ContentLength"])
        except _S3_ERRORS as error:
            raise StorageError(f"cannot read {uri}: {error}") from error

    def walk(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """Every object under the prefix."""
        bucket, start = split_s3(prefix)
        scheme = prefix.partition("://")[0]
        try:
            for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start):
                for item in page.get("Contents", ()):
                    yield f"{scheme}://{bucket}/{item['Key']}", int(item["Size"]), item["LastModified"]
        except _S3_ERRORS as error:
            raise StorageError(f"cannot list {prefix}: {error}") from error

    def delete(self, uri: str) -> None:
        """Removes the object."""
        bucket, key = split_s3(uri)
        try:
            s3_client().delete_object(Bucket=bucket, Key=key)
        except _S3_ERRORS as error:
            raise StorageError(f"cannot delete {uri}: {error}") from error


@dataclass(frozen=True)
class ArrowBackend:
    """abfss://, gs://, hdfs:// and what else pyarrow knows.

    These know no conditional write: two writers of one name may both write, which is harmless because the name
    is the hash of the bytes.
    """

    def put_new(self, uri: str, data: bytes) -> bool:
        """Writes where nothing is; whether it wrote."""
        try:
            system, path = fs.FileSystem.from_uri(uri)
            if system.get_file_info(path).type != fs.FileType.NotFound:
                return False
            system.create_dir(path.rpartition("/")[0], recursive=True)
            with system.open_output_stream(path) as stream:
                stream.write(data)
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot write {uri}: {error}") from error
        return True

    def get(self, uri: str) -> bytes:
        """The file's bytes."""
        try:
            system, path = fs.FileSystem.from_uri(uri)
            with system.open_input_stream(path) as stream:
                return bytes(stream.read())
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot read {uri}: {error}") from error

    def size(self, uri: str) -> int:
        """The file's size in bytes."""
        try:
            system, path = fs.FileSystem.from_uri(uri)
            info = system.get_file_info(path)
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot read {uri}: {error}") from error
        if info.type != fs.FileType.File:
            raise StorageError(f"cannot read {uri}: there is no such file")
        return int(info.size)

    def walk(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """Every file below the folder."""
        try:
            system, path = fs.FileSystem.from_uri(prefix.rstrip("/"))
            infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot list {prefix}: {error}") from error
        for info in infos:
            if info.type == fs.FileType.File:
                rest = info.path[len(path) :].lstrip("/")
                yield f"{prefix.rstrip('/')}/{rest}", int(info.size), info.mtime or datetime.now(timezone.utc)

    def delete(self, uri: str) -> None:
        """Removes the file."""
        try:
            system, path = fs.FileSystem.from_uri(uri)
            if system.get_file_info(path).type != fs.FileType.NotFound:
                system.delete_file(path)
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot delete {uri}: {error}") from error


@functools.cache
def s3_client() -> Any:
    """The process's S3 client; boto3 makes them safe to share between threads."""
    config = botocore.client.Config(retries={"max_attempts": 5, "mode": "standard"}, s3={"addressing_style": "auto"})
    return boto3.client("s3", config=config)


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key of s3://bucket/key (or s3a).

    Raises:
        StorageError: there is no bucket in it.
    """
    bucket, _, key = uri.partition("://")[2].partition("/")
    if not bucket:
        raise StorageError(f"{uri} names no bucket: write it as s3://bucket/key")
    return bucket, key


def _status(error: botocore.exceptions.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
