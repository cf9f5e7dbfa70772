"""FastAPI by hand: what a user would write in ten minutes."""

import os
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.environ["MODEL_FILE"])
app = FastAPI()


class Asked(BaseModel):
    """The body of a request."""

    rows: list[dict[str, Any]]


@app.post("/predict")
def predict(asked: Asked) -> dict[str, list[float]]:
    """The probability of class 1 for each row."""
    return {"proba": model.predict_proba(pd.DataFrame(asked.rows))[:, 1].tolist()}
