"""What tells overlays from the photograph: fitted on rows whose truth is known, stored, and read back."""

import numpy as np
import pytest
from safetensors import safe_open

fit_screen = pytest.importorskip("fit_screen")


def rows_of(count, seed):
    """Groups whose truth is whether the first term is above the second."""
    rng = np.random.default_rng(seed)
    terms = rng.normal(size=(count, len(fit_screen.TERMS)))
    return np.column_stack([terms, rng.integers(20, 4000, count), terms[:, 0] > terms[:, 1]]).astype(np.float64)


def test_a_forest_learns_what_its_rows_say():
    chances = fit_screen.fit(rows_of(600, 1)).chances(rows_of(200, 2)[:, :-2])
    assert ((chances > 0.5) == (rows_of(200, 2)[:, -1] > 0)).mean() > 0.8


def test_figures_name_what_a_precision_finds():
    rows = rows_of(30, 3)
    perfect = fit_screen.found_at("perfect", rows[:, -1], rows)
    assert perfect[0] == "perfect, precision 0.98: 1.000 of the groups, 1.000 of their pixels, from 1.00 on"
    wrong = fit_screen.found_at("wrong", 1 - rows[:, -1], rows)
    assert wrong[0] == "wrong, precision 0.98: 0.000 of the groups, 0.000 of their pixels"


def test_the_command_writes_forests_that_the_package_reads(tmp_path, monkeypatch):
    stored = tmp_path / "rows.npz"
    parts = [f"{part} {name}" for part in ("train", "heldout") for name in fit_screen.MODELS]
    np.savez(stored, **dict.fromkeys(parts, rows_of(200, 5)))
    out = tmp_path / "screen.safetensors"
    words = ["fit_screen.py", "--photos", "x", "--rows", str(stored), "--out", str(out)]
    monkeypatch.setattr("sys.argv", words)
    fit_screen.main()
    assert "200 lines" in out.with_suffix(".md").read_text()
    with safe_open(out, framework="numpy") as file:
        assert file.metadata()["terms"].split() == list(fit_screen.TERMS)
        assert set(file.keys()) == {f"{name}.{part}" for name in fit_screen.MODELS for part in fit_screen.PARTS}
