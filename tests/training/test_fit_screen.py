"""What tells overlays from the photograph: fitted on rows whose truth is known, stored, and read back."""

import contextlib

import numpy as np
import pytest
from safetensors import safe_open
from scipy.special import logit
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

fit_screen = pytest.importorskip("fit_screen")
TERMS = len(fit_screen.TERMS)


def rows_of(count, seed):
    """Groups whose truth is whether the first term is above the second."""
    rng = np.random.default_rng(seed)
    terms, features = rng.normal(size=(count, TERMS)), rng.normal(size=(count, 12))
    truth = terms[:, 0] > terms[:, 1]
    features[:, 3] += 2.0 * truth
    pixels, photographs = rng.integers(20, 4000, count), rng.integers(0, 9, count)
    return np.column_stack([terms, 5 + 3 * features, photographs, pixels, truth]).astype(np.float32)


def test_a_forest_learns_what_its_rows_say():
    rows = rows_of(200, 2)
    chances = fit_screen.fit(rows_of(600, 1)).forest.chances(rows[:, :TERMS].astype(np.float64))
    assert ((chances > 0.5) == (rows[:, -1] > 0)).mean() > 0.8


def test_a_forest_answers_as_scikit_learn_does(monkeypatch):
    monkeypatch.setattr(fit_screen, "_TREES", 30)
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(300, TERMS)).astype(np.float32).astype(np.float64)
    truth, weights = rows[:, 0] + rows[:, 1] * rows[:, 2] > 0, rng.uniform(0.3, 3, 300)
    grown = GradientBoostingClassifier(
        n_estimators=30, learning_rate=0.05, max_depth=5, min_samples_leaf=15, subsample=0.5, max_features=0.2,
        random_state=0,
    ).fit(rows, truth, weights)  # fmt: skip
    forest = fit_screen._grow(rows, truth, weights, 0)
    assert forest.chances(rows) == pytest.approx(grown.predict_proba(rows)[:, 1], abs=1e-5)
    assert np.ptp(forest.chances(rows)) > 0.5


def test_the_regression_of_looks_is_the_one_that_scikit_learn_fits(monkeypatch):
    monkeypatch.setattr(fit_screen, "_STRENGTH", 1.0)
    rows = rows_of(400, 4)
    features, truth, weights = rows[:, TERMS:-3], rows[:, -1] > 0, np.linspace(0.5, 2, len(rows))
    looks = fit_screen._regress(features, truth, weights, 0)
    # With as many components as features, whitened by PCA: the same as whitening by Cholesky, up to a rotation.
    centred = features - features.mean(axis=0)
    scaled = centred / features.std(axis=0)
    white = scaled @ np.linalg.inv(np.linalg.cholesky(np.cov(scaled.T, bias=True))).T
    peer = LogisticRegression(C=1.0, max_iter=300).fit(white, truth, weights)
    assert looks.chances(features) == pytest.approx(peer.predict_proba(white)[:, 1], abs=2e-3)
    assert ((looks.chances(features) > 0.5) == truth).mean() > 0.75


def test_figures_name_what_a_precision_finds():
    rows = rows_of(30, 3)
    perfect = fit_screen.found_at("perfect", rows[:, -1], rows)
    assert perfect[0] == "perfect, precision 0.98: 1.000 of the groups, 1.000 of their pixels, from 1.00 on"
    wrong = fit_screen.found_at("wrong", 1 - rows[:, -1], rows)
    assert wrong[0] == "wrong, precision 0.98: 0.000 of the groups, 0.000 of their pixels"


def test_in_folds_no_photograph_is_judged_by_what_was_fitted_on_it(monkeypatch):
    fitted = []
    fit = fit_screen.fit
    monkeypatch.setattr(fit_screen, "fit", lambda rows: fitted.append(set(rows[:, -3])) or fit(rows))
    rows = rows_of(200, 6)
    scores = fit_screen.scores_in_folds(rows, 3)
    assert [set(range(9)) - seen for seen in fitted] == [{0, 3, 6}, {1, 4, 7}, {2, 5, 8}]
    first = rows[:, -3] % 3 == 0
    assert scores["both"][first] == pytest.approx(fit_screen.scores_of(fit(rows[~first]), rows[first])["both"])
    assert scores["the network's own score"] == pytest.approx(rows[:, 0])


def test_every_picture_of_every_round_is_drawn_once():
    signs = next(iter(fit_screen.read_signs()))
    tasks = fit_screen.tasks_of([fit_screen.Path("a.webp"), fit_screen.Path(signs)], 2)
    assert [task.photograph for task in tasks] == [0, 1, 1, 1, 1, 1] * 2
    assert len({task.number for task in tasks}) == len(tasks)


def own_rows(name, count, seed):
    """Rows of a model, as the command stores them: marks are not looked at."""
    rows = rows_of(count, seed)
    return rows if name in fit_screen.LOOKED_AT else np.delete(rows, np.s_[len(fit_screen.TERMS) : -3], axis=1)


def test_more_rows_are_fitted_on_but_not_judged(tmp_path, monkeypatch):
    fitted, judged = [], []
    fit, in_folds = fit_screen.fit, fit_screen.scores_in_folds
    monkeypatch.setattr(fit_screen, "fit", lambda rows: fitted.append(len(rows)) or fit(rows))
    monkeypatch.setattr(fit_screen, "scores_in_folds", lambda rows, n: judged.append(len(rows)) or in_folds(rows, n))
    stored, more, out = (tmp_path / name for name in ("rows.npz", "more.npz", "screen.safetensors"))
    sizes = {stored: {"train": 200, "heldout": 90}, more: {"train": 120}}
    for path, parts in sizes.items():
        keys = [(part, name, size) for part, size in parts.items() for name in fit_screen.MODELS]
        np.savez(path, **{f"{part} {name}": own_rows(name, size, size) for part, name, size in keys})
    words = ["--photos", "x", "--rows", str(stored), "--also", str(more), "--out", str(out), "--folds", "2"]
    monkeypatch.setattr("sys.argv", ["fit_screen.py", *words])
    fit_screen.main()
    assert "320 lines" in out.with_suffix(".md").read_text()
    assert judged == [200, 200]
    assert fitted[0] == fitted[3] == 320  # the shipped judge of each model; those of the folds have less
    assert max(fitted[1:3] + fitted[4:]) < 200


def test_the_command_writes_judges_that_the_package_reads(tmp_path, monkeypatch):
    stored = tmp_path / "rows.npz"
    keys = [(part, name) for part in ("train", "heldout") for name in fit_screen.MODELS]
    np.savez(stored, **{f"{part} {name}": own_rows(name, 200, 5) for part, name in keys})
    out = tmp_path / "screen.safetensors"
    words = ["fit_screen.py", "--photos", "x", "--rows", str(stored), "--out", str(out)]
    monkeypatch.setattr("sys.argv", words)
    fit_screen.main()
    assert "200 lines" in out.with_suffix(".md").read_text()
    with safe_open(out, framework="numpy") as file:
        assert file.metadata()["terms"].split() == list(fit_screen.TERMS)
        looks = {f"lines.{part}" for part in fit_screen.LOOKS}
        assert set(file.keys()) == looks | {f"{m}.{part}" for m in fit_screen.MODELS for part in fit_screen.FOREST}


def test_judges_that_are_not_asked_for_stay_the_packages(tmp_path, monkeypatch):
    packaged = {name: fit_screen.fit(own_rows(name, 150, 1)) for name in fit_screen.MODELS}
    monkeypatch.setattr(fit_screen, "load_screen", lambda: packaged)
    stored, out = tmp_path / "rows.npz", tmp_path / "screen.safetensors"
    keys = [(part, name) for part in ("train", "heldout") for name in fit_screen.MODELS]
    np.savez(stored, **{f"{part} {name}": own_rows(name, 200, 5) for part, name in keys})
    judged = []
    monkeypatch.setattr(fit_screen, "scores_in_folds", lambda rows, folds: judged.append(rows.shape[1]) or {})
    words = ["--photos", "x", "--rows", str(stored), "--only", "marks", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["fit_screen.py", *words])
    fit_screen.main()
    assert judged == [own_rows("marks", 1, 1).shape[1]]
    assert "200 marks" in out.with_suffix(".md").read_text()
    assert "200 lines" not in out.with_suffix(".md").read_text()
    with safe_open(out, framework="numpy") as file:
        limits = {name: file.get_tensor(f"{name}.limit") for name in fit_screen.MODELS}
    assert np.array_equal(limits["lines"], packaged["lines"].forest.limit)
    assert not np.array_equal(limits["marks"], packaged["marks"].forest.limit)


def test_the_average_of_two_judges_has_the_mean_of_their_odds():
    one, other = fit_screen.fit(rows_of(150, 1)), fit_screen.fit(rows_of(400, 2))
    terms = rows_of(60, 3)[:, :TERMS].astype(np.float64)
    features = np.random.default_rng(4).normal(size=(60, 12)).astype(np.float32)
    both = fit_screen.averaged(one, other)
    for part, asked in (("forest", terms), ("looks", features)):
        odds = [logit(getattr(judge, part).chances(asked)) for judge in (one, other, both)]
        assert odds[2] == pytest.approx((odds[0] + odds[1]) / 2, abs=1e-3)
    assert fit_screen.averaged(one, fit_screen.Judge(other.forest)).looks is None


def test_collecting_fits_nothing(tmp_path, monkeypatch, capsys):
    rows, out = tmp_path / "rows.npz", tmp_path / "screen.safetensors"
    given = []
    monkeypatch.setattr(fit_screen, "split_photographs", lambda folders: ([fit_screen.Path("a.webp")], []))
    monkeypatch.setattr(fit_screen, "_open_eyes", lambda settings: None)
    monkeypatch.setattr(fit_screen, "ProcessPoolExecutor", lambda *told: contextlib.nullcontext(Serial()))
    monkeypatch.setattr(fit_screen, "_rows_of", lambda task: given.append(task.kind) or [("lines", np.ones(60, "f4"))])
    words = ["fit_screen.py", "--photos", "x", "--rounds", "4", "--kinds", "scene_text", "stamp", "--out", str(out)]
    monkeypatch.setattr("sys.argv", [*words, "--collect"])
    with pytest.raises(SystemExit):
        fit_screen.main()
    assert "say where" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*words, "--collect", "--rows", str(rows)])
    fit_screen.main()
    assert not out.exists()
    assert given == ["scene_text", "scene_text", "scene_text", "scene_text"]
    with np.load(rows) as stored:
        assert {name: values.shape[0] for name, values in stored.items()} == {
            "train lines": 4, "train marks": 0, "heldout lines": 0, "heldout marks": 0
        }  # fmt: skip


class Serial:
    """A pool that works where it stands."""

    def map(self, function, tasks, chunksize):
        return map(fit_screen._rows_of, tasks)
