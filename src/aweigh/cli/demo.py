"""``aweigh demo``: the whole road on real data. Train, pack, verify, serve."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.pack import run_pack
from aweigh.cli.terminal import Steps
from aweigh.data import penguins_path

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TARGET = "species"
NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year")
CHOICES = ("island", "sex")
TREES = 100

CONFIG = """\
[app]
title = "Penguins of the Palmer Archipelago"
description = "Tells the species of a penguin from where it lives and how large it is."

[model]
training_data = "344 penguins, Palmer Station, Antarctica, 2007 to 2009 (Gorman, Williams, Fraser 2014; CC0)."
intended_use = "A demonstration on real data."
not_intended_for = "Counting penguins."

[columns.bill_length_mm]
title = "Bill length"
unit = "mm"
[columns.bill_depth_mm]
title = "Bill depth"
unit = "mm"
[columns.flipper_length_mm]
title = "Flipper length"
unit = "mm"
[columns.body_mass_g]
title = "Body mass"
unit = "g"
"""


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, envvar="PORT", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Keep model and bundle in this folder (default: a temporary one).")  # fmt: skip
@click.option("--only-pack", is_flag=True, hidden=True, help="Stop before serving.")
def demo(port: int, output: Path | None, only_pack: bool) -> None:
    """Train on the Palmer penguins, pack, verify and serve: the whole road in one command."""
    if only_pack:
        _pack(output or Path())
        return
    with tempfile.TemporaryDirectory(prefix="aweigh-demo-") as temporary:
        folder = output or Path(temporary)
        # In a process of its own: what training imports takes 250 MB, and a server need not hold it.
        command = [sys.executable, "-P", "-m", "aweigh", "demo", "--only-pack", "--output", str(folder)]
        done = subprocess.run(command, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        newest = max(folder.glob("penguins-*.aweigh"), key=lambda path: path.stat().st_mtime)
        _serve(newest, port)


def _pack(folder: Path) -> None:
    """Train, and pack what came of it.

    Raises:
        MissingExtra: what either takes is not installed.
    """
    from aweigh.packing.needs import require_packing

    require_packing(("sklearn",))
    steps = Steps()
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "penguins.joblib"
    with steps.step("train") as step:
        rows, accuracy = train(model)
        step.says(f"{rows} penguins, {accuracy:.1%} right in cross-validation")
    (folder / "aweigh.toml").write_text(CONFIG, encoding="utf-8")
    run_pack(str(model), penguins_path(), steps=steps, target=TARGET, output=folder)


def train(path: Path) -> tuple[int, float]:
    """Fits a pipeline on the penguins and saves it with joblib; how many rows, and the cross-validated accuracy."""
    import joblib
    import pandas as pd
    from sklearn.model_selection import cross_val_score

    frame = pd.read_csv(penguins_path())
    inputs, target = frame[[*CHOICES, *NUMBERS]], frame[TARGET]
    model = pipeline()
    accuracy = float(cross_val_score(model, inputs, target, cv=5).mean())
    joblib.dump(model.fit(inputs, target), path)
    return len(frame), accuracy


def pipeline() -> "Pipeline":
    """Imputers, one-hot encoding and a random forest: what most people would try first."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    choices = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    prepare = ColumnTransformer([("choices", choices, list(CHOICES)), ("numbers", numbers, list(NUMBERS))])
    return make_pipeline(prepare, RandomForestClassifier(TREES, random_state=0))


def _serve(bundle: Path, port: int) -> None:
    """Verify the bundle and serve it until stopped, as ``aweigh serve`` does."""
    from aweigh.cli.serve import serve

    serve.main(args=[str(bundle), "--port", str(port)], prog_name="aweigh serve", standalone_mode=False)
