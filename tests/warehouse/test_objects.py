"""The object store on a local folder, through pyarrow, and on S3."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import socket
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from cleanplate.errors import ContractError, StorageError
from cleanplate.warehouse import remote
from cleanplate.warehouse.objects import ObjectStore

DATA = b"the bytes of a result"
DIGEST = hashlib.sha256(DATA).hexdigest()


def check_store(store):
    """What every kind of storage must do."""
    uri = store.put("b", "b-r0001", DATA, ".PNG")
    assert uri == f"{store.root}/objects/b/b-r0001/{DIGEST}.png"
    assert store.put("b", "b-r0001", DATA, "png") == uri, "again is no error"
    other = store.put("b", "b-r0002", DATA, "png")
    assert other != uri, "two runs share no object"
    assert store.get(uri) == DATA
    assert [(item.run, item.size_bytes) for item in store.list("b")] == [("b-r0001", len(DATA)), ("b-r0002", len(DATA))]
    assert [item.uri for item in store.list("b", "b-r0002")] == [other]
    assert store.delete_run("b", "b-r0001") == 1
    assert [item.uri for item in store.list()] == [other]
    assert store.get(other) == DATA
    with pytest.raises(StorageError):
        store.get(uri)
    assert store.delete_run("b", "b-r0001") == 0
    assert pickle.loads(pickle.dumps(store)) == store


def test_local(tmp_path):
    check_store(ObjectStore(str(tmp_path)))
    assert not (tmp_path / "objects/b/b-r0001").exists(), "an empty folder goes too"


def test_through_pyarrow(tmp_path, monkeypatch):
    """file:// is read by the same backend as abfss:// or gs://."""
    (tmp_path / "objects").mkdir()
    check_store(ObjectStore(f"file://{tmp_path}"))


def test_nothing_is_overwritten_and_a_damaged_object_is_told(tmp_path):
    store = ObjectStore(str(tmp_path))
    uri = store.put("b", "r", DATA, "png")
    os.truncate(uri, 3)
    with pytest.raises(StorageError, match="holds other bytes than its name says"):
        store.put("b", "r", DATA, "png")
    assert os.path.getsize(uri) == 3


def test_many_writers_of_one_object_leave_one_whole_file(tmp_path):
    store = ObjectStore(str(tmp_path))
    data = os.urandom(300_000)
    with ThreadPoolExecutor(8) as pool:
        uris = set(pool.map(lambda _: store.put("b", "r", data, "jpg"), range(24)))
    assert len(uris) == 1
    assert [item.uri for item in store.list()] == list(uris), "no temporary file is left"
    assert store.get(uris.pop()) == data


def test_paths_cannot_leave_the_store(tmp_path):
    store = ObjectStore(str(tmp_path / "wh"))
    (tmp_path / "secret").write_bytes(b"secret")
    for batch, run, extension in (("..", "r", "png"), ("b", "r/../..", "png"), ("b", "r", "../png"), ("", "r", "png")):
        with pytest.raises(ContractError, match="cannot stand in an object's path"):
            store.put(batch, run, DATA, extension)
    for uri in (str(tmp_path / "secret"), f"{store.root}/objects/../../secret"):
        with pytest.raises(StorageError, match="is no object of the warehouse"):
            store.get(uri)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "objects").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot write"):
        ObjectStore(str(tmp_path)).put("b", "r", DATA, "png")


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A bucket of an S3 server on the loopback."""
    if shutil.which("versitygw") is None:
        pytest.skip("versitygw is not on the PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "s3").mkdir()
    environment = os.environ | {"ROOT_ACCESS_KEY": "testkey", "ROOT_SECRET_KEY": "testsecret"}
    command = ["versitygw", "--port", f"127.0.0.1:{port}", "posix", str(tmp_path / "s3")]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    values = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "testkey",
              "AWS_SECRET_ACCESS_KEY": "testsecret", "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    remote.s3_client.cache_clear()
    name = f"test-{uuid.uuid4().hex[:8]}"
    for _ in range(50):
        try:
            remote.s3_client().create_bucket(Bucket=name)
            break
        except remote.botocore.exceptions.EndpointConnectionError:
            time.sleep(0.1)
    yield name
    server.terminate()
    server.wait()
    remote.s3_client.cache_clear()


@pytest.mark.s3
def test_s3(bucket):
    check_store(ObjectStore(f"s3a://{bucket}/wh"))
    store = ObjectStore(f"s3a://{bucket}/other")
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: store.put("b", "r", DATA, "png"), range(16)))) == 1
    uri = store.put("b", "r", DATA, "png")
    remote.s3_client().put_object(Bucket=bucket, Key=uri.split("/", 3)[3], Body=b"damaged")
    with pytest.raises(StorageError, match="holds other bytes"):
        store.put("b", "r", DATA, "png")


@pytest.mark.s3
def test_s3_sources(bucket):
    from cleanplate.config import SourceConfig
    from cleanplate.warehouse.sources import read_source

    remote.s3_client().put_object(Bucket=bucket, Key="photos/a.png", Body=DATA)
    roots = (f"s3://{bucket}/photos",)
    assert read_source(f"s3a://{bucket}/photos/a.png", SourceConfig(allowed_roots=roots)) == DATA
    with pytest.raises(StorageError, match="outside the allowed roots"):
        read_source(f"s3://{bucket}/photosecret/a.png", SourceConfig(allowed_roots=roots))
    with pytest.raises(StorageError, match=r"more than source\.max_bytes"):
        read_source(f"s3://{bucket}/photos/a.png", SourceConfig(max_bytes=3))
    with pytest.raises(StorageError, match="cannot read"):
        read_source(f"s3://{bucket}/photos/missing.png", SourceConfig())
