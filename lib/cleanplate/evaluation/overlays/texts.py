"""What overlays say: words, prices, dates, addresses, by script."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

_WORDS = Path(__file__).with_name("words.yaml")
_NO_SPACES = frozenset({"han", "japanese"})


@lru_cache(maxsize=1)
def _words() -> dict[str, list[str]]:
    # The base loader keeps OFF and NO as words.
    lists: dict[str, list[str]] = yaml.load(_WORDS.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506
    return lists


def phrase(rng: np.random.Generator, script: str, words: int) -> str:
    """A phrase of about `words` words.

    Args:
        rng: source of chance.
        script: one of records.SCRIPTS, or "stamp" or "watermark" for the words of those.
        words: how many; Chinese and Japanese are set without spaces.
    """
    if script == "digits":
        return digits(rng)
    if script == "price":
        return price(rng)
    vocabulary = _words()[script]
    chosen = [vocabulary[int(i)] for i in rng.integers(len(vocabulary), size=max(1, words))]
    text = ("" if script in _NO_SPACES else " ").join(chosen)
    return _recase(rng, text) if script in ("latin", "cyrillic", "greek") else text


def _recase(rng: np.random.Generator, text: str) -> str:
    chance = rng.random()
    if chance < 0.3:
        return text.upper()
    return text.capitalize() if chance < 0.5 else text


def digits(rng: np.random.Generator) -> str:
    """A number, date, time, telephone number or size."""
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(1, 13)), int(rng.integers(1990, 2030))
    hour, minute, second = int(rng.integers(24)), int(rng.integers(60)), int(rng.integers(60))
    number = int(rng.integers(10, 99999))
    forms = (
        f"{day:02d}.{month:02d}.{year}",
        f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}",
        f"'{year % 100:02d} {month} {day}",
        f"{hour:02d}:{minute:02d}:{second:02d}",
        f"+{number % 90 + 10} {number:05d} {second:02d}{minute:02d}",
        f"No. {number}",
        f"{number % 400 + 10} x {minute + 10} cm",
        f"{number}",
    )
    return forms[int(rng.integers(len(forms)))]


def price(rng: np.random.Generator) -> str:
    """A price or a discount."""
    whole, cents = int(rng.integers(1, 2000)), int(rng.choice([0, 49, 50, 90, 95, 99]))
    forms = (
        f"€ {whole},{cents:02d}",
        f"{whole},{cents:02d} €",
        f"${whole}.{cents:02d}",
        f"£{whole}.{cents:02d}",
        f"-{int(rng.integers(1, 19)) * 5}%",
        f"{whole % 100}.-",
        f"{whole}",
        f"2 for ${whole % 90 + 1}",
    )
    return forms[int(rng.integers(len(forms)))]


def credit(rng: np.random.Generator) -> str:
    """A line of credit, an address or a handle."""
    name = phrase(rng, "latin", 1).lower()
    mark = phrase(rng, "watermark", 1)
    year, number = int(rng.integers(1990, 2030)), int(rng.integers(99))
    forms = (f"© {year} {mark}", f"www.{name}.example", f"@{name}_{number}", mark)
    return forms[int(rng.integers(len(forms)))]


def dense_lines(rng: np.random.Generator, script: str, lines: int) -> list[str]:
    """A list of goods with prices, or a paragraph."""
    writer: Callable[[], str] = (lambda: _row(rng, script)) if rng.random() < 0.6 else (lambda: _running(rng, script))
    return [writer() for _ in range(lines)]


def _row(rng: np.random.Generator, script: str) -> str:
    name = phrase(rng, script, int(rng.integers(1, 4)))[:22]
    filler = str(rng.choice([".", " ", "  ", "·"])) * int(rng.integers(2, 14))
    return f"{name} {filler} {price(rng)}"


def _running(rng: np.random.Generator, script: str) -> str:
    return phrase(rng, script, int(rng.integers(3, 8)))
