"""The same model and sample give the same bundle, byte for byte, in every process."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.partly import partly_slow

MODELS = Path(__file__).parents[1] / "models"
CASES = (
    "RandomForestClassifier, columns",
    "TfidfVectorizer",
    "XGBClassifier, categories",
    "CatBoostClassifier, text",
)

# The first process fits and saves; both pack what was saved, with other hashes and other addresses.
PACK = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {models!r})
import joblib, pathlib
from suite import cases
import aweigh
from aweigh.packing.pack import pack
folder = pathlib.Path(sys.argv[1])
kept = [object() for _ in range(int(sys.argv[2]))]
for place, name in enumerate({cases!r}):
    case = next(case for case in cases() if case.name == name)
    saved = folder / f"{{place}}.joblib"
    if not saved.exists():
        joblib.dump(case.fitted(), saved)
    bundle = folder / f"{{place}}-{{sys.argv[2]}}.aweigh"
    pack(joblib.load(saved), case.frame(), name="same", output=bundle)
"""


def packed_twice(name, folder):
    for seed in ("1", "987654"):
        script = PACK.format(models=str(MODELS), cases=(name,))
        done = subprocess.run(
            [sys.executable, "-c", script, folder, seed],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", partly_slow(CASES[0], slow=[*CASES[1:]]))
def test_packing_twice_gives_the_same_bytes(name, tmp_path):
    packed_twice(name, tmp_path)
    one, other = (tmp_path / f"0-{seed}.aweigh" for seed in ("1", "987654"))
    with zipfile.ZipFile(one) as first, zipfile.ZipFile(other) as second:
        assert first.namelist() == second.namelist()
        assert [name for name in first.namelist() if first.read(name) != second.read(name)] == []
    assert one.read_bytes() == other.read_bytes()
