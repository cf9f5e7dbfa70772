"""The figures as they are kept: one JSON document for each section, from which the page is made."""

import json
from typing import Any

from bench.places import RESULTS


def read(section: str) -> dict[str, Any]:
    """A section's last figures; empty if it was never run."""
    path = RESULTS / f"{section}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def write(section: str, figures: dict[str, Any]) -> None:
    """Keeps a section's figures."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"{section}.json").write_text(text, encoding="utf-8")
