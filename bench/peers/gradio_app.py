"""Gradio with one endpoint and no page; without its queue, since a queued call is two requests and a stream."""

import os
from typing import Any

import gradio
import joblib
import pandas as pd

model = joblib.load(os.environ["MODEL_FILE"])


def predict(rows: list[dict[str, Any]]) -> list[float]:
    """The probability of class 1 for each row."""
    answers: list[float] = model.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
    return answers


with gradio.Blocks() as demo:
    gradio.api(predict, api_name="predict", queue=False)

if __name__ == "__main__":
    demo.launch(server_name="127.0.0.1", server_port=int(os.environ["PORT"]), quiet=True)
