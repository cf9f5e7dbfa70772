"""Tarballs of a few files, and the deployment of one by plain requests."""

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import httpx
from tests.heroku.server import HerokuServer

ACCEPT = "application/vnd.heroku+json; version=3"
# Nothing here is encrypted: to read the machine's certificates would take most of the time.
PLAIN: dict[str, Any] = {"timeout": 60.0, "trust_env": False, "verify": False}


def pack(files: Mapping[str, str | bytes]) -> bytes:
    """Return a gzipped tarball of files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return raw.getvalue()


def open_client(server: HerokuServer) -> httpx.Client:
    """Return a client with all that the API wants to see."""
    headers = {"Accept": ACCEPT, "Authorization": f"Bearer {server.token}"}
    return httpx.Client(base_url=server.url, headers=headers, **PLAIN)


def upload(client: httpx.Client, files: Mapping[str, str | bytes]) -> str:
    """Put a source, and return the address that a build reads it from."""
    blob = client.post("/sources").raise_for_status().json()["source_blob"]
    httpx.put(blob["put_url"], content=pack(files), **PLAIN).raise_for_status()
    return str(blob["get_url"])


def deploy(client: httpx.Client, app: str, files: Mapping[str, str | bytes]) -> tuple[dict[str, Any], str]:
    """Build files for an app; return the build as it ended, and its output."""
    body = {"source_blob": {"url": upload(client, files), "version": "0123abcd"}}
    build = client.post(f"/apps/{app}/builds", json=body).raise_for_status().json()
    output = httpx.get(build["output_stream_url"], **PLAIN).text
    return client.get(f"/apps/{app}/builds/{build['id']}").json(), output
