"""Ray Serve with its batching: one replica, up to 32 requests together, waiting 5 ms at most.

Tuned for throughput as its documentation says, with HAProxy before the replica: the variables are in ``PEER_KINDS``.
"""

import os
import signal
import socket
import sys
import tempfile
from typing import Any

import joblib
import pandas as pd
import ray
from ray import serve
from starlette.requests import Request

Rows = list[dict[str, Any]]


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Answering:
    """Rows in, the probability of class 1 of each out, several requests at once."""

    def __init__(self, path: str) -> None:
        """Load the model."""
        self.model = joblib.load(path)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)
    async def predict(self, asked: list[Rows]) -> list[list[float]]:
        """Answer the rows of all requests that wait, and give each its own."""
        frame = pd.DataFrame([row for rows in asked for row in rows])
        left = iter(self.model.predict_proba(frame)[:, 1].tolist())
        return [[next(left) for _ in rows] for rows in asked]

    async def __call__(self, request: Request) -> dict[str, list[float]]:
        """Take the rows of one request."""
        return {"proba": await self.predict((await request.json())["rows"])}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def main() -> None:
    """Serve until a signal comes; what Ray and HAProxy write lies in a folder that goes with them."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # A short path: the names of sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        try:
            os.environ.update(
                RAY_SERVE_HAPROXY_CONFIG_FILE_LOC=f"{folder}/haproxy.cfg",
                RAY_SERVE_HAPROXY_SOCKET_PATH=f"{folder}/haproxy.sock",
                RAY_SERVE_HAPROXY_SERVER_STATE_BASE=f"{folder}/haproxy",
                RAY_SERVE_HAPROXY_SERVER_STATE_FILE=f"{folder}/haproxy-state",
                RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH=f"{folder}/haproxy-metrics.sock",
                RAY_SERVE_HAPROXY_METRICS_PORT=str(free_port()),
                RAY_SERVE_HAPROXY_STATS_PORT=str(free_port()),
            )
            ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
            serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
            serve.run(Answering.bind(os.environ["MODEL_FILE"]), route_prefix="/predict", blocking=True)
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()
