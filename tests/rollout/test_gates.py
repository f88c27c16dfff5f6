"""The file of gates: the shipped one, and mistakes that are named by their line."""

import pytest

from cleanplate.config import conf_dir, load_config
from cleanplate.errors import ConfigError
from cleanplate.rollout.gates import gates_file, load_gates

GOOD = """\
# limits
gates:
  - name: failed
    share: status == "failed"
    limit: 0.01
"""


def written(tmp_path, text):
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    return path


def test_the_shipped_gates_hold_the_limits_that_were_asked_for():
    gates = {gate.name: gate for gate in load_gates(gates_file(load_config()))}
    limits = {name: gates[name].limit for name in ("failed", "inconsistent_background", "residual_text", "review")}
    assert limits == {"failed": 0.01, "inconsistent_background": 0.01, "residual_text": 0.01, "review": 0.08}
    assert (gates["perceptual_error"].rise, gates["perceptual_error"].on_missing) == (0.12, "pass")
    assert gates["pixels_outside"].limit == gates["coefficients_outside"].limit == 0
    assert gates_file(load_config()) == conf_dir() / "gates.yaml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("share:", "shere:", "line 4: a gate has no 'shere'; the nearest valid name is 'share'"),
        ('status == "failed"', "statis == 1", "line 4: share: there is no fact 'statis'; the nearest is 'status'"),
        ('status == "failed"', "status > 2", "line 4: share: 'status > 2' compares what cannot be compared"),
        ('status == "failed"', "open('x')", "line 4: share: .*not allowed"),
        ('status == "failed"', "seam", "line 4: share: 'seam' must be true or false for an image"),
        ("share: status", "mean: status", "line 4: mean: .* must be a number for an image"),
        ("limit: 0.01", "limit: much", "line 5: limit: .*number"),
        ("limit: 0.01", "of: filled > 0", "line 3: give `limit` or `rise`"),
        ("limit: 0.01", "rise: 0.1", "line 3: `rise` goes with `mean`"),
        ("limit: 0.01", "limit: 0.01\n    mean: seam", "line 3: a gate measures one thing"),
        ("limit: 0.01", "limit: 0.01\n    severity: fatal", "line 6: severity"),
        ("name: failed", "name: Failed now", "line 3: name"),
        ("gates:", "gate:", "line 1: write `gates:`"),
        ("  - name: failed\n    share", "  - just text\n  - share", "line 3: a gate is a mapping"),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path, old, new, message):
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_gates(path)


def test_a_name_stands_once_and_a_file_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="line 6: a second gate of the name 'failed'"):
        load_gates(written(tmp_path, GOOD + GOOD.split("gates:\n")[1]))
    with pytest.raises(ConfigError, match="cannot read the gates"):
        load_gates(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_gates(written(tmp_path, "gates: ["))
