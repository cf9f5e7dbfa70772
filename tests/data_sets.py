"""Data sets for tests: rows for the bundle of penguins that is stored with the tests, in files of several kinds."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

BUNDLE = Path(__file__).parent / "bundles" / "format-1-onnx.aweigh"
ROW = {
    "island": "Biscoe",
    "sex": "female",
    "bill_length_mm": 46.1,
    "bill_depth_mm": 13.2,
    "flipper_length_mm": 211,
    "body_mass_g": 4500,
    "year": 2007,
}
"""A penguin, a Gentoo, of which nothing is missing."""
HEADS = ("class", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo")


def rows(count: int, *, seed: int = 0, bad: int = 0) -> pd.DataFrame:
    """Return rows for the bundle with an ``id``; the first ``bad`` of them have an island that is missing."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": np.arange(count) + 1_000_000 * seed,
            "island": random.choice(["Biscoe", "Dream", "Torgersen"], count),
            "bill_length_mm": random.normal(44, 5, count).round(2),
            "body_mass_g": random.integers(2700, 6300, count),
        }
    )
    frame.loc[: bad - 1, "island"] = None
    return frame


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write rows as what the path's suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    elif ".jsonl" in path.name:
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".json":
        frame.to_json(path, orient="records")
    else:
        frame.to_csv(path, index=False)


def many(folder: Path, *, files: int, count: int) -> None:
    """Write so many CSV files of ``count`` rows each, two of which are bad; every other one in a folder below."""
    for i in range(files):
        write(rows(count, seed=i, bad=2), folder / ("more" if i % 2 else "") / f"part-{i:03}.csv")


def contents(folder: Path) -> dict[str, str]:
    """Return the files of a folder of answers, by their names, as digests; the run's own files aside."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("_aweigh")
    }
