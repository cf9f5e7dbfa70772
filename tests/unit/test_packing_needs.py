"""What packing takes is asked for at once, before a model is read: every extra in one sentence."""

import sys

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

from aweigh.cli import demo
from aweigh.errors import MissingExtra
from aweigh.packing import pack
from aweigh.packing.needs import require_packing


@pytest.fixture
def lacks(monkeypatch):
    """Return what takes modules away, as if they were not installed; ``uv`` its program, too."""

    def take(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)
        if "uv" in names:
            monkeypatch.setenv("PATH", "")

    return take


@pytest.mark.parametrize(
    ("missing", "families", "sample", "extras"),
    [
        (["uv"], ["python"], None, "pack"),
        (["packaging"], ["python"], None, "pack"),
        (["onnx"], ["onnx"], None, "pack"),
        (["skl2onnx"], ["sklearn"], None, "pack"),
        (["skops"], ["sklearn"], None, "sklearn"),
        (["uv", "sklearn"], ["sklearn"], None, "pack,sklearn"),
        (["uv", "xgboost", "pyarrow"], ["sklearn", "xgboost"], "rows.parquet", "pack,xgboost,files"),
    ],
)
def test_all_that_is_missing_is_named_at_once(lacks, tmp_path, missing, families, sample, extras):
    lacks(*missing)
    with pytest.raises(MissingExtra) as caught:
        require_packing(families, sample=None if sample is None else tmp_path / sample)
    assert caught.value.extra == extras
    assert f"[{extras}]" in caught.value.hint


def test_what_a_model_does_not_take_is_not_asked_for(lacks):
    lacks("onnx", "skl2onnx", "sklearn", "pandas", "pyarrow")
    require_packing(["python"])
    require_packing(["python"], sample="rows.parquet")


def test_a_pickle_is_not_read_where_it_could_not_be_packed(lacks, tmp_path):
    model, sample = tmp_path / "m.joblib", tmp_path / "sample.csv"
    joblib.dump(LogisticRegression(), model)  # which is not even fitted: nobody gets so far as to say so
    sample.write_text("x,y\n1,2\n")
    lacks("uv")
    told = []
    with pytest.raises(MissingExtra, match="Packing needs"):
        pack(model, sample, output=tmp_path / "out", tell=lambda step, _text: told.append(step))
    assert told == ["scan"]
    assert not (tmp_path / "out").exists()


def test_the_demo_asks_before_it_trains(lacks, tmp_path):
    lacks("joblib", "sklearn", "uv")
    with pytest.raises(MissingExtra) as caught:
        demo._pack(tmp_path / "kept")
    assert caught.value.extra == "pack,sklearn"
    assert not (tmp_path / "kept").exists()
