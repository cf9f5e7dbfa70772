"""The figures as they are kept: one JSON document for each section, from which the page is made."""

import json
import re
from typing import Any

from bench.places import RESULTS

_NUMBERS = re.compile(r"\[\s*([-+\d.e,\s]+?)\s*\]")
"""A list of numbers alone: written on one line."""


def read(section: str) -> dict[str, Any]:
    """A section's last figures; empty if it was never run."""
    path = RESULTS / f"{section}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def write(section: str, figures: dict[str, Any]) -> None:
    """Keeps a section's figures."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = _NUMBERS.sub(lambda one: f"[{' '.join(one[1].split())}]", json.dumps(figures, indent=1, ensure_ascii=False))
    (RESULTS / f"{section}.json").write_text(text + "\n", encoding="utf-8")
