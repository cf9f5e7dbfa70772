"""What is deployed to a Ray of tests, the command line that is typed there, and a steady load that compares answers."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.ray.cluster import Cluster

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.build import assemble
from aweigh.bundle.manifest import short
from aweigh.bundle.verify import open_bundle
from aweigh.runtime.predictor import same_document

STORED = Path(__file__).parents[1] / "bundles" / "format-1-onnx.aweigh"
COMMAND_S = 400
CLIENTS = 2
PAUSE_S = 0.02
PATIENCE_S = 20.0
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Bundle:
    """A bundle on the disk, and what it is to answer."""

    path: Path
    version: str
    rows: list[dict[str, Any]]
    predictions: list[dict[str, Any]]


def bundle_at(path: Path) -> Bundle:
    """Read what a bundle says of itself."""
    opened = open_bundle(path)
    examples = json.loads(opened.read("examples.json"))
    return Bundle(path, short(opened.digest), examples["rows"], examples["predictions"])


def made_of(path: Path, *, card: bytes = b"", lies: bool = False) -> Bundle:
    """Write the stored bundle with more on its card, and so another digest; one that lies gives others' answers."""
    stored = open_bundle(STORED)
    files = {one: stored.read(one) for one in stored.manifest.files}
    files["card.md"] += card
    if lies:
        examples = json.loads(files["examples.json"])
        first, *rest = examples["predictions"]
        files["examples.json"] = json.dumps(examples | {"predictions": [*rest, first]}).encode()
    write_bundle(assemble(files, msgspec.structs.replace(stored.manifest, files={})), path)
    return bundle_at(path)


@dataclass(frozen=True)
class Typed:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document of standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """Types `aweigh VERB ray ... --app NAME --address ...` in a process of its own."""

    cluster: Cluster
    port: int
    app: str = "penguins"
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where Ray's proxies listen."""
        return f"http://127.0.0.1:{self.port}"

    def type(self, verb: str, *words: str, address: str | None = None) -> Typed:
        """Type a verb."""
        command = [sys.executable, "-P", "-m", "aweigh", verb, "ray", *words, "--app", self.app]
        command += ["--address", address or self.cluster.address]
        environ = {**self.cluster.environ, **self.more}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S, env=environ)
        return Typed(done.returncode, done.stdout, done.stderr)

    def ask(self, verb: str, *words: str) -> Any:
        """Type a verb that must go well, with `--json`: its document."""
        done = self.type(verb, *words, "--json")
        assert done.code == 0, done.out + done.err
        return done.document

    def deploy(self, bundle: Bundle, *words: str) -> Any:
        """Take a bundle live, for anybody, with proxies on this port."""
        return self.ask("deploy", str(bundle.path), "--auth", "none", "--port", str(self.port), "--cpus", "0.5", *words)


@dataclass(frozen=True)
class Answer:
    """One request of a load: when it was sent, how long it took, what came: its status, 0 where the line broke."""

    at_s: float
    took_s: float
    status: int
    version: str
    right: bool


@dataclass
class Load:
    """A steady load, and all that it was answered."""

    answers: list[Answer] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def failed(self) -> list[Answer]:
        """What was no answer."""
        return [one for one in self.answers if one.status != 200]

    @property
    def wrong(self) -> list[Answer]:
        """Answers that are not those of the bundle that they say they are of."""
        return [one for one in self.answers if one.status == 200 and not one.right]

    def since(self, at_s: float) -> list[Answer]:
        """What was sent from a moment on."""
        return [one for one in self.answers if one.at_s >= at_s]


@contextmanager
def loaded(url: str, *bundles: Bundle, clients: int = CLIENTS) -> Iterator[Load]:
    """Ask one row after another by so many clients, and compare each answer with the bundle's own."""
    load = Load()
    by_version = {one.version: one for one in bundles}
    threads = [threading.Thread(target=_ask, args=(url, load, by_version, n)) for n in range(clients)]
    for one in threads:
        one.start()
    try:
        yield load
    finally:
        load.stopped.set()
        for one in threads:
            one.join(PATIENCE_S * 2)


def _ask(url: str, load: Load, by_version: Mapping[str, Bundle], number: int) -> None:
    rows = next(iter(by_version.values())).rows
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
        while not load.stopped.wait(PAUSE_S):
            number = (number + 1) % len(rows)
            sent = time.monotonic()
            status, version, right = 0, "", False
            try:
                reply = client.post(f"{url}/v1/predict", json={"rows": [rows[number]]})
                status = reply.status_code
                if status == 200:
                    told = reply.json()
                    version = told["model"]["version"]
                    wanted = by_version[version].predictions[number] if version in by_version else None
                    right = wanted is not None and same_document(told["predictions"][0], wanted, TOLERANCE)
            except httpx.HTTPError:
                pass
            load.answers.append(Answer(sent, time.monotonic() - sent, status, version, right))
