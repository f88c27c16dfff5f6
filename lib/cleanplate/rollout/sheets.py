"""A review without a server: the queue as a folder of HTML and CSV, and the CSV with verdicts read back."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from cleanplate.batch.verdicts import DECISIONS, Review, now, standings
from cleanplate.errors import ContractError, StorageError
from cleanplate.rollout.desk import checked
from cleanplate.rollout.review_store import ReviewItem, ReviewStore
from cleanplate.rollout.views import draw_view, to_webp

COLUMNS = ("batch_id", "image_id", "run_id", "status", "confidence", "reasons", "verdict", "reviewer", "note", "at")
NEEDED = ("batch_id", "image_id", "run_id", "verdict")
VIEWS = ("before", "after", "mask")
LONG_SIDE_PX = 900
QUALITY = 84
MOST_ERRORS = 20
Result = tuple[str, str, str]  # batch_id, run_id, image_id


@dataclass(frozen=True)
class Sheet:
    """What a CSV of verdicts holds.

    Attributes:
        reviews: verdicts to store.
        known: lines whose verdict stands already.
        empty: lines without a verdict.
    """

    reviews: tuple[Review, ...]
    known: int
    empty: int


def write_sheets(store: ReviewStore, out: Path, title: str) -> Path:
    """Writes index.html, queue.csv and the pictures; the page fills the CSV in by key, or any spreadsheet does.

    Args:
        store: whose queue it is.
        out: the folder; created.
        title: of the page.

    Returns:
        The page.

    Raises:
        StorageError: the folder cannot be written.
    """
    items = store.items()
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
        pictures = [_write_pictures(store, item, out / "images") for item in items]
        rows = [_row(item) for item in items]
        with (out / "queue.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        for name in ("sheet.js", "sheet.css"):
            (out / name).write_text(_resource(name), encoding="utf-8")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        cards = [
            {"row": row, "pictures": views, "candidate": item.candidates[-1]}
            for item, row, views in zip(items, rows, pictures, strict=True)
        ]
        page = environment.from_string(_resource("sheet.html.j2")).render(title=title, cards=cards, columns=COLUMNS)
        (out / "index.html").write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StorageError(f"cannot write to {out}: {error.strerror or error}") from error
    return out / "index.html"


def read_sheet(
    text: str,
    reviewer: str,
    known_results: Callable[[Collection[Result]], Collection[Result]],
    reviews: Iterable[Review] = (),
) -> Sheet:
    """Reads the verdicts of a CSV; a file with one wrong line is refused whole, so that it can be put right.

    Args:
        text: of the file; columns as `write_sheets` writes them, of which NEEDED must be there.
        reviewer: for lines that name none.
        known_results: asked which of some results there are.
        reviews: verdicts that are stored; a line without a time that repeats its reviewer's last one is left out.

    Raises:
        ContractError: names every line that is wrong, and what is wrong with it.
    """
    rows = _rows(text)
    there = known_results({_result(row) for _, row in rows if row["verdict"]})
    stood = standings(reviews)
    errors: list[str] = []
    found: list[Review] = []
    known = 0
    for line, row in rows:
        if not row["verdict"]:
            continue
        try:
            review = _review(row, reviewer, there)
        except ContractError as error:
            errors.append(f"line {line}: {error}")
            continue
        if not row["at"] and _stands(review, stood):
            known += 1
        else:
            found.append(review)
    if errors:
        more = f"; and {len(errors) - MOST_ERRORS} more" if len(errors) > MOST_ERRORS else ""
        raise ContractError(f"nothing was imported: {'; '.join(errors[:MOST_ERRORS])}{more}")
    return Sheet(tuple(found), known, sum(not row["verdict"] for _, row in rows))


def _rows(text: str) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of every row; what is missing is ""."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), dialect=_dialect(text))
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise ContractError(f"line 1: there is no column {', '.join(missing)}; needed are {', '.join(NEEDED)}")
    rows = []
    for row in reader:
        cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
        rows.append((reader.line_num, cells | {"verdict": cells["verdict"].lower()}))
    return rows


def _dialect(text: str) -> type[csv.Dialect]:
    """Commas, or the semicolons and tabs that spreadsheets of other countries write."""
    head = text.split("\n", 1)[0]
    counts = {mark: head.count(mark) for mark in (",", ";", "\t")}

    class Found(csv.excel):
        delimiter = max(counts, key=lambda mark: counts[mark])

    return Found


def _review(row: Mapping[str, str], reviewer: str, there: Collection[Result]) -> Review:
    verdict = row["verdict"]
    if verdict not in DECISIONS:
        nearest = difflib.get_close_matches(verdict, DECISIONS, n=1, cutoff=0.0)[0]
        raise ContractError(f"verdict {verdict!r} is unknown; the nearest is {nearest!r}")
    if _result(row) not in there:
        raise ContractError(
            f"batch {row['batch_id']!r} has no result of image {row['image_id']!r} in run {row['run_id']!r}"
        )
    name, at, note = checked(row["reviewer"] or reviewer, _time(row["at"]), row["note"])
    return Review(row["batch_id"], row["run_id"], row["image_id"], verdict, name, at, note)


def _stands(review: Review, stood: Mapping[tuple[str, str], Any]) -> bool:
    standing = stood.get((review.run_id, review.image_id))
    if standing is None:
        return False
    return review.reviewer in (standing.accepted_by if review.verdict == "accept" else standing.rejected_by)


def _time(text: str) -> datetime:
    if not text:
        return now()
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ContractError(f"time {text!r} is not understood: write it as 2026-01-31T12:00:00Z, or leave it") from None
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


def _result(row: Mapping[str, str]) -> Result:
    return row["batch_id"], row["run_id"], row["image_id"]


def _row(item: ReviewItem) -> dict[str, str]:
    candidate = item.candidates[-1]
    values = {
        "batch_id": item.batch_id, "image_id": item.image_id, "run_id": candidate.run_id, "status": candidate.status,
        "confidence": f"{candidate.confidence:.3f}", "reasons": " | ".join(item.reasons),
    }  # fmt: skip
    return {name: values.get(name, "") for name in COLUMNS}


def _write_pictures(store: ReviewStore, item: ReviewItem, folder: Path) -> dict[str, str]:
    """Writes the views of an image; view -> address within the folder."""
    candidate = item.candidates[-1]
    before = store.picture(item, None)
    if before is None:
        return {}
    after = store.picture(item, candidate.run_id) if candidate.is_edited else None
    written = {}
    for view in VIEWS:
        picture = draw_view(view, before, after, candidate.regions)
        name = f"{item.key}-{view}.webp"
        (folder / name).write_bytes(to_webp(picture, LONG_SIDE_PX, QUALITY))
        written[view] = f"images/{name}"
    return written


def _resource(name: str) -> str:
    return resources.files("cleanplate.rollout").joinpath("web", name).read_text(encoding="utf-8")


def write_masks(
    reviews: Sequence[Review], uris: Mapping[tuple[str, str], str], kinds: Mapping[tuple[str, str], str], out: Path
) -> int:
    """Writes corrected masks for `training/`: a PNG each, and masks.csv that says whose and of which photograph.

    Args:
        reviews: with their masks, as `verdicts.last_masks` gives them.
        uris: (batch_id, image_id) -> URI of the original.
        kinds: (run_id, image_id) -> what was found there; "object" where nothing was.
        out: the folder; created.

    Returns:
        How many.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / "masks.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("mask", "uri", "kind", "batch_id", "image_id", "over_run", "reviewer", "at"))
            for number, review in enumerate(reviews):
                name = f"{number:05d}.mask.png"
                (out / name).write_bytes(review.mask_png or b"")
                uri = uris.get((review.batch_id, review.image_id), "")
                kind = kinds.get((review.run_id, review.image_id), "object")
                at = f"{review.at:%Y-%m-%dT%H:%M:%SZ}"
                writer.writerow((name, uri, kind, review.batch_id, review.image_id, review.run_id, review.reviewer, at))
    except OSError as error:
        raise StorageError(f"cannot write to {out}: {error.strerror or error}") from error
    return len(reviews)
