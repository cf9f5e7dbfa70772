"""BentoML with its adaptive batching; rows come as dicts, since a DataFrame does not answer when batched (1.4.39)."""

import os
from typing import Any

import bentoml
import joblib
import pandas as pd


@bentoml.service(workers=1)
class Model:
    """Rows in, the probability of class 1 of each out."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL_FILE"])

    @bentoml.api(batchable=True, max_batch_size=1024, max_latency_ms=60_000)
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """Answer the rows of all requests that wait."""
        answers: list[float] = self.model.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
        return answers
