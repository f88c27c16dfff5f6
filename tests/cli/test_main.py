"""Verbs, help and exit codes; what needs tables is tested with them."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.cli.ingest import parse_columns
from cleanplate.cli.main import VERBS, build_parser, main
from cleanplate.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FAST = ["--set", "detect.detectors=[given]", "--set", "metrics.lpips=false", "--set", "source.guard=none"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_that_parses(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    lines = [line.strip() for line in text.splitlines()]
    example = next(line for line in lines if line.startswith("cleanplate "))
    options = build_parser().parse_args(shlex.split(example)[1:])
    assert options.verb == verb


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_job(verb):
    text = (ROOT / "jobs" / f"{verb}.py").read_text()
    assert f'main(["{verb}", *sys.argv[1:]])' in text


def test_unknown_arguments_exit_with_2():
    with pytest.raises(SystemExit) as stop:
        main(["clean", "--bogus"])
    assert stop.value.code == 2


def test_a_bad_setting_exits_with_2_and_names_the_nearest(tmp_path, capsys):
    code = main(["preview", str(tmp_path), "--out", str(tmp_path / "out"), "--set", "mask.feather=1"])
    assert code == 2
    assert "mask.feather_sigma_px" in capsys.readouterr().err


def test_a_missing_input_exits_with_5(tmp_path, capsys):
    assert main(["preview", str(tmp_path / "no.png"), "--out", str(tmp_path / "out")]) == 5
    assert "does not exist" in capsys.readouterr().err


def test_tampered_weights_exit_with_5(tmp_path, capsys):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"tampered")
    entry = {"uri": str(weights), "sha256": "0" * 64, "licence": "MIT", "commercial": True}
    entry |= {"architecture": "none", "card": "none"}
    file = tmp_path / "models.yaml"
    file.write_text(json.dumps({"models": {"mine": entry}}))
    assert main(["models", "--set", f"models.registry_files=['{file}']"]) == 5
    assert "mine" in capsys.readouterr().err


def test_print_config_prints_what_loads_again(capsys, tmp_path):
    assert main(["clean", "--batch", "b", "--warehouse", "w", "--profile", "final", "--print-config"]) == 0
    assert "feather_sigma_px" in capsys.readouterr().out


def test_preview_writes_the_result_the_mask_and_a_line(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = np.full((40, 50, 3), 120, np.uint8)
    pixels[10:20, 10:30] = 5
    Pillow.fromarray(pixels).save(folder / "a.png")
    (folder / "broken.png").write_bytes(b"nothing")
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = np.zeros((40, 50), np.uint8)
    mask[8:22, 8:32] = 255
    Pillow.fromarray(mask).save(masks / "a.png")
    out = tmp_path / "out"
    assert main(["preview", str(folder), "--out", str(out), "--masks", str(masks), *FAST]) == 0
    assert "1 cleaned, 1 failed" in capsys.readouterr().out
    lines = {line["image"]: line for line in map(json.loads, (out / "outcomes.jsonl").read_text().splitlines())}
    assert lines["a.png"]["status"] == "cleaned"
    assert set(lines["a.png"]["regions"][0]) >= {"box", "kind", "score", "engine", "reason", "confidence"}
    assert lines["broken.png"]["error"]["stage"] == "decode"
    with Pillow.open(out / "a.png") as after, Pillow.open(out / "a.mask.png") as soft:
        assert np.abs(np.array(after).astype(int) - 120).max() <= 3
        assert (np.array(soft) > 0).sum() >= 14 * 24
    assert not (out / "broken.png").exists()
    assert np.array_equal(np.array(Pillow.open(folder / "a.png")), pixels)


def test_preview_enhances_the_worst_share_of_its_inputs(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number, sigma in enumerate((6, 30, 12, 40)):
        grain = rng.normal(120, sigma, (48, 64, 3))
        Pillow.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    asked = ["--set", "enhance.steps=[denoise]", "--set", "enhance.worst_share=0.5"]
    assert main(["preview", str(folder), "--out", str(out), *asked, *FAST]) == 0
    lines = {line["image"]: line for line in map(json.loads, (out / "outcomes.jsonl").read_text().splitlines())}
    assert {name for name, line in lines.items() if line["status"] == "cleaned"} == {"1.png", "3.png"}
    assert [step["name"] for step in lines["1.png"]["enhancement"]["steps"]] == ["denoise"]
    assert "score" in lines["0.png"]["enhancement"]["reason"]
    assert (out / "0.png").read_bytes() == (folder / "0.png").read_bytes()


def test_preview_never_writes_over_an_original(tmp_path, capsys):
    Pillow.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    assert main(["preview", str(tmp_path / "a.png"), "--out", str(tmp_path), *FAST]) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_two_inputs_of_one_name_are_refused(tmp_path, capsys):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Pillow.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / name / "a.png")
    inputs = [str(tmp_path / name / "a.png") for name in ("one", "two")]
    assert main(["preview", *inputs, "--out", str(tmp_path / "out"), *FAST]) == 2
    assert "both be written as a.png" in capsys.readouterr().err


def test_preview_starts_no_jvm(tmp_path):
    Pillow.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    code = (
        "import sys; from cleanplate.cli.main import main; "
        f"code = main(['preview', {str(tmp_path / 'a.png')!r}, '--out', {str(tmp_path / 'out')!r}, *{FAST!r}]); "
        "sys.exit(code or ('pyspark' in sys.modules) * 9 or ('delta' in sys.modules) * 8)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("text", ["uri", "uri=", "=path"])
def test_columns_must_be_pairs(text):
    with pytest.raises(ConfigError, match="uri=path"):
        parse_columns(text)


def test_columns_are_parsed():
    assert parse_columns("uri=path, rights=licence") == {"uri": "path", "rights": "licence"}
