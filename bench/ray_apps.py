"""What somebody would write by hand to serve a model on Ray: with Ray Serve's batching, and with FastAPI."""

from typing import Any

Rows = list[dict[str, Any]]
BATCH, WAIT_S = 32, 0.005


def batched(path: str, *, replicas: int, cpus: float) -> Any:
    """Ray Serve's own batching, up to 32 requests together, waiting 5 ms at most."""
    import joblib
    import pandas as pd
    from ray import serve
    from starlette.requests import Request

    @serve.deployment(num_replicas=replicas, max_ongoing_requests=100, ray_actor_options={"num_cpus": cpus})
    class Batched:
        def __init__(self) -> None:
            self.model = joblib.load(path)

        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WAIT_S)
        async def predict(self, asked: list[Rows]) -> list[list[float]]:
            frame = pd.DataFrame([row for rows in asked for row in rows])
            left = iter(self.model.predict_proba(frame)[:, 1].tolist())
            return [[next(left) for _ in rows] for rows in asked]

        async def __call__(self, request: Request) -> dict[str, list[float]]:
            return {"proba": await self.predict((await request.json())["rows"])}

    return Batched.bind()


def fastapi(path: str, *, replicas: int, cpus: float) -> Any:
    """FastAPI as Ray Serve's ingress: one request, one call of the model."""
    import joblib
    import pandas as pd
    from fastapi import FastAPI
    from ray import serve
    from starlette.requests import Request

    app = FastAPI()

    @serve.deployment(num_replicas=replicas, max_ongoing_requests=100, ray_actor_options={"num_cpus": cpus})
    @serve.ingress(app)
    class WithFastAPI:
        def __init__(self) -> None:
            self.model = joblib.load(path)

        @app.post("/")
        async def predict(self, request: Request) -> dict[str, list[float]]:
            frame = pd.DataFrame((await request.json())["rows"])
            return {"proba": self.model.predict_proba(frame)[:, 1].tolist()}

    return WithFastAPI.bind()


APPS = {"batched": batched, "fastapi": fastapi}


def run(kind: str, path: str, *, replicas: int, cpus: float, address: str, port: int) -> None:
    """Serve one of them at /KIND on a Ray that runs, or end it where there are to be no replicas."""
    import logging

    import ray
    from ray import serve

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    if replicas == 0:
        serve.delete(kind)
    else:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        app = APPS[kind](path, replicas=replicas, cpus=cpus)
        serve.run(app, name=kind, route_prefix=f"/{kind}", logging_config={"enable_access_log": False})


if __name__ == "__main__":
    import sys

    run(sys.argv[1], sys.argv[2], replicas=int(sys.argv[3]), cpus=float(sys.argv[4]), address=sys.argv[5],
        port=int(sys.argv[6]))  # fmt: skip
