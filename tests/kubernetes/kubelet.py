"""What of a kubelet the API asks: logs, and ports that it forwards by WebSocket (``v4.channel.k8s.io``)."""

import asyncio
import threading
from contextlib import contextmanager, suppress

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

PROTOCOL = "v4.channel.k8s.io"


async def forward(websocket, port, backend):
    """A forwarded port as a kubelet has it: each channel begins with the port."""
    await websocket.accept(subprotocol=PROTOCOL)
    await websocket.send_bytes(b"\0" + port.to_bytes(2, "little"))
    await websocket.send_bytes(b"\1" + port.to_bytes(2, "little"))
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend)
    except OSError:
        await websocket.send_bytes(b"\1nothing listens there")
        await websocket.close()
        return

    async def back():
        while piece := await reader.read(65536):
            await websocket.send_bytes(b"\0" + piece)
        await websocket.close()

    going = asyncio.create_task(back())
    with suppress(Exception):
        while True:
            message = await websocket.receive_bytes()
            if message[:1] == b"\0":
                writer.write(message[1:])
                await writer.drain()
    going.cancel()
    writer.close()


class Kubelet:
    """A node: all its pods are the same app, at a port of this machine."""

    def __init__(self):
        self.backend = 0
        self.logs = {}
        self.asked = []
        self.port = 0
        self.app = Starlette(
            routes=[
                WebSocketRoute("/portForward/{namespace}/{pod}", self._forward),
                Route("/containerLogs/{namespace}/{pod}/{container}", self._log),
            ]
        )

    async def _forward(self, websocket):
        self.asked.append((dict(websocket.headers), str(websocket.url.query)))
        await forward(websocket, int(websocket.query_params["port"]), self.backend)

    async def _log(self, request):
        text = self.logs.get(request.path_params["pod"], "")
        lines = text.splitlines(keepends=True)
        return PlainTextResponse("".join(lines[-int(request.query_params.get("tailLines", len(lines) or 1)) :]))


@contextmanager
def serving(app, **more):
    """An ASGI app on a port of this machine; the port."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", ws="websockets-sansio", lifespan="off",
        timeout_graceful_shutdown=1, **more,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def running_kubelet(cluster, client, name="node"):
    """A node of a cluster."""
    found = Kubelet()
    certificate, key = cluster.authority.issue(name, server=True)
    for kind, text in (("crt", certificate), ("key", key)):
        (cluster.folder / f"{name}.{kind}").write_text(text)
    tls = {"ssl_certfile": cluster.folder / f"{name}.crt", "ssl_keyfile": cluster.folder / f"{name}.key"}
    with serving(found.app, **tls) as port:
        found.port = port
        client.post("/api/v1/nodes", json={"metadata": {"name": name}}).raise_for_status()
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        patched = client.patch(
            f"/api/v1/nodes/{name}/status", json={"status": status},
            headers={"Content-Type": "application/merge-patch+json"},
        )  # fmt: skip
        patched.raise_for_status()
        yield found
