"""Writes what MLServer is started with: up to 32 requests together, waiting 5 ms at most.

Without its pool of workers: a pool of one answered no more requests here, and took twice the memory.
"""

import json
import os
import socket
from pathlib import Path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def column(name: str, value: object) -> dict[str, object]:
    """What a column holds, so that no request has to say it."""
    if isinstance(value, str):
        return {"name": name, "datatype": "BYTES", "shape": [-1, 1], "parameters": {"content_type": "str"}}
    return {"name": name, "datatype": "FP64", "shape": [-1, 1]}


facts = json.loads(Path(os.environ["ROWS_FILE"]).read_text(encoding="utf-8"))
settings = {
    "host": "127.0.0.1",
    "http_port": int(os.environ["PORT"]),
    "grpc_port": free_port(),
    "metrics_port": free_port(),
    "parallel_workers": 0,
    "debug": False,
}
model_settings = {
    "name": "bench",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "inputs": [column(name, value) for name, value in facts["rows"][0].items()],
    "parameters": {
        "uri": os.environ["MODEL_FILE"],
        "content_type": "pd",
        "extra": {"predict_fn": "predict_proba"},
    },
    "max_batch_size": 32,
    "max_batch_time": 0.005,
}
Path("settings.json").write_text(json.dumps(settings), encoding="utf-8")
Path("model-settings.json").write_text(json.dumps(model_settings), encoding="utf-8")
