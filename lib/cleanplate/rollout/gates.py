"""The gates: readable limits over the facts of the images, from a YAML file whose mistakes are named by their line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from cleanplate.config import Config, Section, conf_dir
from cleanplate.errors import ConfigError
from cleanplate.rollout.expressions import Expression
from cleanplate.rollout.facts import example_facts, known_facts

MEASURES = ("share", "mean", "p50", "p95", "max", "total")


class Gate(Section):
    """One limit. Exactly one of the measures says what is measured; `limit` or `rise` how much of it may be.

    share: part of the images for which the expression is true; mean, p50, p95, max: of its values; total: its mean
    times the images of the run, which is what the whole run will come to.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    share: str = ""
    mean: str = ""
    p50: str = ""
    p95: str = ""
    max: str = ""
    total: str = ""
    of: str = Field("", description="only images for which this is true")
    limit: float | None = Field(None, description="more is over the limit")
    rise: float | None = Field(None, gt=0, description="of a mean, over the last published run: 0.12 = 12 % more")
    by: Literal["all", "strata"] = Field("all", description="strata: also for every value of every stratum")
    images: Literal["drawn", "always"] = Field("drawn", description="those drawn by the sample, or rollout.always")
    severity: Literal["block", "warn"] = "block"
    on_missing: Literal["hold", "pass"] = "hold"
    note: str = ""

    @field_validator("share", "mean", "p50", "p95", "max", "total", "of")
    @classmethod
    def _readable(cls, text: str, info: ValidationInfo) -> str:
        if not text:
            return text
        try:
            tried = Expression.parse(text, known_facts()).evaluate(example_facts())
        except (TypeError, NotImplementedError) as error:
            raise ValueError(f"{text!r} compares what cannot be compared: {error}") from error
        if (tried.dtype == "boolean") != (info.field_name in ("share", "of")):
            wanted = "true or false" if info.field_name in ("share", "of") else "a number"
            raise ValueError(f"{text!r} must be {wanted} for an image")
        return text

    @model_validator(mode="after")
    def _whole(self) -> Gate:
        named = [measure for measure in MEASURES if getattr(self, measure)]
        if len(named) != 1:
            raise ValueError(f"a gate measures one thing: give one of {', '.join(MEASURES)}")
        if (self.limit is None) == (self.rise is None):
            raise ValueError("give `limit` or `rise`, one of them")
        if self.total and self.by == "strata":
            raise ValueError("`total` is of the whole run: leave `by: strata` away")
        if self.rise is not None and not self.mean:
            raise ValueError("`rise` goes with `mean`")
        return self

    @property
    def measure(self) -> str:
        """Which of MEASURES it takes."""
        return next(measure for measure in MEASURES if getattr(self, measure))

    @property
    def expression(self) -> Expression:
        """What is measured."""
        return Expression.parse(getattr(self, self.measure), known_facts())

    @property
    def filter(self) -> Expression | None:
        """Which images count, None for all."""
        return Expression.parse(self.of, known_facts()) if self.of else None

    @property
    def facts(self) -> frozenset[str]:
        """Names of the facts that it needs."""
        return self.expression.names | (self.filter.names if self.filter else frozenset())

    @property
    def text(self) -> str:
        """What it measures, in words."""
        return f"{self.measure} of {getattr(self, self.measure)}" + (f", where {self.of}" if self.of else "")


def gates_file(config: Config) -> Path:
    """The file that a configuration names, or the shipped one."""
    return Path(config.rollout.gates) if config.rollout.gates else conf_dir() / "gates.yaml"


def load_gates(path: Path) -> tuple[Gate, ...]:
    """Reads a file of gates.

    Raises:
        ConfigError: unreadable, or no gates; names the line, what is wrong there, and the nearest valid name.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the gates {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict) or set(values) != {"gates"} or not isinstance(values["gates"], list):
        raise ConfigError(f"{path} line 1: write `gates:` and below it a list, each entry `- name: …`")
    nodes = _entry(root, "gates").value
    gates = [_gate(path, node, value) for node, value in zip(nodes, values["gates"], strict=True)]
    for number, gate in enumerate(gates):
        if gate.name in [other.name for other in gates[:number]]:
            raise ConfigError(f"{path} line {_line(nodes[number])}: a second gate of the name {gate.name!r}")
    return tuple(gates)


def _gate(path: Path, node: yaml.Node, value: Any) -> Gate:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path} line {_line(node)}: a gate is a mapping: name, measure, limit")
    try:
        return Gate.model_validate(value)
    except ValidationError as error:
        problems = [_explain(node, problem) for problem in error.errors()]
        raise ConfigError("; ".join(f"{path} {problem}" for problem in problems)) from None


def _explain(node: yaml.Node, problem: Mapping[str, Any]) -> str:
    key = str(problem["loc"][0]) if problem["loc"] else ""
    line = _line(_entry(node, key) or node)
    if problem["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(key, list(Gate.model_fields), n=1, cutoff=0.0)
        return f"line {line}: a gate has no {key!r}; the nearest valid name is {nearest[0]!r}"
    return f"line {line}: {key + ': ' if key else ''}{problem['msg'].removeprefix('Value error, ')}"


def _entry(node: yaml.Node | None, key: str) -> Any:
    """The value under a key of a mapping, None where there is none."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
