"""Brings back the photographs of photographs.csv, which are trained on and not shipped, from clones.

    python training/gather.py --clones CLONES --set unseen journeys --out PHOTOS

CLONES holds a git directory per repository, named owner+name; what is missing is printed with the command that makes
it.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

LIST = Path(__file__).with_name("photographs.csv")
_SMALLER = 1.6  # JPEGs are scaled down by it: what compression did to them is hardly seen then
_LONGEST_PX, _LONGEST_ELSE_PX = {"further": 2048}, 1600  # of the long side, by set
_LEAST_PX = {"streets": 500, "journeys": 500}  # likewise: scaled down no further
_LOSSLESS = {".png", ".tif", ".tiff", ".bmp"}
_QUALITY = 95


@dataclass(frozen=True)
class Source:
    """A photograph of the list: which set and file it becomes, where it comes from, and its licence."""

    set: str
    file: str
    repository: str
    commit: str
    path: str
    licence: str

    @property
    def keeps_pixels(self) -> bool:
        """Whether it stays as it is: lossless ones of the set "further" do."""
        return self.set == "further" and Path(self.path).suffix.lower() in _LOSSLESS


def read_list(path: Path = LIST) -> list[Source]:
    """All photographs of the list, in its order."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [Source(**row) for row in csv.DictReader(stream)]


def read_blob(clones: Path, source: Source) -> bytes:
    """The file as the repository had it.

    Raises:
        FileNotFoundError: there is no clone of the repository, or it lacks the commit.
    """
    folder = clones / source.repository.replace("/", "+")
    command = ["git", "-C", str(folder), "cat-file", "-p", f"{source.commit}:{source.path}"]
    found = subprocess.run(command, capture_output=True, check=False)
    if found.returncode:
        raise FileNotFoundError(
            f"{source.repository} has no {source.path} at {source.commit[:10]} in {folder}: "
            f"git clone --mirror https://github.com/{source.repository} {folder}"
        )
    return found.stdout


def scaled(picture: Image.Image, source: Source) -> Image.Image:
    """A photograph as it is trained on: RGB, upright, smaller by 1.6 and no longer than its set allows (Lanczos)."""
    upright = ImageOps.exif_transpose(picture).convert("RGB")
    longest = max(upright.size)
    wanted = longest if source.keeps_pixels else max(longest / _SMALLER, min(longest, _LEAST_PX.get(source.set, 0)))
    scale = min(wanted, _LONGEST_PX.get(source.set, _LONGEST_ELSE_PX)) / longest
    if scale >= 1:
        return upright
    size = tuple(max(1, round(side * scale)) for side in upright.size)
    return upright.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def gather(sources: Sequence[Source], clones: Path, out: Path) -> list[str]:
    """Writes photographs as WebP into a folder for each set; what is there is kept.

    Returns:
        What could not be read, a sentence each.
    """
    failures = []
    for source in sources:
        target = out / source.set / source.file
        if target.exists():
            continue
        try:
            with Image.open(io.BytesIO(read_blob(clones, source))) as picture:
                made = scaled(picture, source)
        except OSError as error:
            failures.append(str(error))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        made.save(target, "WEBP", lossless=source.keeps_pixels, quality=_QUALITY)
    return failures


def main() -> None:
    """Gathers the sets that are asked for."""
    listed = read_list()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True, help="folder of git directories, owner+name")
    parser.add_argument("--set", nargs="+", choices=sorted({source.set for source in listed}), required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    wanted = [source for source in listed if source.set in options.set]
    failures = gather(wanted, options.clones, options.out)
    print("\n".join([*failures, f"{len(wanted) - len(failures)} of {len(wanted)} photographs in {options.out}"]))


if __name__ == "__main__":
    main()
