"""The configuration: one frozen pydantic model per stage, layered from YAML files and --set."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cleanplate.errors import ConfigError
from cleanplate.records import Kind, Rights

# What `route.features` measures, and rules may speak of.
ROUTE_FEATURES = (
    "area_px", "stroke_px", "ring_std", "texture", "noise", "gradient", "edges", "coverage", "border_px", "height_px",
    "ring_px", "blocking",
)  # fmt: skip
_CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*")
PdeMethod = Literal["telea", "navier_stokes", "biharmonic", "tension"]
ENHANCE_ORDER = ("remove", "enhance", "upscale")
BlendMethod = Literal["auto", "feather", "near", "membrane"]


def parse_condition(text: str) -> tuple[str, str, float]:
    """Turns "texture <= 3" into its name, its sign and its number.

    Raises:
        ValueError: it is not of that form, or there is no such feature; says which there are.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition: write a feature, one of < <= > >=, and a number")
    name, sign, number = found.groups()
    if name not in ROUTE_FEATURES:
        nearest = difflib.get_close_matches(name, ROUTE_FEATURES, n=1, cutoff=0.0)[0]
        raise ValueError(f"there is no feature {name!r}; the nearest is {nearest!r}, all: {', '.join(ROUTE_FEATURES)}")
    return name, sign, float(number)


class Section(BaseModel):
    """Base of every section: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceConfig(Section):
    """What may be read, and how large it may be."""

    max_bytes: int = Field(200_000_000, ge=1, description="largest file that is read")
    max_pixels: int = Field(100_000_000, ge=1, description="largest picture that is decoded (decompression bombs)")
    max_side_px: int = Field(30_000, ge=1, description="longest side that is decoded")
    allowed_roots: tuple[str, ...] = Field((), description="folders or URI prefixes sources must lie under; () = any")
    decode_timeout_s: float = Field(60.0, gt=0, description="after this a decoder counts as hung")
    guard: Literal["process", "none"] = Field("process", description="decode and encode in a child process, or not")


class DetectConfig(Section):
    """Where is something to remove."""

    detectors: tuple[str, ...] = ("given", "text", "crosses")
    long_side_px: int = Field(960, ge=32, description="the picture is scaled to this before the text detector runs")
    threshold: float = Field(0.3, ge=0, le=1, description="confidence at which a pixel starts a text region")
    box_score: float = Field(0.6, ge=0, le=1, description="mean confidence under which a text region is dropped")
    min_side_px: int = Field(3, ge=1, description="smaller regions are dropped")
    rectify: bool = Field(False, description="look at slanted and small lines again, upright and enlarged")
    strokes_long_side_px: int = Field(1600, ge=64, description="larger pictures are scaled to this for the strokes")
    strokes_threshold: float = Field(0.25, gt=0, lt=1, description="confidence at which a pixel is a stroke")
    strokes_score: float = Field(0.78, ge=0, le=1, description="probability under which strokes are no mark")
    part_score: float = Field(0.55, ge=0, le=1, description="and from which they go with something sure of their ink")
    overlay_score: float = Field(0.7, ge=0, le=1, description="probability under which a line is writing in the scene")
    cross_score: float = Field(0.15, ge=0, le=1, description="share of both diagonals that has to vote for a line each")


class MarksConfig(Section):
    """Marks that the pictures of a batch share, estimated once from all of them."""

    enabled: bool = Field(True, description="look for them before a run starts")
    sample_images: int = Field(200, ge=3, le=30_000, description="pictures of a batch that are looked at")
    fewest_images: int = Field(12, ge=3, description="that must carry a mark; a smaller batch is not looked at")
    template_images: int = Field(48, ge=3, description="pictures that a template is made of, at most")
    confirm_images: int = Field(12, ge=1, description="of which the detectors must see the mark too, in a third")

    @model_validator(mode="after")
    def _enough(self) -> MarksConfig:
        if self.fewest_images > min(self.sample_images, self.template_images):
            raise ValueError("marks.fewest_images must not be more than marks.sample_images or marks.template_images")
        return self


class MaskConfig(Section):
    """From regions to soft masks."""

    feather_sigma_px: float = Field(0.8, ge=0, description="edge feather; a manifest row's mask_sigma overrides it")
    strokes_sure: float = Field(0.3, gt=0, lt=1, description="probability at which a pixel is a stroke for sure")
    strokes_weak: float = Field(0.18, gt=0, lt=1, description="and down to which pixels beside a sure one join it")
    dilation_share: float = Field(0.2, ge=0, description="dilation as a share of the strokes' width")
    min_dilation_px: int = Field(1, ge=0)
    max_dilation_px: int = Field(12, ge=0)
    core_threshold: float = Field(0.5, gt=0, lt=1, description="alpha from which a pixel belongs to the hard core")
    merge_gap_px: int = Field(4, ge=0, description="regions closer than this are one")
    given: Literal["exact", "refine"] = "exact"
    object_margin_share: float = Field(0.05, ge=0, le=0.5, description="margin beyond an object, of its longer side")
    segmenter: str = Field("objects", description="id of a model that finds objects; empty: GrabCut")


class RouteRule(Section):
    """One line of the router: an engine, and what a region must be like for it."""

    engine: str
    when: tuple[str, ...] = Field((), description='conditions that must all hold, such as "texture <= 3"')
    kinds: tuple[Kind, ...] = Field((), description="kinds of region that it is for; () = any")
    against: str = Field("", description="an engine that is tried beside it; the better of the two counts")

    @field_validator("when")
    @classmethod
    def _readable(cls, conditions: tuple[str, ...]) -> tuple[str, ...]:
        for condition in conditions:
            parse_condition(condition)
        return conditions


class RouteConfig(Section):
    """Features of a region -> engine."""

    engines: tuple[str, ...] = Field(
        ("flat", "pde", "network", "unblend", "texture"), description="in order of cost; what fails goes to a later one"
    )
    rules: tuple[RouteRule, ...] = Field(
        (
            RouteRule(engine="flat", when=("texture <= 1.5", "ring_px > 0")),
            RouteRule(engine="pde", when=("texture <= 3", "ring_px > 0")),
            RouteRule(engine="unblend", kinds=("overlay_text", "handwriting", "stamp", "watermark")),
            RouteRule(engine="network", when=("stroke_px <= 20",)),
            RouteRule(engine="texture"),
        ),
        description="the first that fits, of an engine that may be used, wins",
    )
    ring_px: int = Field(8, ge=1, description="width of the ring that is looked at")
    context_px: int = Field(64, ge=1, description="margin round a region that an engine sees")
    max_diffusion_share: float = Field(0.1, ge=0, le=1, description="of the regions that may go to a diffusion model")


class FillConfig(Section):
    """The engines' own settings."""

    pde_method: PdeMethod = "tension"
    pde_radius_px: float = Field(4.0, gt=0)
    unblend_prior: Literal["network", "pde"] = Field("network", description="what un-blending compares with")
    residual_steps: int = Field(6, ge=1, description="of the residual engine's sampling")


class BlendConfig(Section):
    """Colour continuity across the seam."""

    method: BlendMethod = Field("auto", description="how colours are continued; auto: whose seam shows less")


class RegrainConfig(Section):
    """Noise of the surroundings, given back to the fill."""

    enabled: bool = True
    scale: float = Field(1.0, ge=0)


class VerifyConfig(Section):
    """Does the fill hold up."""

    min_confidence: float = Field(0.7, ge=0, le=1, description="below this a region is tried again")
    max_error: float = Field(0.35, gt=0, description="LPIPS round a region up to which its fill holds up")
    max_residual_text: float = Field(0.3, ge=0, le=1, description="detector's confidence left inside the mask")


class AttemptsConfig(Section):
    """The loop around route, fill, blend, regrain and verify."""

    max_attempts: int = Field(3, ge=1)
    max_cost_units: float = Field(600.0, gt=0, description="per image, in the engines' cost units; deterministic")
    widen_px: int = Field(2, ge=0, description="how much wider the mask gets when strokes are left")


class EnhanceConfig(Section):
    """Whole-image enhancement: what may run, and where; the analysis of each image decides what does."""

    steps: tuple[str, ...] = Field((), description="what may run, in this order; of cleanplate.enhance.ENHANCERS")
    strength: float = Field(1.0, ge=0, le=1, description="how far each step goes from its input to its result")
    order: tuple[str, ...] = Field(ENHANCE_ORDER, description="the only sound order; any other one is refused")
    deartifact_below: float = Field(75.0, ge=0, le=100, description="JPEG quality under which artefacts are taken out")
    denoise_above: float = Field(4.0, ge=0, description="noise in grey levels of RGB from which it is taken out")
    polish_above: float = Field(0.8, ge=0, description="blur in pixels from which detail is brought out")
    only_below: float | None = Field(None, description="no-reference score under which an image is enhanced at all")
    worst_share: float = Field(1.0, gt=0, le=1, description="share of a batch, the lowest scores, that is enhanced")
    analyse: bool = Field(False, description="analyse and record also where nothing is asked for")
    sample_images: int = Field(400, ge=1, description="images of a batch that are scored to find that share")
    jpeg_quality: int = Field(92, ge=1, le=100, description="least quality of a JPEG that is encoded anew")

    @field_validator("order")
    @classmethod
    def _sound(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        if order != ENHANCE_ORDER:
            raise ValueError(
                "the order is remove, enhance, upscale: enlarged before the removal, text is sharpened and there are 4 "
                "to 16 times the pixels to find and to fill; enhanced before it, masks, fills and verdicts would be of "
                "pixels that are not the source's, also where nothing else may change. What each order is worth stands "
                "in docs/results.md. Leave enhance.order out"
            )
        return order


class UpscaleConfig(Section):
    """Upscaling: last, and only where it is asked for."""

    factor: Literal[1, 2, 4] = Field(1, description="for rows of a manifest that state none")
    largest: Literal[1, 2, 4] = Field(4, description="a row that asks for more is refused")
    photograph: str = Field("generative", description="for photographs; of cleanplate.enhance.UPSCALERS")
    document: str = Field("faithful", description="for scans and screenshots, where invention is wrong")
    prepare: tuple[str, ...] = Field(("deartifact", "denoise"), description="steps that may run before, as needed")


class MetricsConfig(Section):
    """What is measured of every result."""

    lpips: bool = Field(True, description="LPIPS outside the mask; costs about 0.1 s per megapixel on a core")
    lpips_long_side_px: int = Field(512, ge=64)


class ModelsConfig(Section):
    """Where weights come from, and what is permitted."""

    registry_files: tuple[str, ...] = Field((), description="YAML files beside conf/models.yaml")
    require_commercial: bool = False
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="CPU threads per worker for the networks; 0 = cores / workers")


class RunConfig(Section):
    """How a run is cut into waves, partitions and batches."""

    wave_images: int = Field(2000, ge=1)
    partition_images: int = Field(64, ge=1, description="images per Spark partition at most")
    batch_megapixels: float = Field(8.0, gt=0, description="pixels that go through the stages together")
    prefetch_images: int = Field(8, ge=1, description="images decoded ahead")
    io_threads: int = Field(2, ge=1, description="threads that fetch, decode, encode and store")


class ReviewConfig(Section):
    """Which images a person looks at; it changes no result."""

    below_confidence: float = Field(0.8, ge=0, le=1, description="cleaned images below this are looked at")
    ambiguous_from: float = Field(0.5, ge=0, le=1, description="a detection's score from which ...")
    ambiguous_to: float = Field(0.78, ge=0, le=1, description="... and below which its kind counts as ambiguous")
    sample_share: float = Field(0.02, ge=0, le=1, description="share of the images looked at whatever they scored")
    max_images: int = Field(1000, ge=1, description="images of a queue at most; the most urgent ones")
    ab_images: int = Field(100, ge=1, description="images of an A/B comparison, by strata")


class RolloutConfig(Section):
    """Steps, gates, drift and arms of a batch."""

    steps: tuple[float, ...] = Field((0.01, 0.1, 1.0), description="shares of the batch, each with those before it")
    min_images: int = Field(50, ge=1, description="in the first step, whatever its share")
    strata: tuple[str, ...] = Field((), description="columns of the manifest; () = all with 2 to 20 values")
    size_edges_mpx: tuple[float, ...] = Field((0.3, 1.0, 4.0, 12.0), description="between classes of size")
    compression_edges: tuple[float, ...] = Field((0.15, 0.4, 1.0), description="between classes of bytes per pixel")
    always: str = Field("", description="file of image ids, one a line, that are part of every sample")
    gates: str = Field("", description="file of gates; empty: conf/gates.yaml")
    drift: float = Field(0.12, gt=0, description="how far a batch may move from earlier runs")
    drift_metrics: tuple[str, ...] = Field(("perceptual_error", "expected_error_mean"), description="facts to compare")
    drift_runs: int = Field(5, ge=1, description="earlier published runs that are compared with")
    drift_confidence: float = Field(0.1, ge=0, le=1, description="added to verify.min_confidence while a batch drifts")
    arm_b_share: float = Field(0.0, ge=0, le=1, description="share of the images, by a hash of their ids, in arm B")
    arm_b_profile: str = Field("", description="profile of arm B instead of --profile, or a YAML file")
    arm_b_settings: dict[str, Any] = Field({}, description="what arm B has otherwise; made of its profile")

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if not steps or steps[-1] != 1 or any(not 0 < one < other for one, other in itertools.pairwise((*steps, 2))):
            raise ValueError("write rising shares above 0, the last of them 1, such as [0.01, 0.1, 1]")
        return steps


class Config(Section):
    """All sections."""

    seed: int = Field(4412, ge=0, description="base seed")
    remove: tuple[Kind, ...] = Field(
        ("overlay_text", "handwriting", "stamp", "watermark", "object"), description="kinds removed by default"
    )
    rights: Rights = Field("unknown", description="for rows of a manifest that state none")
    source: SourceConfig = SourceConfig()
    detect: DetectConfig = DetectConfig()
    marks: MarksConfig = MarksConfig()
    mask: MaskConfig = MaskConfig()
    route: RouteConfig = RouteConfig()
    fill: FillConfig = FillConfig()
    blend: BlendConfig = BlendConfig()
    regrain: RegrainConfig = RegrainConfig()
    verify: VerifyConfig = VerifyConfig()
    attempts: AttemptsConfig = AttemptsConfig()
    enhance: EnhanceConfig = EnhanceConfig()
    upscale: UpscaleConfig = UpscaleConfig()
    metrics: MetricsConfig = MetricsConfig()
    models: ModelsConfig = ModelsConfig()
    run: RunConfig = RunConfig()
    review: ReviewConfig = ReviewConfig()
    rollout: RolloutConfig = RolloutConfig()

    def to_yaml(self) -> str:
        """The merged configuration as YAML, keys in the order of the models."""
        return yaml.safe_dump(json.loads(self.model_dump_json()), sort_keys=False)

    def arm_b(self) -> Config | None:
        """The configuration of arm B, None where the batch has one arm.

        Raises:
            ConfigError: its settings are not valid.
        """
        if not self.rollout.arm_b_share:
            return None
        values = self.model_dump(mode="json")
        values["rollout"] |= {"arm_b_share": 0.0, "arm_b_profile": "", "arm_b_settings": {}}
        return parse_config(_merge(values, self.rollout.arm_b_settings))

    def digest(self) -> str:
        """16 hex digits that change when anything that can change a result does (not how a run is cut or reviewed)."""
        left_out: Any = {"run": True, "review": True, "rollout": True, "models": {"device", "threads"}}
        values = json.loads(self.model_dump_json(exclude=left_out))
        other = self.arm_b()
        if other is not None:
            values["arm_b"] = [self.rollout.arm_b_share, other.digest()]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def conf_dir() -> Path:
    """Folder of the shipped configuration: conf/ of a checkout, else the one inside the installed package."""
    checkout = Path(__file__).resolve().parents[2] / "conf"
    return checkout if (checkout / "default.yaml").exists() else Path(str(resources.files("cleanplate"))) / "conf"


def load_config(
    profile: str | None = None, files: Sequence[str] = (), overrides: Sequence[str] = (), base_dir: Path | None = None
) -> Config:
    """Merges default < profile < files < overrides.

    Args:
        profile: name of a file in conf/profiles, without ".yaml".
        files: paths of YAML files, later ones win.
        overrides: "a.b=c" settings, c in YAML.
        base_dir: folder of default.yaml and profiles/; the shipped one where None.

    Raises:
        ConfigError: unknown profile, unreadable file, unknown key (names the nearest valid one), bad value.
    """
    folder = base_dir or conf_dir()
    config = parse_config(_layers(folder, profile, files, overrides))
    other = config.rollout.arm_b_profile
    if not other:
        return config
    settings = _layers(folder, other, files, overrides)
    values = config.model_dump(mode="json")
    differences = _differences(values, parse_config(settings).model_dump(mode="json"))
    values["rollout"]["arm_b_settings"] = _merge(differences, config.rollout.arm_b_settings)
    return parse_config(values)


def _layers(folder: Path, profile: str | None, files: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    merged = _read(folder / "default.yaml")
    if profile:
        merged = _merge(merged, _read(_profile_path(folder, profile)))
    for name in files:
        merged = _merge(merged, _read(Path(name)))
    for text in overrides:
        merged = _merge(merged, parse_override(text))
    return merged


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What must be laid over `one` to get `other`, but for the rollout, which is one for both arms."""
    found: dict[str, Any] = {}
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(one.get(key), Mapping):
            below = _differences(one[key], value) if key != "rollout" else {}
            found |= {key: below} if below else {}
        elif value != one.get(key):
            found[key] = value
    return found


def parse_config(values: Mapping[str, Any]) -> Config:
    """Validates a nested mapping.

    Raises:
        ConfigError: with one line per problem: the dotted key, what is wrong, the nearest valid name.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(problem) for problem in error.errors())) from None


def parse_override(text: str) -> dict[str, Any]:
    """Turns "a.b=c" into {"a": {"b": c}}, c read as YAML.

    Raises:
        ConfigError: no "=" or an empty key.
    """
    key, sign, value = text.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts):
        raise ConfigError(f"--set {text!r}: write it as section.name=value, such as --set mask.feather_sigma_px=1.5")
    nested: Any = yaml.safe_load(value)
    for part in reversed(parts):
        nested = {part: nested}
    return dict(nested)


def _profile_path(folder: Path, profile: str) -> Path:
    if profile.endswith((".yaml", ".yml")):
        return Path(profile)
    path = folder / "profiles" / f"{profile}.yaml"
    if not path.exists():
        names = sorted(p.stem for p in (folder / "profiles").glob("*.yaml"))
        raise ConfigError(f"unknown profile {profile!r}; there are: {', '.join(names)}")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read configuration file {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold sections (a mapping), not a {type(values).__name__}")
    return values


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _explain(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']} (got {problem['input']!r})"
    nearest = difflib.get_close_matches(where, known_keys(), n=1, cutoff=0.0)
    return f"unknown setting {where!r}; the nearest valid name is {nearest[0]!r}"


def known_keys(model: type[Section] = Config, prefix: str = "") -> list[str]:
    """Every dotted key that the configuration has."""
    keys = []
    for name, info in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            keys += known_keys(info.annotation, f"{prefix}{name}.")
    return keys
