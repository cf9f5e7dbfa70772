"""The forms of a bundle: the same bits from each, who answers for how many rows, and how that is asked for and told."""

import json
import time

import catboost
import lightgbm
import msgspec
import numpy as np
import pandas as pd
import pytest
import xgboost
from click.testing import CliRunner
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from tests.partly import partly_slow

from aweigh.bundle.verify import verify
from aweigh.cli import cli
from aweigh.errors import MissingExtra, UsageError
from aweigh.models.bits import any_parts, any_threads, rows_differing, same_bits
from aweigh.packing import forms as packing_forms
from aweigh.packing import pack
from aweigh.runtime import forms as forms_module
from aweigh.runtime.forms import SIZES, Turn, by_size, measure, mixed, turns_of
from aweigh.runtime.load import load
from aweigh.runtime.slices import LEAST_ROWS, sliced
from aweigh.schema import Answers, Output
from aweigh.schema.check import check_rows
from aweigh.server.api import model_document
from aweigh.table import Table, Values

ROWS, COLUMNS = 500, 8
XGB = {"n_estimators": 40, "n_jobs": 1}
CAT = {"iterations": 40, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
NUMBER = Output(task="number", name="y")


@pytest.fixture(scope="module")
def frame():
    generator = np.random.default_rng(3)
    frame = pd.DataFrame(generator.normal(size=(ROWS, COLUMNS)).round(3), columns=[f"x{i}" for i in range(COLUMNS)])
    return frame.mask(generator.random(frame.shape) < 0.03)


@pytest.fixture(scope="module")
def aim(frame):
    filled = frame.fillna(0)
    return (filled.x0 * 2 + np.sin(filled.x1 * 3) + filled.x2 * filled.x3).to_numpy()


@pytest.fixture(scope="module")
def packed(frame, aim, tmp_path_factory):
    """A function that packs a model by its name, once."""
    folder = tmp_path_factory.mktemp("forms")
    two, three = (aim > 0).astype(int), np.digitize(aim, [-1, 1])
    models = {
        "xgboost two": lambda: xgboost.XGBClassifier(**XGB).fit(frame, two),
        "xgboost three": lambda: xgboost.XGBClassifier(**XGB).fit(frame, three),
        "xgboost number": lambda: xgboost.XGBRegressor(**XGB).fit(frame, aim),
        "xgboost counts": lambda: xgboost.XGBRegressor(**XGB, objective="count:poisson").fit(frame, np.abs(aim)),
        "xgboost dart": lambda: xgboost.XGBRegressor(**XGB, booster="dart", rate_drop=0.5).fit(frame, aim),
        "catboost two": lambda: catboost.CatBoostClassifier(**CAT).fit(frame, two),
        "catboost three": lambda: catboost.CatBoostClassifier(**CAT).fit(frame, three),
        "catboost number": lambda: catboost.CatBoostRegressor(**CAT).fit(frame, aim),
        "lightgbm three": lambda: lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1).fit(frame, three),
        "logistic three": lambda: LogisticRegression(max_iter=300).fit(frame.fillna(0), three),
        "logistic two": lambda: LogisticRegression(max_iter=300).fit(frame.fillna(0), two),
        "poisson": lambda: PoissonRegressor().fit(frame.fillna(0), np.abs(aim)),
        "forest": lambda: RandomForestClassifier(10, random_state=0).fit(frame, three),
    }
    made = {}

    def get(name):
        if name not in made:
            rows = frame.fillna(0) if name.split()[0] in {"logistic", "poisson"} else frame
            made[name] = pack(models[name](), rows, name="model", output=folder / f"{name.replace(' ', '-')}.aweigh")
        return made[name]

    return get


def table_of(predictor, rows):
    checked = check_rows(predictor.schema, predictor.examples.rows)
    return checked.take(np.resize(np.arange(checked.rows), rows))


def written(answers):
    return [msgspec.json.encode(one) for one in answers.documents()]


# -- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    partly_slow(
        *("xgboost two", "catboost two"),
        slow=["xgboost counts", "xgboost three", "xgboost number", "catboost three", "catboost number"],
    ),
)
def test_the_library_answers_in_the_graphs_bits(packed, name):
    found = packed(name)
    bundle = verify(found.path)
    family = name.split()[0]
    assert [one.runtime for one in found.manifest.alternatives] == [family]
    graph, native = load(bundle, form="onnx"), load(bundle, form="native")
    assert (graph.forms.turns, native.forms.turns) == ((Turn(1, "onnx"),), (Turn(1, family),))
    many = table_of(graph, 300)
    assert written(graph.predict(many)) == written(native.predict(many))
    alone = [written(one.predict(many.take(slice(i, i + 1))))[0] for one in (graph, native) for i in range(20)]
    assert alone == written(graph.predict(many))[:20] * 2
    assert native.replay().ok


@pytest.mark.parametrize(
    "name", partly_slow("xgboost two", "xgboost dart", "lightgbm three", "forest", slow=["catboost three"])
)
def test_threads_change_no_bit(packed, name):
    """A tree node of single precision adds up in another order on two threads: there the rows are cut into slices."""
    found = packed(name)
    bundle = verify(found.path)
    assert found.manifest.any_threads == (not name.startswith("xgboost"))
    one, two = load(bundle, threads=1, form="onnx"), load(bundle, threads=2, form="onnx")
    assert found.manifest.any_parts
    assert two.forms.candidates[0].threads == 2
    many = table_of(one, 600)
    assert written(one.predict(many)) == written(two.predict(many))


def test_a_library_that_rounds_otherwise_does_not_come_along(packed):
    found = packed("xgboost dart")
    assert found.manifest.alternatives == ()
    assert "differ" in found.manifest.alternatives_reason or "last bit" in found.manifest.alternatives_reason
    assert not any(name.startswith("model/alternative") for name in found.manifest.files)


def test_models_without_another_form_say_nothing(packed):
    for name in ("forest", "lightgbm three"):
        assert (packed(name).manifest.alternatives, packed(name).manifest.alternatives_reason) == ((), "")


@pytest.mark.parametrize("name", partly_slow("lightgbm three", "catboost two", slow=["logistic two", "logistic three"]))
def test_a_row_has_the_same_bits_wherever_it_stands(packed, name):
    """ONNX Runtime takes exponentials in double precision by other arithmetic at the end of a table than within."""
    assert packed(name).manifest.any_parts
    predictor = load(verify(packed(name).path))
    many = mixed(table_of(predictor, 8), 301)
    together = written(predictor.predict(many))
    assert [written(predictor.predict(many.take(slice(i, i + 1))))[0] for i in range(301)] == together


@pytest.mark.slow
def test_what_is_not_the_same_in_any_company_is_told(packed):
    found = packed("poisson").manifest
    assert (found.runtime, found.any_threads, found.any_parts) == ("onnx", True, False)


def numbers(*values):
    return Answers(NUMBER, len(values), values=np.array(values, dtype=float).reshape(-1, 1))


def test_bits_are_told_apart():
    expected = numbers(1.0, np.nan, 0.0, 0.1)
    assert rows_differing(numbers(1.0, -np.nan, 0.0, 0.1), expected).tolist() == [False] * 4
    assert rows_differing(numbers(1.0, 1.0, -0.0, np.nextafter(0.1, 1)), expected).tolist() == [False, True, True, True]


def line(table, *, off=0.0):
    return Answers(NUMBER, table.rows, values=(table["x"].data * 3 + off).reshape(-1, 1))


def test_a_difference_that_only_few_rows_show_is_seen():
    table = Table({"x": Values(np.linspace(-1, 1, 100))}, 100)
    assert same_bits(line, line, table) == 0
    assert same_bits(line, lambda rows: line(rows, off=1e-9 * (rows.rows == 1)), table) == 100
    assert same_bits(line, lambda rows: line(rows, off=1e-9 * (rows.rows == 100)), table) == 100
    assert any_parts(line, table)
    assert not any_parts(lambda rows: line(rows, off=1e-9 * (rows.rows == 1)), table)
    assert any_threads(line, lambda _: line, table)
    assert not any_threads(line, lambda threads: lambda rows: line(rows, off=1e-9 * (threads == 4)), table)


# -- who answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "turns"),
    [
        ({"onnx": {1: 10, 32: 100, 1024: 3000}}, [(1, "onnx")]),
        ({"onnx": {1: 10, 32: 100, 1024: 3000}, "xgboost": {1: 200, 32: 230, 1024: 3200}}, [(1, "onnx")]),
        ({"onnx": {1: 10, 32: 100, 1024: 3000}, "xgboost": {1: 200, 32: 230, 1024: 2950}}, [(1, "onnx")]),
        (
            {"onnx": {1: 9, 32: 102, 1024: 3078}, "xgboost": {1: 201, 32: 232, 1024: 1224}},
            [(1, "onnx"), (97, "xgboost")],
        ),
        ({"onnx": {1: 300, 32: 400, 1024: 3000}, "xgboost": {1: 200, 32: 230, 1024: 1000}}, [(1, "xgboost")]),
        ({"onnx": {1: 300, 32: 1000}, "xgboost": {1: 2000, 32: 2030}}, [(1, "onnx"), (80, "xgboost")]),
    ],
    ids=["one form", "never", "hardly", "from the crossing on", "always", "beyond what was measured"],
)  # fmt: skip
def test_who_answers_for_how_many_rows(taken, turns):
    found = turns_of({(name, 1): one for name, one in taken.items()})
    assert [(one.from_rows, one.runtime) for one in found] == turns


def test_a_call_goes_to_the_form_of_its_size():
    rows = Table({"x": Values(np.zeros(40))}, 40)
    answer = by_size([(1, lambda _: "few"), (10, lambda _: "some"), (20, lambda _: "many")])
    asked = [answer(rows.take(slice(0, count))) for count in (0, 1, 9, 10, 19, 20, 40)]
    assert asked == ["few", "few", "few", "some", "some", "many", "many"]


@pytest.mark.parametrize("rows", [1, 2 * LEAST_ROWS - 1, 2 * LEAST_ROWS, 3 * LEAST_ROWS + 1, 5_000])
def test_slices_come_back_in_order(rows):
    table = Table({"x": Values(np.arange(rows, dtype=float))}, rows)
    sizes = []

    def noted(part):
        sizes.append(part.rows)
        return line(part)

    assert not rows_differing(sliced(noted, threads=3)(table), line(table)).any()
    assert sum(sizes) == rows
    assert len(sizes) == max(1, min(3, rows // LEAST_ROWS))


def test_only_what_is_quick_is_measured():
    sizes = []

    def slow(table):
        sizes.append(table.rows)
        end = time.thread_time() + forms_module.LONGEST_S / 100 * table.rows
        while time.thread_time() < end:
            pass

    taken = measure({("onnx", 1): slow}, Table({"x": Values(np.zeros(3))}, 3))
    assert list(taken["onnx", 1]) == list(SIZES[:2])
    assert max(sizes) == SIZES[1]


def test_one_form_is_not_measured(packed, monkeypatch):
    monkeypatch.setattr(forms_module, "measure", lambda *_: pytest.fail("measured"))
    forms = load(verify(packed("forest").path)).forms
    assert (forms.how, forms.turns) == ("only", (Turn(1, "onnx"),))
    assert load(verify(packed("xgboost two").path)).forms.how == "only"
    assert load(verify(packed("xgboost two").path), form="onnx").forms.how == "pinned"


def test_the_fastest_is_measured_and_told(packed):
    predictor = load(verify(packed("catboost two").path), form="fastest")
    forms = predictor.forms
    assert forms.how == "measured"
    assert [list(one.microseconds) for one in forms.candidates] == [list(SIZES)] * 2
    assert forms.turns[0].from_rows == 1
    assert predictor.replay().ok
    told = json.loads(msgspec.json.encode(model_document(predictor)))["forms"]
    assert told["how"] == "measured"
    assert told["candidates"][1]["runtime"] == "catboost"


@pytest.mark.slow
def test_each_form_is_tried_on_one_thread_as_well(packed):
    predictor = load(verify(packed("catboost number").path), form="fastest", threads=2)
    tried = [(one.runtime, one.threads) for one in predictor.forms.candidates]
    assert tried == [("onnx", 1), ("onnx", 2), ("catboost", 1), ("catboost", 2)]
    assert {(one.runtime, one.threads) for one in predictor.forms.turns} <= set(tried)
    assert predictor.replay().ok


def test_no_two_measured_rows_are_alike(packed):
    predictor = load(verify(packed("xgboost two").path))
    golden = check_rows(predictor.schema, predictor.examples.rows)
    rows = mixed(golden, 200)
    assert len({tuple(row.values()) for row in rows.iter_rows()}) == 200
    for name, values in rows.columns.items():
        seen = golden[name].data
        assert seen.min() <= values.present().min()
        assert values.present().max() <= seen.max()


def test_what_is_not_in_the_locks_waits_to_be_asked_for(packed):
    forms = load(verify(packed("xgboost two").path)).forms
    assert forms.turns == (Turn(1, "onnx"),)
    assert "--with-native" in forms.candidates[1].unused


def test_with_native_locks_the_library(frame, aim, tmp_path):
    model = catboost.CatBoostRegressor(**CAT).fit(frame, aim)
    found = pack(model, frame, name="model", with_native=True, output=tmp_path / "native.aweigh")
    bundle = verify(found.path)
    assert found.manifest.alternatives[0].locked
    assert b"catboost==" in bundle.read("requirements.txt")
    assert load(bundle).forms.how == "measured"


@pytest.mark.slow
def test_a_large_file_comes_along_only_when_asked_for(frame, aim, tmp_path, monkeypatch):
    """By its size alone: a clock would give the same inputs other bytes on another day."""
    monkeypatch.setattr(packing_forms, "UNASKED_BYTES", 1_000)
    model = xgboost.XGBRegressor(**XGB).fit(frame, aim)
    unasked = pack(model, frame, name="model", output=tmp_path / "unasked.aweigh")
    assert unasked.manifest.alternatives == ()
    assert "--with-native was not asked for" in unasked.manifest.alternatives_reason
    asked = pack(model, frame, name="model", output=tmp_path / "asked.aweigh", with_native=True)
    assert [one.runtime for one in asked.manifest.alternatives] == ["xgboost"]


def test_a_form_that_is_not_there(packed, monkeypatch):
    bundle = verify(packed("xgboost two").path)
    with pytest.raises(UsageError, match="no form 'catboost'"):
        load(bundle, form="catboost")
    monkeypatch.setattr(forms_module, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra):
        load(bundle, form="native")
    forms = load(bundle, form="fastest").forms
    assert forms.turns == (Turn(1, "onnx"),)
    assert forms.candidates[1].unused == "its library is not installed here"


# -- on the command line ---------------------------------------------------------------------------------------------


def test_inspect_tells_of_the_forms(packed):
    path = str(packed("xgboost two").path)
    plain = CliRunner().invoke(cli, ["inspect", path])
    assert "xgboost, not in the locks" in plain.output
    assert "1,024 rows" not in plain.output
    measured = CliRunner().invoke(cli, ["inspect", path, "--measure"])
    assert "1,024 rows" in measured.output
    document = json.loads(CliRunner().invoke(cli, ["inspect", path, "--measure", "--json"]).output)
    assert [one["runtime"] for one in document["forms"]["candidates"]] == ["onnx", "xgboost"]


def test_files_scored_by_either_form_are_the_same(packed, frame, tmp_path):
    frame.to_csv(tmp_path / "rows.csv", index=False)
    outs = []
    for form in ("onnx", "native"):
        arguments = ["predict", str(packed("xgboost two").path), str(tmp_path / "rows.csv"), "--form", form]
        done = CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / f"{form}.csv")])
        assert done.exit_code == 0, done.output
        outs.append((tmp_path / f"{form}.csv").read_bytes())
    assert "as xgboost" in done.output
    assert outs[0] == outs[1]
