"""What a registry says of images that are there already: manifests by their digests, and nothing of what is in them."""

import hashlib
import json

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Images:
    """A registry to which nothing can be pushed."""

    def __init__(self):
        self.known: dict[str, bytes] = {}
        routes = [Route("/v2/", self._root), Route("/v2/{name:path}/manifests/{digest}", self._manifest)]
        self.app = Starlette(routes=routes)

    def add(self, version):
        """Have an image that says it holds a bundle; its digest."""
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{'0' * 64}", "size": 2}
        content = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [],
            "annotations": {"org.opencontainers.image.version": version},
        }).encode()  # fmt: skip
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.known[digest] = content
        return digest

    async def _root(self, request):
        return JSONResponse({})

    async def _manifest(self, request):
        content = self.known.get(request.path_params["digest"])
        if content is None:
            return JSONResponse({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, 404)
        return Response(content, media_type=MANIFEST)
