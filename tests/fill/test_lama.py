"""LaMa by URI: random weights in the real file formats, what the network is shown, tiles and scales, and errors."""

import gc
import hashlib
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from cleanplate.config import Config, ModelsConfig
from cleanplate.errors import ModelError
from cleanplate.fill.base import FillRequest
from cleanplate.fill.lama import LamaEngine, load_inpainting
from cleanplate.models.cache import evict
from cleanplate.models.registry import Registry

LaMa = pytest.importorskip("spandrel.architectures.LaMa").LaMa


def write_registry(folder, **entries):
    models = {}
    for name, (path, options) in entries.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        models[name] = {
            "uri": str(path), "sha256": digest, "licence": "CC-BY-4.0", "commercial": True, "options": options,
        }  # fmt: skip
    (folder / "mine.yaml").write_text(yaml.safe_dump({"models": models}))
    return Registry.load(ModelsConfig(registry_files=(str(folder / "mine.yaml"),)))


@pytest.fixture(scope="module")
def state():
    """Spandrel knows LaMa in one size only: 51 million parameters, 204 MB."""
    torch.manual_seed(1)
    network = LaMa(in_nc=4, out_nc=3)
    # As initialised it answers the same grey everywhere; this spreads its answers over the whole scale.
    torch.nn.init.normal_(network.model.model[-2].weight, std=3.0)
    return network.state_dict()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("lama") / "lama.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    yield path
    path.unlink()
    evict()
    gc.collect()


@pytest.fixture(scope="module")
def registry(weights):
    return write_registry(weights.parent, lama=(weights, {}))


@pytest.fixture(scope="module")
def engine(registry):
    return LamaEngine.build(Config(), registry, "cpu")


@pytest.fixture
def seen(engine):
    """The (crop, mask) of each call of the network, 0..1."""
    calls = []
    hook = engine._network.register_forward_pre_hook(lambda _, given: calls.append(tuple(t.clone() for t in given)))
    yield calls
    hook.remove()


def noise(height=64, width=80, seed=2):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_it_says_what_the_registry_and_spandrel_say(engine):
    assert engine.spec.licence == "CC-BY-4.0"
    assert (engine.spec.size_multiple, engine.spec.minimum_px) == (8, 16)
    assert engine.spec.generative
    assert engine.spec.batchable


def test_the_fill_is_the_networks_and_the_rest_is_the_crop(engine, state, request_of, hole):
    request = request_of(noise(), hole)
    before = request.crop.copy()
    filled = engine.fill([request])[0]
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[hole == 0], request.crop[hole == 0])
    assert np.array_equal(request.crop, before)
    network = LaMa(in_nc=4, out_nc=3).eval()
    network.load_state_dict(state)
    with torch.inference_mode():
        given = torch.from_numpy(request.crop).permute(2, 0, 1)[None] / 255
        direct = network(given, torch.from_numpy(hole)[None, None].float())[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(filled[hole > 0] - direct[hole > 0]).max() <= 0.51
    assert filled[hole > 0].std() > 10


def test_what_is_to_be_removed_never_reaches_the_network(engine, seen, request_of, hole):
    invalid = np.zeros_like(hole)
    invalid[10:19, 20:50] = 1
    request = request_of(noise(), hole, invalid)
    alpha = request.alpha.copy()
    alpha[18:20, 30:36] = 0.2  # the feather is no source either
    crop = request.crop.copy()
    crop[(alpha > 0) | (request.invalid > 0)] = (0, 255, 0)
    first = engine.fill([FillRequest(request.crop, alpha, request.core, request.invalid)])[0]
    second = engine.fill([FillRequest(crop, alpha, request.core, request.invalid)])[0]
    assert np.array_equal(first[alpha > 0], second[alpha > 0])
    for shown, mask in seen:
        assert np.array_equal(mask[0, 0].numpy() > 0, (alpha > 0) | (request.invalid > 0))
        assert shown[0][:, mask[0, 0] > 0].abs().max() == 0


def test_a_batch_is_what_the_crops_are_one_by_one(engine, seen, request_of, hole):
    """Within one grey level: torch may add up in another order for another batch."""
    requests = [request_of(noise(seed=seed), hole) for seed in range(3)]
    requests.insert(1, request_of(noise(40, 80), hole[:40]))
    together = engine.fill(requests)
    assert sorted(shown.shape[0] for shown, _ in seen) == [1, 3]
    for request, filled in zip(requests, together, strict=True):
        assert np.abs(engine.fill([request])[0].astype(int) - filled).max() <= 1


def test_odd_sizes_are_mirrored_to_the_networks_multiple(engine, seen, request_of, hole):
    clean = noise(61, 77)
    filled = engine.fill([request_of(clean, hole[:61, :77])])[0]
    assert filled.shape == clean.shape
    ((shown, mask),) = seen
    assert shown.shape == (1, 3, 64, 80)
    assert torch.equal(shown[:, :, 61:], shown[:, :, 57:60].flip(2))
    assert torch.equal(mask[:, :, :, 77:], mask[:, :, :, 73:76].flip(3))


def test_odd_requests_do_not_crash(engine, seen, request_of):
    clean = noise(5, 7)
    everything, nothing = np.ones((5, 7), np.uint8), np.zeros((5, 7), np.uint8)
    corner = nothing.copy()
    corner[0, 0] = 1
    results = engine.fill([request_of(clean, mask) for mask in (everything, nothing, corner)])
    assert [filled.shape for filled in results] == [(5, 7, 3)] * 3
    assert (results[0] == 128).all()  # without a source there is nothing to invent from
    assert np.array_equal(results[1], clean)
    assert [tuple(shown.shape) for shown, _ in seen] == [(1, 3, 16, 16)]
    assert engine.fill([]) == []


def test_a_thin_hole_in_a_large_crop_is_tiled_at_full_resolution(registry, seen):
    engine = LamaEngine(registry, limit_px=64)
    clean = noise(70, 150)
    hole = np.zeros(clean.shape[:2], np.uint8)
    hole[33:37, 5:145] = 1
    filled = engine.fill([FillRequest(clean, hole.astype(np.float32), hole, hole)])[0]
    assert all(shown.shape[2] <= 64 and shown.shape[3] <= 64 for shown, _ in seen)
    whole = np.where(hole[:, :, None] > 0, np.uint8(0), clean)
    shown = [(tile * 255).round().permute(1, 2, 0).numpy().astype(np.uint8) for tiles, _ in seen for tile in tiles]
    assert np.array_equal(shown[0], whole[:64, :64])
    assert len(shown) == 6
    assert np.array_equal(filled[hole == 0], clean[hole == 0])
    assert filled[hole > 0].std() > 5


class Lighter(torch.nn.Module):
    """Answers each call with a lighter grey, so that seams between tiles would show."""

    calls = 0

    def forward(self, picture, mask):
        self.calls += 1
        return torch.full_like(picture, self.calls / 5)


def test_tiles_melt_into_each_other(registry, monkeypatch):
    engine = LamaEngine(registry, limit_px=64)
    monkeypatch.setattr(engine, "_network", Lighter())
    hole = np.zeros((64, 112), np.uint8)
    hole[30:34] = 1
    filled = engine.fill([FillRequest(noise(64, 112), hole.astype(np.float32), hole, hole)])[0]
    row = filled[31, :, 0].astype(int)
    assert (row[:48] == 51).all()
    assert (row[64:] == 102).all()
    assert 0 <= np.diff(row).min() <= np.diff(row).max() <= 4


def test_a_wide_hole_in_a_large_crop_is_scaled_down(registry, seen):
    engine = LamaEngine(registry, limit_px=64)
    clean = noise(100, 150)
    hole = np.zeros(clean.shape[:2], np.uint8)
    hole[20:80, 40:110] = 1
    dirty = np.where(hole[:, :, None] > 0, np.uint8(255), clean)
    requests = [FillRequest(crop, hole.astype(np.float32), hole, hole) for crop in (clean, dirty)]
    first, second = engine.fill(requests)
    assert [tuple(shown.shape) for shown, _ in seen] == [(1, 3, 48, 64)] * 2
    assert seen[0][0][0][:, seen[0][1][0, 0] > 0].max() == 0
    assert np.array_equal(first[hole == 0], clean[hole == 0])
    assert np.array_equal(first[hole > 0], second[hole > 0])  # through the smaller picture nothing shines in either


def test_bfloat16_is_for_the_arithmetic_only(engine, registry, request_of, hole):
    """Half-precision weights darken LaMa's fills; autocast around float32 weights moves them by a few grey levels."""
    request = request_of(noise(), hole)
    swift = LamaEngine(registry, autocast=True)
    difference = swift.fill([request])[0].astype(int) - engine.fill([request])[0]
    assert {value.dtype for value in swift._network.parameters()} == {torch.float32}
    assert 0 < np.abs(difference).max() <= 40
    assert abs(difference[hole > 0].mean()) < 2


def test_the_fourier_transforms_get_float32_under_autocast(registry):
    """On CUDA there is no transform of bfloat16, and autocast does not step in."""
    units = [m for m in LamaEngine(registry)._network.modules() if type(m).__name__ == "FourierUnit"]
    assert len(units) == 36
    given = torch.zeros(1, 4, 8, 8, dtype=torch.bfloat16)
    for unit in units:
        (hook,) = unit._forward_pre_hooks.values()
        assert hook(unit, (given,))[0].dtype == torch.float32


def test_tampered_weights_are_turned_down(tmp_path):
    path = tmp_path / "lama.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    registry = write_registry(tmp_path, lama=(path, {}))
    save_file({"a": torch.ones(3)}, path)
    with pytest.raises(ModelError, match="weights of model 'lama' were changed"):
        LamaEngine(registry)
    with pytest.raises(ModelError, match="no model 'mine' in the registry"):
        LamaEngine(registry, model_id="mine")


def test_a_missing_package_is_named(registry, monkeypatch):
    evict()
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ModelError, match=r"pip install 'cleanplate\[engines\]'"):
        LamaEngine(registry)


def test_weights_of_something_else_are_named(tmp_path, state):
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"no weights at all")
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, other)
    short = tmp_path / "short.safetensors"
    save_file({name: value.contiguous() for name, value in state.items() if "model.9." not in name}, short)
    for path in (garbage, other, short):
        with pytest.raises(ModelError, match="does not hold a network that spandrel"):
            load_inpainting(path)
    short.unlink()


def test_a_network_that_does_not_fill_is_turned_down(tmp_path):
    architecture = pytest.importorskip("spandrel.architectures.Compact")
    path = tmp_path / "compact.safetensors"
    save_file(architecture.Compact(num_feat=4, num_conv=1).state_dict(), path)
    with pytest.raises(ModelError, match="fills no holes"):
        load_inpainting(path)


def test_plain_state_dicts_load_whatever_the_suffix(tmp_path, state):
    path = tmp_path / "0123abcd"
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    loaded = load_inpainting(path)
    assert not loaded.model.training
    path.unlink()


@pytest.mark.filterwarnings("ignore:.*TorchScript:UserWarning")
def test_a_torchscript_file_is_turned_down_with_advice(tmp_path):
    path = tmp_path / "big-lama.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(ModelError, match="take the state dict out of a TorchScript"):
        load_inpainting(path)
