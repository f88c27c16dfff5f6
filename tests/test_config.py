"""Layers, unknown keys, digests."""

import pytest
import yaml

from cleanplate.config import Config, conf_dir, known_keys, load_config, parse_override
from cleanplate.errors import ConfigError


def test_default_yaml_says_what_the_models_say():
    assert load_config() == Config()


@pytest.mark.parametrize("profile", ["preview", "final", "forensic", "clarify"])
def test_every_profile_loads(profile):
    assert load_config(profile).seed == 4412


def test_later_layers_win(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("mask: {feather_sigma_px: 1.0, merge_gap_px: 9}\n")
    second.write_text("mask: {feather_sigma_px: 3.0}\n")
    config = load_config(None, [str(first), str(second)], ["mask.core_threshold=0.4"])
    assert (config.mask.feather_sigma_px, config.mask.merge_gap_px, config.mask.core_threshold) == (3.0, 9, 0.4)


def test_a_setting_wins_over_files(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("seed: 1\n")
    assert load_config(None, [str(file)], ["seed=2"]).seed == 2


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(ConfigError, match=r"mask\.feather_sigma.*nearest valid name is 'mask\.feather_sigma_px'"):
        load_config(overrides=["mask.feather_sigma=1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mask", "section.name=value"),
        ("mask.=1", "section.name=value"),
        ("verify.min_confidence=2", "verify.min_confidence"),
        ("mask=3", "mask"),
    ],
)
def test_bad_settings_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=[override])


def test_an_unknown_profile_lists_the_known():
    with pytest.raises(ConfigError, match="there are: clarify, final, forensic, preview"):
        load_config("finale")


def test_unreadable_files_are_named(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    plain = tmp_path / "plain.yaml"
    plain.write_text("just text")
    for path, message in [(broken, "not valid YAML"), (plain, "must hold sections"), (tmp_path / "no", "cannot read")]:
        with pytest.raises(ConfigError, match=message):
            load_config(None, [str(path)])


def test_the_digest_follows_what_changes_pixels_only():
    base = Config().digest()
    assert load_config(overrides=["run.wave_images=7", "models.device=cpu", "models.threads=3"]).digest() == base
    assert load_config(overrides=["mask.feather_sigma_px=1"]).digest() != base


def test_the_printed_configuration_loads_again(tmp_path):
    path = tmp_path / "printed.yaml"
    path.write_text(load_config("final").to_yaml())
    assert load_config(None, [str(path)]) == load_config("final")


def test_default_yaml_names_every_key():
    values = yaml.safe_load((conf_dir() / "default.yaml").read_text())
    written = {f"{name}.{key}" for name, section in values.items() if isinstance(section, dict) for key in section}
    assert {key for key in known_keys() if "." in key} == written


def test_overrides_are_read_as_yaml():
    assert parse_override("a.b=[1, x]") == {"a": {"b": [1, "x"]}}


def test_steps_rise_to_all_images():
    assert load_config(overrides=["rollout.steps=[0.05, 1]"]).rollout.steps == (0.05, 1.0)
    for steps in ("[]", "[0.1]", "[0.2, 0.1, 1]", "[0, 1]"):
        with pytest.raises(ConfigError, match=r"rollout\.steps"):
            load_config(overrides=[f"rollout.steps={steps}"])


def test_how_a_batch_is_rolled_out_changes_no_digest_but_its_arms_do(tmp_path):
    base = Config().digest()
    assert load_config(overrides=["rollout.steps=[1]", "rollout.drift=0.5"]).digest() == base
    arms = ["rollout.arm_b_profile=final", "rollout.arm_b_share=0.1"]
    with_arms = load_config(overrides=arms)
    assert with_arms.digest() != base
    assert load_config(overrides=[*arms, "rollout.arm_b_share=0.2"]).digest() != with_arms.digest()
    assert load_config(overrides=["rollout.arm_b_profile=preview", arms[1]]).digest() != with_arms.digest()


def test_arm_b_has_its_own_profile_and_the_same_settings(tmp_path):
    arms = ["rollout.arm_b_profile=final", "rollout.arm_b_share=0.1"]
    config = load_config("preview", (), [*arms, "mask.merge_gap_px=9"])
    assert Config().arm_b() is None
    other = config.arm_b()
    plain = load_config("final", (), ["mask.merge_gap_px=9"])
    assert other == plain
    assert config.verify == load_config("preview").verify
    printed = tmp_path / "printed.yaml"
    printed.write_text(config.to_yaml())
    again = load_config(None, [str(printed)])
    assert again.arm_b() == other
    assert again.digest() == config.digest()


def test_marks_that_no_template_could_be_made_of_are_refused():
    with pytest.raises(ConfigError, match="fewest_images must not be more"):
        load_config(overrides=["marks.template_images=8"])
