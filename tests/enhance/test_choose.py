"""The choice: what an image needs, in words and numbers, and the upscaler that suits its origin."""

import pytest

from cleanplate.config import EnhanceConfig, UpscaleConfig, load_config
from cleanplate.enhance.choose import choose, summary, upscaler_for
from cleanplate.enhance.share import score_below, with_share_decided
from cleanplate.errors import ConfigError

ALL = EnhanceConfig(steps=("deartifact", "denoise", "polish"))


def _chosen(analysis, enhance=ALL, upscale=None, factor=1, score=None):
    needs = choose(analysis, enhance, upscale or UpscaleConfig(), factor, score)
    return [need.name for need in needs if need.is_needed], summary(needs)


def test_a_clean_picture_needs_nothing_and_the_reason_says_so(analysis_of):
    assert _chosen(analysis_of(noise_rgb=1.2, blur=0.6)) == (
        [], "no sign of JPEG: no deartifact; noise 1.2 <= 4: no denoise; blur 0.6 <= 0.8 px: no polish"
    )  # fmt: skip


def test_what_is_measured_is_what_runs(analysis_of):
    poor = analysis_of(jpeg_quality=35.0, jpeg_evidence="tables", double_compressed=True, noise_rgb=7.2, blur=1.4)
    names, reason = _chosen(poor)
    assert names == ["deartifact", "denoise", "polish"]
    assert reason == (
        "JPEG quality 35 by its tables, compressed twice < 75: deartifact; noise 7.2 > 4: denoise; "
        "blur 1.4 > 0.8 px: polish"
    )
    assert _chosen(poor, EnhanceConfig(steps=("denoise",)))[0] == ["denoise"]
    assert _chosen(poor, EnhanceConfig())[0] == []


def test_an_upscaling_is_prepared_even_where_nothing_else_is_asked_for(analysis_of):
    social = analysis_of(jpeg_quality=40.0, jpeg_evidence="tables", origin="social_jpeg")
    scan = analysis_of(noise_rgb=9.0, origin="scan")
    assert [_chosen(a, EnhanceConfig(), factor=2)[0] for a in (social, scan, analysis_of())] == [
        ["deartifact"], ["denoise"], []
    ]  # fmt: skip
    assert _chosen(social, EnhanceConfig(), UpscaleConfig(prepare=()), 2)[0] == []


def test_texture_is_not_taken_for_noise(analysis_of):
    texture = analysis_of(noise_rgb=9.1, noise_luma=9.0, noise_chroma=1.8, noise_correlation=0.6)
    names, reason = _chosen(texture)
    assert names == []
    assert "noise 9.1 > 4, but correlated 0.60 > 0.4 and of 0.20 < 0.6 colour, as texture is: no denoise" in reason
    for values in ({"noise_correlation": 0.3}, {"noise_chroma": 7.0}):
        noise = analysis_of(**({"noise_rgb": 9.1, "noise_luma": 9.0, "noise_correlation": 0.6} | values))
        assert _chosen(noise)[0] == ["denoise"]


def test_pictures_that_score_well_are_spared(analysis_of):
    enhance = ALL.model_copy(update={"only_below": 40.0})
    poor = analysis_of(jpeg_quality=35.0, noise_rgb=7.2, blur=1.4)
    assert _chosen(poor, enhance, score=39.9)[0] == ["deartifact", "denoise", "polish"]
    names, reason = _chosen(poor, enhance, score=40.0)
    assert names == []
    assert reason.startswith("score 40.0 >= 40.0: no deartifact")
    assert _chosen(poor, enhance, factor=2, score=90.0)[0] == ["deartifact", "denoise"], "an upscaling needs them"


def test_documents_are_not_invented(analysis_of):
    upscale = UpscaleConfig()
    for origin, name in (("camera", "generative"), ("social_jpeg", "generative"), ("scan", "faithful"),
                         ("screenshot", "faithful")):  # fmt: skip
        assert upscaler_for(analysis_of(origin=origin), upscale)[0] == name
    assert upscaler_for(analysis_of(origin="scan"), upscale)[1] == "scan, where invention is wrong: faithful"


def test_an_enhancer_of_ones_own_runs_always(analysis_of):
    assert _chosen(analysis_of(), EnhanceConfig(steps=("mine:Own",))) == (
        ["mine:Own"], "mine:Own: asked for by enhance.steps"
    )  # fmt: skip


@pytest.mark.parametrize("order", ["[upscale, remove, enhance]", "[remove, upscale, enhance]", "[enhance, remove]"])
def test_upscaling_before_the_removal_is_refused_and_says_why(order):
    with pytest.raises(ConfigError, match=r"enhance\.order: .*text is sharpened and there are 4 to 16 times"):
        load_config(overrides=[f"enhance.order={order}"])
    assert load_config(overrides=["enhance.order=[remove, enhance, upscale]"]).enhance.order[0] == "remove"


def test_a_share_becomes_a_score():
    scores = [30.0, 10.0, 50.0, 20.0, 40.0]
    for share, count in ((0.2, 1), (0.4, 2), (0.5, 3), (0.05, 1)):
        below = score_below(scores, share)
        assert sum(score < below for score in scores) == count, share
    assert score_below(scores, 1.0) is score_below([], 0.1) is score_below([3.0], 0.5) is None


def test_the_decided_share_stands_as_a_score():
    config = load_config(overrides=["enhance.worst_share=0.1"])
    decided = with_share_decided(config, 33.0).enhance
    assert (decided.worst_share, decided.only_below) == (1.0, 33.0)
    both = load_config(overrides=["enhance.worst_share=0.1", "enhance.only_below=20"])
    assert with_share_decided(both, 33.0).enhance.only_below == 20
    assert with_share_decided(config, None).enhance.only_below is None
    plain = load_config()
    assert with_share_decided(plain, 5.0) is plain
