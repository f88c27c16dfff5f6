"""What the images over a limit have in common, in words: a stratum, an engine, an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from cleanplate.rollout.facts import SETS, STRATUM

_FACETS = ("stage", "error_class", "arm", "media_type")
_MOST = 4
_LEAST_SHARE, _LEAST_MORE = 0.5, 0.3  # of the images over the limit, and that much more than of the others


@dataclass(frozen=True)
class Trait:
    """Something that images have or have not, with how many of those over the limit and of the others have it."""

    name: str
    hits: int
    of_hits: int
    rest: int
    of_rest: int

    @property
    def lead(self) -> float:
        """How much more frequent it is over the limit, -1..1."""
        return self.hits / self.of_hits - self.rest / self.of_rest

    def __str__(self) -> str:
        return f"{self.hits} of {self.of_hits} have {self.name}, {self.rest} of the {self.of_rest} others"


def cause_of(bad: pd.Series | None, facts: pd.DataFrame) -> str:
    """What sets the images over a limit apart from the rest.

    Args:
        bad: boolean, by the index of `facts`: which images are over the limit; images it lacks count as the rest.
        facts: all images that were judged, or those of the stratum that was.

    Returns:
        The traits that most of them have and few others do, the clearest first, and the most frequent message of an
        error; "" where there is none. Where all are over the limit it says so.
    """
    if bad is None:
        return ""
    over = bad.reindex(facts.index, fill_value=False).astype(bool)
    if not over.any():
        return ""
    if over.all():
        return "; ".join(["all that were looked at", *_message(facts)])
    found = sorted(traits(over, facts), key=lambda trait: (-round(trait.lead, 3), trait.name))
    clear = [t for t in found if t.hits >= _LEAST_SHARE * t.of_hits and t.lead >= _LEAST_MORE]
    return "; ".join([*map(str, clear[:_MOST]), *_message(facts[over])])


def traits(over: pd.Series, facts: pd.DataFrame) -> Iterator[Trait]:
    """Every trait that an image over the limit has."""
    for name, has in _facets(facts):
        hits = int((has & over).sum())
        if hits:
            yield Trait(name, hits, int(over.sum()), int((has & ~over).sum()), int((~over).sum()))


def _facets(facts: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    for column in [name for name in facts.columns if name in _FACETS or name.startswith(STRATUM)]:
        for value in facts[column].dropna().unique():
            yield f"{column.removeprefix(STRATUM)}={value}", facts[column].eq(value).fillna(False).astype(bool)
    for column in [name for name in facts.columns if name in SETS]:
        for value in sorted(set().union(*facts[column])):
            has = pd.Series([value in row for row in facts[column]], index=facts.index)
            yield f"{value} among {column}", has


def _message(bad: pd.DataFrame) -> list[str]:
    messages = bad["message"].dropna() if "message" in bad else pd.Series(dtype="string")
    return [f"such as: {messages.value_counts().index[0]}"[:300]] if len(messages) else []
