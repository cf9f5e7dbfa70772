"""The suite of models: its own package on the path."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def page(root: Path) -> dict[str, str]:
    """What the committed page says each case is served as."""
    text = (root / "docs" / "reference" / "models.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ") and line.count("|") == 7]
    return {cells[0].strip(): cells[2].strip() for cells in rows if cells[0].strip() != "model"}
