"""Stable Diffusion by URI: tiny random pipelines in diffusers' format, what they are shown, seeds, and errors."""

import hashlib
import json
import shutil
import socket
import sys

import numpy as np
import pytest
import torch
import yaml

from cleanplate.config import Config, ModelsConfig
from cleanplate.errors import ModelError
from cleanplate.fill.base import FillRequest
from cleanplate.fill.latent import LatentEngine, load_pipeline
from cleanplate.fill.pde import diffuse
from cleanplate.models.cache import evict
from cleanplate.models.registry import Registry

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

SIDE_PX = 64  # native size of the tiny pipelines: 16 latent cells of 4 pixels
TEXT = {
    "vocab_size": 600, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 16, "projection_dim": 16, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
}  # fmt: skip


def tokenizer(folder):
    """One token per letter, as CLIP writes it: vocabulary and merges."""
    folder.mkdir(parents=True)
    letters = [chr(code) for code in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *[f"{letter}</w>" for letter in letters]]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16, bos_token="<|startoftext|>",
        eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip


def parts(folder, **unet):
    """What both pipelines have in common."""
    torch.manual_seed(1)
    return {
        "vae": diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3, norm_num_groups=4,
            up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4, sample_size=SIDE_PX,
        ),
        "unet": diffusers.UNet2DConditionModel(
            **{
                "sample_size": SIDE_PX // 4, "in_channels": 9, "out_channels": 4, "layers_per_block": 1,
                "block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": 16,
                "attention_head_dim": 2, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), **unet,
            }
        ),
        "text_encoder": transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT)),
        "tokenizer": tokenizer(folder),
        "scheduler": diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
    }  # fmt: skip


def save_sd(folder):
    pipeline = diffusers.StableDiffusionInpaintPipeline(
        **parts(folder / "sd words"), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.save_pretrained(folder / "sd")
    return folder / "sd"


def save_sdxl(folder):
    two = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**TEXT))
    pipeline = diffusers.StableDiffusionXLInpaintPipeline(
        **parts(
            folder / "xl words", cross_attention_dim=32, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        ),
        text_encoder_2=two, tokenizer_2=tokenizer(folder / "more words"), add_watermarker=False,
    )  # fmt: skip
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder, two):
        part.half()  # as large pipelines are handed out
    pipeline.save_pretrained(folder / "sdxl")
    return folder / "sdxl"


def pack(folder, kind):
    path = shutil.make_archive(str(folder), kind, folder.parent, folder.name)  # in a folder, as most would pack it
    return folder.parent / path


def write_registry(folder, **entries):
    models = {}
    for name, (path, options) in entries.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        models[name] = {
            "uri": str(path), "sha256": digest, "licence": "CreativeML-OpenRAIL-M", "commercial": True,
            "options": options,
        }  # fmt: skip
    (folder / "mine.yaml").write_text(yaml.safe_dump({"models": models}))
    return Registry.load(ModelsConfig(registry_files=(str(folder / "mine.yaml"),)))


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent")
    diffusers.utils.logging.set_verbosity_error()
    archives = {"latent": (pack(save_sd(folder), "zip"), {}), "xl": (pack(save_sdxl(folder), "tar"), {})}
    yield write_registry(folder, **archives)
    evict()


@pytest.fixture(scope="module", params=["latent", "xl"])
def engine(registry, request):
    return LatentEngine(registry, model_id=request.param, steps=4)


@pytest.fixture(scope="module")
def sd(registry):
    return LatentEngine(registry, steps=4)


@pytest.fixture
def seen(monkeypatch):
    """The arguments of each call of a pipeline of Stable Diffusion."""
    calls = []
    original = diffusers.StableDiffusionInpaintPipeline.__call__

    def record(self, **arguments):
        calls.append(arguments)
        return original(self, **arguments)

    monkeypatch.setattr(diffusers.StableDiffusionInpaintPipeline, "__call__", record)
    return calls


def noise(height=64, width=64, seed=2):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def square(height=64, width=64, top=20, left=20, side=16):
    hole = np.zeros((height, width), np.uint8)
    hole[top : top + side, left : left + side] = 1
    return hole


def request(crop, hole, **others):
    return FillRequest(crop, hole.astype(np.float32), hole, hole, **others)


def test_it_says_what_the_registry_and_the_pipeline_say(registry):
    engine = LatentEngine.build(Config(), registry, "cpu")
    assert engine.spec.licence == "CreativeML-OpenRAIL-M"
    assert (engine.spec.size_multiple, engine.spec.minimum_px) == (8, SIDE_PX)
    assert engine.spec.generative
    assert type(engine._pipeline.scheduler).__name__ == "DDIMScheduler"
    assert engine._pipeline.safety_checker is None


def test_weights_run_in_float32_however_they_are_stored(engine):
    networks = [part for part in engine._pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert len(networks) in (3, 4)
    assert {value.dtype for network in networks for value in network.parameters()} == {torch.float32}


def test_the_hole_is_filled_and_the_rest_is_the_crop(engine):
    crop, hole = noise(), square()
    before = crop.copy()
    filled = engine.fill([request(crop, hole)])[0]
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[hole == 0], crop[hole == 0])
    assert filled[hole > 0].std() > 0
    assert not np.array_equal(filled[hole > 0], diffuse(crop, hole, "telea")[hole > 0])
    assert np.array_equal(crop, before)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_what_is_to_be_removed_never_counts(engine, strength):
    crop, hole = noise(), square()
    invalid = hole | square(top=40, left=5)
    alpha = hole.astype(np.float32)
    alpha[18:20, 20:36] = 0.2  # the feather is no source either
    other = crop.copy()
    other[(alpha > 0) | (invalid > 0)] = (0, 255, 0)
    first, second = engine.fill([FillRequest(c, alpha, hole, invalid, strength=strength) for c in (crop, other)])
    assert np.array_equal(first[alpha > 0], second[alpha > 0])


def test_the_pipeline_is_shown_the_diffused_hole_in_whole_cells(sd, seen):
    crop, hole = noise(), square(top=21, left=22, side=3)
    hole[50, :] = 1  # a stroke that the nearest pixel of a cell would miss
    sd.fill([request(crop, hole, strength=0.5)])
    (call,) = seen
    shown = (call["image"][0] * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    mask = call["mask_image"][0, 0].numpy()
    assert np.array_equal(shown, diffuse(crop, hole, "telea"))
    assert (mask[hole > 0] == 1).all()
    assert np.array_equal(mask, mask[::4, ::4].repeat(4, axis=0).repeat(4, axis=1))
    assert mask.sum() == 16 * 2 + 64 * 4  # 21..23 lies in one cell, 22..24 in two


def test_the_seed_decides(engine):
    crop, hole = noise(), square()
    first, again, other = (engine.fill([request(crop, hole, seed=seed)])[0] for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_prompt_strength_and_guidance_count(registry, sd):
    crop, hole = noise(), square()
    plain = sd.fill([request(crop, hole)])[0]
    assert not np.array_equal(plain, sd.fill([request(crop, hole, prompt="grass")])[0])
    assert not np.array_equal(plain, sd.fill([request(crop, hole, strength=0.5)])[0])
    for changed in ({"guidance_scale": 1.0}, {"steps": 6}, {"scheduler": "EulerDiscreteScheduler"},
                    {"negative_prompt": "sky"}):  # fmt: skip
        other = LatentEngine(registry, **{"steps": 4, **changed})
        assert not np.array_equal(plain, other.fill([request(crop, hole)])[0])


def test_a_batch_is_what_the_crops_are_one_by_one(engine):
    """Within two grey levels: torch may add up in another order for another batch, and each step builds on the last."""
    requests = [request(noise(seed=n), square(top=4 * n), seed=n, prompt="sand" * (n % 2)) for n in range(6)]
    requests[2] = request(noise(40, 90), square(40, 90, 3, 5), seed=9, strength=0.5)
    for one, filled in zip(requests, engine.fill(requests), strict=True):
        assert np.abs(engine.fill([one])[0].astype(int) - filled).max() <= 2


def test_requests_of_one_strength_run_together(sd, seen):
    requests = [request(noise(seed=n), square(), seed=n, strength=(1.0, 0.5)[n % 2]) for n in range(10)]
    sd.fill(requests)
    assert sorted((call["strength"], len(call["image"])) for call in seen) == [(0.5, 1), (0.5, 4), (1.0, 1), (1.0, 4)]
    assert all(generator.device.type == "cpu" for call in seen for generator in call["generator"])


def test_odd_sizes_and_requests_are_mirrored_to_the_native_square(sd, seen):
    crop, hole = noise(45, 51), square(45, 51)
    everything = np.ones((5, 7), np.uint8)
    pixel = np.ones((1, 1), np.uint8)
    corner = np.zeros((5, 7), np.uint8)
    corner[0, 0] = 1
    results = sd.fill([
        request(crop, hole), request(noise(5, 7), everything), request(noise(5, 7), 0 * everything),
        request(noise(5, 7), corner), request(noise(1, 1), pixel),
    ])  # fmt: skip
    assert [filled.shape[:2] for filled in results] == [(45, 51), (5, 7), (5, 7), (5, 7), (1, 1)]
    assert (results[1] == 128).all()  # without a source there is nothing to invent from
    assert np.array_equal(results[2], noise(5, 7))
    (call,) = seen
    assert call["image"].shape == (2, 3, SIDE_PX, SIDE_PX)
    assert torch.equal(call["image"][0, :, 45:], call["image"][0, :, 25:44].flip(1))
    assert sd.fill([]) == []


def test_a_large_crop_is_scaled_down_and_only_its_hole_comes_back(sd, seen):
    crop, hole = noise(150, 200), square(150, 200, 40, 60, 50)
    dirty = np.where(hole[:, :, None] > 0, np.uint8(255), crop)
    first, second = sd.fill([request(crop, hole, strength=0.5), request(dirty, hole, strength=0.5)])
    assert seen[0]["image"].shape == (2, 3, SIDE_PX, SIDE_PX)
    assert np.array_equal(first[hole == 0], crop[hole == 0])
    assert np.array_equal(first[hole > 0], second[hole > 0])
    mask = seen[0]["mask_image"][0, 0].numpy()
    assert mask[12:29, 19:36].all()  # 40..89 and 60..109, scaled by 64 / 200
    assert mask[:48].sum() <= 24 * 24


@pytest.mark.parametrize("strength", [0.0, 0.01, 0.25, 1.0])
def test_every_strength_leaves_a_step(sd, seen, strength):
    sd.fill([request(noise(), square(), strength=strength)])
    assert max(1, int(4 * strength)) == int(4 * seen[0]["strength"])


def test_bfloat16_is_for_the_arithmetic_only(registry, sd):
    crop, hole = noise(), square()
    swift = LatentEngine(registry, steps=4, autocast=True)
    difference = swift.fill([request(crop, hole)])[0].astype(int) - sd.fill([request(crop, hole)])[0]
    assert {value.dtype for value in swift._pipeline.unet.parameters()} == {torch.float32}
    inside = np.abs(difference)[hole > 0]
    assert inside.max() > 0
    assert inside.mean() < 15  # rounding at every step of random weights, but the same picture


def test_nothing_is_asked_of_the_network_and_nothing_stays_behind(registry, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    evict()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for model_id in ("latent", "xl"):
        assert LatentEngine(registry, model_id=model_id, steps=1).fill([request(noise(), square())])
    assert list(tmp_path.iterdir()) == []


def test_a_pipeline_is_loaded_once(registry):
    pipeline = LatentEngine(registry)._pipeline
    assert LatentEngine(registry, steps=3)._pipeline is pipeline
    assert LatentEngine(registry, scheduler="EulerDiscreteScheduler")._pipeline is not pipeline


def test_tampered_weights_are_turned_down(tmp_path):
    path = tmp_path / "sd.zip"
    path.write_bytes(b"one")
    registry = write_registry(tmp_path, latent=(path, {}))
    path.write_bytes(b"two!")
    with pytest.raises(ModelError, match="weights of model 'latent' were changed"):
        LatentEngine(registry)


@pytest.mark.parametrize("package", ["diffusers", "transformers"])
def test_a_missing_package_is_named(registry, monkeypatch, package):
    evict()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=r"pip install 'cleanplate\[engines\]'"):
        LatentEngine(registry)


def test_wrong_contents_are_named(registry, tmp_path):
    folder = tmp_path / "pipeline"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"holds no model_index\.json"):
        load_pipeline(pack(folder, "zip"), {}, registry)
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(ModelError, match="holds a pipeline FluxPipeline; this engine runs StableDiffusionInpaint"):
        load_pipeline(pack(folder, "zip"), {}, registry)
    (folder / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionInpaintPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}'
    )
    with pytest.raises(ModelError, match="does not hold an inpainting pipeline that diffusers can load"):
        load_pipeline(pack(folder, "tar"), {}, registry)
    with pytest.raises(ModelError, match="has no scheduler 'MagicScheduler'"):
        load_pipeline(registry.path("latent"), {}, registry, scheduler="MagicScheduler")


def test_pickled_weights_are_never_read(registry, tmp_path):
    shutil.unpack_archive(registry.path("latent"), tmp_path)
    (weights,) = (tmp_path / "sd" / "unet").glob("*.safetensors")
    weights.unlink()
    torch.save({}, tmp_path / "sd" / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="weights as safetensors"):
        load_pipeline(pack(tmp_path / "sd", "zip"), {}, registry)


def test_an_archive_cannot_write_elsewhere(registry, tmp_path):
    import tarfile

    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "evil", arcname="../../escaped")
    with pytest.raises(ModelError, match="OutsideDestinationError"):
        load_pipeline(tmp_path / "evil.tar", {}, registry)


def test_a_checkpoint_needs_verified_configurations(registry, tmp_path, monkeypatch):
    checkpoint = tmp_path / "0123abcd"  # as the registry caches what it fetched: without a suffix
    checkpoint.write_bytes(b"a checkpoint")
    plain = write_registry(tmp_path, mine=(checkpoint, {}))
    with pytest.raises(ModelError, match=r"options\.config must name the entry"):
        LatentEngine(plain, model_id="mine")
    settings = registry.path("latent")
    both = write_registry(tmp_path, mine=(checkpoint, {"config": "settings"}), settings=(settings, {}))
    calls = []

    def from_single_file(cls, path, config, **others):
        calls.append((path, config, others))
        with open(path, "rb") as file:
            assert file.read() == b"a checkpoint"
        return cls.from_pretrained(config, safety_checker=None)

    monkeypatch.setattr(diffusers.StableDiffusionInpaintPipeline, "from_single_file", classmethod(from_single_file))
    LatentEngine(both, model_id="mine")
    ((path, config, others),) = calls
    assert path.endswith(".safetensors")  # anything else diffusers would unpickle
    assert config.endswith("/sd")  # a folder: anything else diffusers would fetch
    assert others["local_files_only"]
    assert others["safety_checker"] is None
