"""vetiver, with its own check of the input; its ``/predict`` gives labels only, so probabilities get a path."""

import json
import os
from pathlib import Path

import joblib
import pandas as pd
from vetiver import VetiverAPI, VetiverModel

facts = json.loads(Path(os.environ["ROWS_FILE"]).read_text(encoding="utf-8"))
model = joblib.load(os.environ["MODEL_FILE"])


def proba(rows: pd.DataFrame) -> list[float]:
    """The probability of class 1 for each row."""
    answers: list[float] = model.predict_proba(rows)[:, 1].tolist()
    return answers


api = VetiverAPI(
    VetiverModel(model, "bench", prototype_data=pd.DataFrame(facts["rows"])[facts["columns"]]), check_prototype=True
)
api.vetiver_post(proba, "proba")
app = api.app
