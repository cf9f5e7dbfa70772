"""What is live, asked over HTTP as anybody would: whether it is ready, and whether the golden rows' answers are right.

The bundle that is to be live holds the rows and the original model's answers; they are compared as a server does when
it starts (``runtime/predictor.py``). Behind a door the rows are asked with a key of ten minutes.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from aweigh.errors import ModelDiffers, RemoteError
from aweigh.guard.deploy_key import new_key
from aweigh.secret import Secret
from aweigh.targets.errors import AnswersDiffer

if TYPE_CHECKING:
    import httpx

CONNECT_S, ANSWER_S = 10.0, 35.0
"""A router gives up after 30 s, and says so."""
MOST_BYTES = 16 * 2**20
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Golden:
    """The rows that a live address is asked, and what it is to say; ``version`` is the bundle's short digest."""

    name: str
    version: str
    rows: Sequence[Mapping[str, Any]]
    predictions: Sequence[Mapping[str, Any]]
    absolute_tolerance: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it: ``problems`` names rows whose answer is not the original's; ``skipped`` the policy refuses."""

    rows: int
    problems: tuple[str, ...]
    skipped: int = 0

    @property
    def ok(self) -> bool:
        """Whether every golden row that was answered was answered as the original answered it."""
        return not self.problems

    def check(self, subject: str) -> None:
        """Passes where all agree; ``subject`` begins the sentence, as ``The new release``.

        Raises:
            AnswersDiffer: one does not.
        """
        if self.ok:
            return
        more = len(self.problems) - 1
        raise AnswersDiffer(
            f"{subject} answers differently: {self.problems[0]}{f' (and {more} more)' if more else ''}.",
            hint="aweigh verify checks the bundle; deploy it from the machine that packed it",
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What an address said: its status, and its body as far as it is a document."""

    status: int
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    @property
    def code(self) -> str:
        """The problem's own word, where it is a problem document of ours."""
        found = self.document
        return str(found.get("code", "")) if isinstance(found, dict) else ""


def check_itself(reply: Reply) -> None:
    """Passes unless a server that is not ready says that it never will be.

    Raises:
        AnswersDiffer: its own golden rows came out otherwise than when it was packed.
    """
    if reply.status == 503 and reply.code == ModelDiffers.code:
        raise AnswersDiffer(
            "The server itself refuses to answer: its golden rows do not come out as they did when it was packed.",
            hint="aweigh verify checks the bundle; the app's log names the rows",
        )


def golden_of(content: bytes | Path) -> Golden:
    """The golden rows of a bundle, of its bytes or its path. Nothing of it is run.

    Raises:
        BundleError: it is none.
    """
    from aweigh.bundle.examples import load_examples
    from aweigh.bundle.manifest import short
    from aweigh.bundle.verify import open_bundle

    if isinstance(content, bytes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bundle.aweigh"
            path.write_bytes(content)
            return golden_of(path)
    bundle = open_bundle(content)
    examples = load_examples(bundle.read("examples.json"))
    return Golden(
        bundle.manifest.name,
        short(bundle.digest),
        examples.rows,
        examples.predictions,
        bundle.manifest.proof.absolute_tolerance,
    )


def get(url: str, path: str) -> Reply | None:
    """What an address says to a plain question; None: it does not answer."""
    with _client(url) as client:
        return _asked(client, url, path)


def replay(url: str, golden: Golden, *, secret: Secret | None, key: Secret | None = None) -> Replayed:
    """Asks the golden rows of a live address, together and one at a time, and holds the answers against the original's.

    ``secret`` is what the deployment's keys are made of, where the app is behind a door; ``key`` is one that was made
    already, where the secret is not here.

    Raises:
        RemoteError: it does not answer, lets nobody in, or answers for another bundle.
    """
    if secret is not None and key is None:
        key = new_key(secret)
    if key is not None and not is_private(url):
        raise RemoteError("The app's address is not encrypted: no key is sent to it.", hint="see its domains")
    headers = {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
    with _client(url, headers) as client:
        return _replayed(lambda rows: _predictions(client, url, rows, version=golden.version), golden)


def _replayed(ask: Callable[[Sequence[Mapping[str, Any]]], list[Any] | None], golden: Golden) -> Replayed:
    together = ask(golden.rows) if golden.rows else []
    problems: list[str] = []
    skipped = 0
    for i, (row, expected) in enumerate(zip(golden.rows, golden.predictions, strict=True)):
        alone = ask([row])
        if alone is None:
            skipped += 1
            continue
        said = [("alone", alone[0])] + ([] if together is None else [("with others", together[i])])
        problems += _differing(i, said, expected, golden.absolute_tolerance)
    if golden.rows and skipped == len(golden.rows):
        raise RemoteError(
            "Every golden row is refused as outside what the model has seen.",
            hint="AWEIGH_DOMAIN is stricter than the model's own examples: loosen it",
        )
    return Replayed(len(golden.rows), tuple(problems), skipped)


def _differing(i: int, said: Sequence[tuple[str, Any]], expected: Mapping[str, Any], tolerance: float) -> list[str]:
    from aweigh.runtime.predictor import same_document

    return [
        f"golden row {i + 1}, asked {how}: {_short(got)} where the original said {_short(expected)}"
        for how, got in said
        if not same_document(got, expected, tolerance)
    ]


def _short(document: Any) -> str:
    text = msgspec.json.encode(document).decode()
    return text if len(text) <= 100 else text[:97] + "..."


def _predictions(
    client: "httpx.Client", url: str, rows: Sequence[Mapping[str, Any]], *, version: str
) -> list[Any] | None:
    """The predictions for rows; None: the policy on rows that are strange refuses one of them."""
    reply = _asked(client, url, "/v1/predict", body={"rows": list(rows)})
    if reply is None:
        raise RemoteError("The app does not answer.", hint="its log says what it is doing (aweigh logs)")
    if reply.status == 422 and reply.code == "outside_domain":
        return None
    if reply.status in {401, 403}:
        raise RemoteError(
            "The app does not let the deployment in to ask its golden rows.",
            hint="its version of aweigh knows no AWEIGH_DEPLOY_SECRET, or an access policy stands in front of it",
        )
    document = reply.document
    if reply.status != 200 or not isinstance(document, dict) or not isinstance(document.get("predictions"), list):
        raise RemoteError(f"The app answers a golden row with the status {reply.status}.", hint="see its log")
    model = document.get("model")
    said = model.get("version") if isinstance(model, dict) else None
    if said != version:
        raise RemoteError(
            f"The app answers for the bundle {str(said)[:40]}, and not for {version}.",
            hint="another deployment came in between: run the same command again",
        )
    found: list[Any] = document["predictions"]
    if len(found) != len(rows):
        raise RemoteError(f"The app gives {len(found)} answers to {len(rows)} rows.", hint="see its log")
    return found


def _client(url: str, headers: Mapping[str, str] | None = None) -> "httpx.Client":
    import httpx

    return httpx.Client(
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        trust_env=not is_loopback(url),
        # Where a candidate is tried beside the bundle, it is the bundle that is asked.
        headers={
            "Accept": "application/json",
            "User-Agent": "aweigh",
            "X-Aweigh-Release": "current",
            **(headers or {}),
        },
    )


def _asked(client: "httpx.Client", url: str, path: str, *, body: Mapping[str, Any] | None = None) -> Reply | None:
    import httpx

    content = None if body is None else msgspec.json.encode(body)
    headers = {} if body is None else {"Content-Type": "application/json"}
    method = "GET" if body is None else "POST"
    try:
        with client.stream(method, url.rstrip("/") + path, content=content, headers=headers) as reply:
            return Reply(reply.status_code, _read(reply))
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


def _read(reply: "httpx.Response") -> bytes:
    found = bytearray()
    for piece in reply.iter_bytes():
        found += piece
        if len(found) > MOST_BYTES:
            break
    return bytes(found)


def is_private(url: str) -> bool:
    """Whether what is sent there is read by nobody on the way: TLS, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    try:
        return urlsplit(url).hostname in _LOOPBACK
    except ValueError:
        return False
