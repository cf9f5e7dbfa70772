"""The suite of models: its own package on the path, and the slow ones left to `make models`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: a model that takes seconds; run by `make models` (-m 'slow or not slow')")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session")
def page(root: Path) -> dict[str, str]:
    """What the committed page says each case is served as."""
    text = (root / "docs" / "reference" / "models.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ") and line.count("|") == 7]
    return {cells[0].strip(): cells[2].strip() for cells in rows if cells[0].strip() != "model"}
