"""The stand-in's HTTP: what Kubernetes' API answers, and faults on demand."""

import asyncio
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from tests.kubernetes.kubelet import forward, serving
from tests.kubernetes.store import KIND_OF, KINDS, Answer, Store

PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>.+))?)?\Z"
)
STAMP = re.compile(r"^20\d\d-\S+Z ", re.MULTILINE)
METHODS = ["GET", "POST", "PATCH", "DELETE"]


@dataclass
class Fault:
    """What a request is answered that its method and path are found in, so many times."""

    method: str
    pattern: str
    times: int = 1
    status: int = 500
    body: dict | None = None
    text: str | None = None
    """In place of a document."""
    headers: dict = field(default_factory=dict)
    cut: bool = False
    """The connection is closed without an answer; of a watch, in the middle of a line."""


class Api:
    """The stand-in: its objects, what was asked of it, and the faults that it is to have."""

    def __init__(self):
        self.store = Store()
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []
        self.written: list[tuple[str, str]] = []
        """What whoever deploys has asked for that changes something."""
        self.added: dict[str, list[tuple[str, str, bool]]] = {}
        """What others have added to the cluster: told of, and closed to whoever deploys."""
        self.tokens: set[str] | None = None
        self.logs: dict[str, str] = {}
        self.starting: list[str] = []
        """The pods whose log is asked for too early, as often as they stand here."""
        self.backend = 0
        """The port of this machine at which the app of every pod answers."""
        self.backends: dict[str, int] = {}
        """The ports of those pods that have one of their own."""
        self.forwards = True
        self.headers: list[dict] = []
        self.url = ""
        self.page = 0
        """How many items a page has at most; 0: as many as are asked for."""
        self.closing = False
        routes = [
            WebSocketRoute("/api/v1/namespaces/{namespace}/pods/{name}/portforward", self._forward),
            Route("/{path:path}", self._answer, methods=METHODS),
        ]
        self.app = Starlette(routes=routes)

    def place(self, plural, namespace="models"):
        """The collection of a kind."""
        version = next(one for one, found in KINDS.items() if plural in [each[0] for each in found])
        return (version, namespace, plural)

    def of(self, plural, name=None, namespace="models"):
        """What is there of a kind, or one of it."""
        found = self.store.objects.get(self.place(plural, namespace), {})
        return list(found.values()) if name is None else found[name]

    def counted(self, method, pattern):
        """How often that was asked."""
        return sum(one == method and re.search(pattern, path) is not None for one, path in self.asked)

    async def _answer(self, request):
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.asked.append((request.method, path))
        self.headers.append(dict(request.headers))
        # Faults are for whoever deploys: the controllers look at the same things.
        is_ours = request.headers.get("user-agent", "").startswith("aweigh")
        self.written += [(request.method, path)] if is_ours and request.method != "GET" else []
        fault = self._fault(request.method, path) if is_ours else None
        if fault is not None and fault.text is not None:
            return Response(fault.text, fault.status, media_type="application/json")
        if fault is not None and not fault.cut:
            body = fault.body or {"kind": "Status", "message": "it is so", "reason": "", "code": fault.status}
            return JSONResponse(body, fault.status, headers=fault.headers)
        try:
            if self.tokens is not None:
                said = request.headers.get("authorization", "")
                if said.removeprefix("Bearer ") not in self.tokens:
                    raise Answer(401, "Unauthorized", "Unauthorized")
            if fault is not None and not re.search("watch=true|follow=true", path):
                return StreamingResponse(broken(b'{"kind": "Li'), media_type="application/json")
            return await self._found(request, cut=fault is not None)
        except Answer as answer:
            return JSONResponse(answer.document, answer.code)

    def _fault(self, method, path):
        for one in self.faults:
            if one.times and one.method == method and re.search(one.pattern, path):
                one.times -= 1
                return one
        return None

    async def _found(self, request, *, cut):
        path, query = request.url.path, request.query_params
        root = re.fullmatch(r"/api/(v1)|/apis/([^/]+/[^/]+)", path)
        if root:
            return discovery(root[1] or root[2], KINDS | self.added)
        if found := re.fullmatch(r"/api/v1/namespaces/[^/]+/services/[^/]+/proxy(/.*)", path):
            return await self._proxied(request, found[1])
        found = PATH.fullmatch(path)
        if found is None:
            raise Answer(404, "NotFound", "the server could not find the requested resource")
        version = found["core"] or found["group"]
        if version in self.added:
            raise Answer(403, "Forbidden", f"{found['plural']} is forbidden")
        place, name, sub = (version, found["namespace"] or "", found["plural"]), found["name"], found["sub"]
        if (version, found["plural"]) not in KIND_OF:
            raise Answer(404, "NotFound", "the server could not find the requested resource")
        if sub == "log":
            self.store.get(place, name)
            if not query.get("container"):
                raise Answer(400, "BadRequest", "a container name must be specified")
            if name in self.starting:
                self.starting.remove(name)
                raise Answer(400, "BadRequest", "container is waiting to start: ContainerCreating")
            if query.get("follow"):
                return StreamingResponse(self._followed(name, query, cut=cut), media_type="text/plain")
            text = self.logs.get(name, "")
            return PlainTextResponse(text if query.get("timestamps") else STAMP.sub("", text))
        if request.method == "GET":
            if name is not None:
                return JSONResponse(self.store.get(place, name))
            if query.get("watch") == "true":
                return self._watched(place, query, cut=cut)
            return self._listed(place, query)
        return self._written(request.method, place, (name, sub), query, await request.body())

    async def _followed(self, name, query, *, cut):
        """A log from a time on, as it grows; it ends with its pod, or is cut in the middle of a line."""
        told = 0
        while not self.closing:
            lines = self.logs.get(name, "").splitlines()
            for line in lines[told:]:
                if line.partition(" ")[0] >= query.get("sinceTime", ""):
                    if cut and told:
                        yield line[: len(line) // 2].encode()
                        raise ConnectionResetError
                    yield f"{line}\n".encode()
                told += 1
            if all(one["metadata"]["name"] != name for one in self.of("pods")):
                return
            await asyncio.sleep(0.02)

    def _written(self, method, place, named, query, body):
        name, sub = named
        manager = query.get("fieldManager", "unknown")
        if method == "DELETE":
            return JSONResponse(self.store.delete(place, name))
        document = json.loads(body)
        if method == "POST":
            name = document["metadata"]["name"]
            if name in self.store.objects.get(place, {}):
                raise Answer(409, "AlreadyExists", f'{place[2]} "{name}" already exists')
            return JSONResponse(self.store.put(place, name, document, before=None, dry_run=False), 201)
        if query.get("force") is not None:
            found = self.store.apply(
                place, name, document, manager=manager, force=query["force"] == "true", dry_run="dryRun" in query
            )
        else:
            found = self.store.merge(place, name, document, manager=manager, status=sub == "status")
        return JSONResponse(found)

    def _listed(self, place, query):
        found = [one for one in self.store.objects.get(place, {}).values() if chosen(one, query)]
        limit = self.page or int(query.get("limit", 500))
        start = int(query.get("continue", 0))
        more = str(start + limit) if len(found) > start + limit else ""
        meta = {"resourceVersion": str(self.store.version), "continue": more}
        items = [{k: v for k, v in one.items() if k not in {"kind", "apiVersion"}} for one in found]
        kind = KIND_OF[place[0], place[2]] + "List"
        return JSONResponse(
            {"kind": kind, "apiVersion": place[0], "metadata": meta, "items": items[start : start + limit]}
        )

    def _watched(self, place, query, *, cut):
        since = int(query["resourceVersion"])
        if since < self.store.oldest:
            raise Answer(410, "Expired", f"too old resource version: {since} ({self.store.oldest})")

        async def lines():
            at, ends = since, asyncio.get_running_loop().time() + float(query.get("timeoutSeconds", 60))
            if cut:
                yield b'{"type": "MODIFIED", "object": {"kind": "Depl'
                raise ConnectionResetError
            while asyncio.get_running_loop().time() < ends and not self.closing:
                for version, kind, where, one in list(self.store.history):
                    if version > at and where == place and chosen(one, query):
                        at = version
                        yield json.dumps({"type": kind, "object": one}).encode() + b"\n"
                await asyncio.sleep(0.02)
            mark = {"kind": KIND_OF[place[0], place[2]], "metadata": {"resourceVersion": str(self.store.version)}}
            yield json.dumps({"type": "BOOKMARK", "object": mark}).encode() + b"\n"

        return StreamingResponse(lines(), media_type="application/json")

    async def _proxied(self, request, path):
        import httpx

        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.request(
                request.method, f"http://127.0.0.1:{self.backend}{path}", content=await request.body(),
                headers={"Content-Type": "application/json"},
            )  # fmt: skip
        return Response(answer.content, answer.status_code, media_type="application/json")

    async def _forward(self, websocket):
        """A forwarded port."""
        self.asked.append(("WS", websocket.url.path))
        if not self.forwards:
            await websocket.close()
            return
        backend = self.backends.get(websocket.path_params["name"], self.backend)
        await forward(websocket, int(websocket.query_params["ports"]), backend)


def chosen(found, query):
    """Whether selectors choose an object."""
    labels = found["metadata"].get("labels") or {}
    for one in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = one.partition("=")
        if labels.get(key) != value:
            return False
    for one in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, value = one.partition("=")
        place = found
        for part in key.split("."):
            place = place.get(part, {})
        if place != value:
            return False
    return True


def discovery(version, known):
    """What is known of a group's version."""
    if version not in known:
        raise Answer(404, "NotFound", "the server could not find the requested resource")
    listed = [{"name": plural, "kind": kind, "namespaced": within} for plural, kind, within in known[version]]
    return JSONResponse({"kind": "APIResourceList", "groupVersion": version, "resources": listed})


async def broken(part):
    """An answer that breaks off."""
    yield part
    raise ConnectionResetError


@contextmanager
def running_api():
    """The stand-in, answering on a port of this machine."""
    api = Api()
    with serving(api.app) as port:
        api.url = f"http://127.0.0.1:{port}"
        try:
            yield api
        finally:
            api.closing = True
