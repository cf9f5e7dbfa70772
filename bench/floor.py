"""The floor: a bare Starlette route that parses the JSON which the real server parses, and answers a constant."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def predict(request: Request) -> JSONResponse:
    """Parse the body and throw it away."""
    await request.json()
    return JSONResponse({"proba": [0.5]})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
