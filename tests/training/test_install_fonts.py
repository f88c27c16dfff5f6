"""The script installs exactly the packages that the registry names, and the pictographs'."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cleanplate.evaluation.objects import PACKAGE
from cleanplate.evaluation.overlays.fonts import read_registry

SCRIPT = Path(__file__).resolve().parents[2] / "training" / "install_fonts.sh"


def test_the_list_is_the_registry_s():
    listed = subprocess.run([str(SCRIPT), "--list"], capture_output=True, text=True, check=True).stdout.split()
    assert listed == sorted({family.package for family in read_registry()} | {PACKAGE})
