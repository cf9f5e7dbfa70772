"""LitServe with its batching: up to 32 requests together, waiting 5 ms at most."""

import os
from typing import Any

import joblib
import litserve
import pandas as pd


class Answering(litserve.LitAPI):  # type: ignore[misc]
    """Rows in, the probability of class 1 of each out, several requests at once."""

    def setup(self, device: str) -> None:
        """Load the model."""
        del device
        self.model = joblib.load(os.environ["MODEL_FILE"])

    def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Take the rows of one request."""
        rows: list[dict[str, Any]] = request["rows"]
        return rows

    def batch(self, inputs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Put the rows of several requests together."""
        self.counts = [len(rows) for rows in inputs]
        return [row for rows in inputs for row in rows]

    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """Answer them all."""
        answers: list[float] = self.model.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
        return answers

    def unbatch(self, output: list[float]) -> list[list[float]]:
        """Give each request its own answers."""
        found = []
        for count in self.counts:
            found.append(output[:count])
            output = output[count:]
        return found

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """Name them."""
        return {"proba": output}


if __name__ == "__main__":
    server = litserve.LitServer(
        Answering(max_batch_size=32, batch_timeout=0.005), accelerator="cpu", devices=1, workers_per_device=1
    )
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
