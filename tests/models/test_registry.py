"""The registry of weights: verified files, and clear errors for everything else."""

import hashlib
import sys
import types
from pathlib import Path

import pytest
import yaml

from cleanplate.config import ModelsConfig
from cleanplate.errors import ModelError, StorageError
from cleanplate.models import cache
from cleanplate.models.registry import Registry

WEIGHTS = b"weights of a tiny model"


def _write(folder: Path, **changes) -> Path:
    (folder / "tiny.bin").write_bytes(WEIGHTS)
    entry = {"uri": "tiny.bin", "sha256": hashlib.sha256(WEIGHTS).hexdigest(), "licence": "MIT", "commercial": True}
    entry.update(changes)
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"models": {"tiny": entry}}))
    return path


def _load(folder: Path, **config) -> Registry:
    return Registry.load(ModelsConfig(**config), base_dir=folder)


def test_shipped_weights_are_there_verified_and_have_cards():
    registry = Registry.load(ModelsConfig(require_commercial=True))
    assert {entry.id for entry in registry.entries} >= {"ppocr_det", "ppocr_rec", "alexnet", "ffdnet"}
    for entry in registry.entries:
        digest = hashlib.sha256(registry.path(entry.id).read_bytes()).hexdigest()
        assert digest == entry.sha256 == registry.hashes()[entry.id]
        card = registry.card(entry.id)
        for word in ("Licence", "Commercial use", "Data", "Training", "Measured", entry.sha256):
            assert word in card, f"card of {entry.id} lacks {word}"


def test_a_relative_path_starts_at_the_file_that_names_it(tmp_path, monkeypatch):
    _write(tmp_path)
    monkeypatch.chdir("/")
    assert _load(tmp_path).path("tiny").read_bytes() == WEIGHTS


@pytest.mark.parametrize("form", ["{path}", "file:{path}", "file://{path}"])
def test_absolute_forms(tmp_path, form):
    _write(tmp_path, uri=form.format(path=tmp_path / "tiny.bin"))
    assert _load(tmp_path).path("tiny") == tmp_path / "tiny.bin"


def test_missing_weights_name_the_file(tmp_path):
    _write(tmp_path, uri="absent.bin")
    with pytest.raises(ModelError, match=r"'tiny' are missing: no file .*absent\.bin"):
        _load(tmp_path).path("tiny")


def test_tampered_weights_are_refused_also_after_a_first_good_check(tmp_path):
    _write(tmp_path)
    registry = _load(tmp_path)
    registry.path("tiny")
    (tmp_path / "tiny.bin").write_bytes(WEIGHTS + b"!")
    with pytest.raises(ModelError, match="were changed"):
        registry.path("tiny")


def test_licence_that_forbids_commercial_use(tmp_path):
    _write(tmp_path, commercial=False, licence="CC-BY-NC-4.0")
    assert _load(tmp_path).path("tiny")
    with pytest.raises(ModelError, match=r"CC-BY-NC-4\.0.*does not permit commercial use"):
        _load(tmp_path, require_commercial=True).path("tiny")


def test_unknown_model_lists_the_known(tmp_path):
    _write(tmp_path)
    with pytest.raises(ModelError, match=r"no model 'other'.*tiny"):
        _load(tmp_path).path("other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: {tiny: {uri: x}}", "'tiny' .* sha256: Field required"),
        ("models: {tiny: {uri: x, sha256: abc, licence: MIT, commercial: true}}", "sha256"),
        ("models: {tiny: 5}", "'tiny'"),
        ("entries: {}", "must hold a mapping 'models"),
        ("models: [", "not valid YAML"),
    ],
)
def test_wrong_registry_files(tmp_path, text, message):
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(ModelError, match=message):
        _load(tmp_path)


def test_a_users_file_adds_and_replaces(tmp_path):
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    own.mkdir()
    shipped.mkdir()
    _write(shipped, licence="old")
    path = _write(own, licence="new")
    registry = _load(shipped, registry_files=(str(path),))
    assert registry.entry("tiny").licence == "new"
    with pytest.raises(ModelError, match="cannot read"):
        _load(shipped, registry_files=(str(tmp_path / "none.yaml"),))


def _fake_storage(monkeypatch, read):
    module = types.ModuleType("cleanplate.warehouse.sources")
    module.read_source = read
    monkeypatch.setitem(sys.modules, "cleanplate.warehouse.sources", module)


def test_remote_weights_are_fetched_once_and_verified(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    calls = []
    _fake_storage(monkeypatch, lambda uri, config: calls.append(uri) or WEIGHTS)
    _write(tmp_path, uri="s3://bucket/tiny.bin")
    for _ in range(2):
        assert _load(tmp_path).path("tiny").read_bytes() == WEIGHTS
    assert calls == ["s3://bucket/tiny.bin"]


def test_remote_weights_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def read(uri, config):
        raise StorageError("no route to bucket")

    _fake_storage(monkeypatch, read)
    _write(tmp_path, uri="s3://bucket/tiny.bin", sha256="0" * 64)
    with pytest.raises(ModelError, match=r"cannot fetch weights of model 'tiny'.*no route"):
        _load(tmp_path).path("tiny")


def test_a_model_is_loaded_once_per_digest_device_and_variant(tmp_path):
    _write(tmp_path)
    registry = _load(tmp_path)
    loads = []

    def load(path):
        loads.append(path)
        return object()

    first = cache.load_once(registry, "tiny", "cpu-test", load)
    assert cache.load_once(registry, "tiny", "cpu-test", load) is first
    assert cache.load_once(registry, "tiny", "cuda:7", load) is not first
    assert cache.load_once(registry, "tiny", "cpu-test", load, "4 threads") is not first
    assert len(loads) == 3
    assert cache.evict("cpu-test") == 2
    assert cache.load_once(registry, "tiny", "cpu-test", load) is not first
    (tmp_path / "tiny.bin").write_bytes(b"other")
    with pytest.raises(ModelError):
        cache.load_once(registry, "tiny", "cpu-test", load)
    cache.evict("cpu-test")
    cache.evict("cuda:7")
