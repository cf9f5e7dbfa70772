"""Model files of strangers: what they would import, told without loading them, and loading that holds to the lists."""

import io
import sys
import zipfile

from fuzz_bounds import Found, Run

from aweigh.bundle.contents import check_content
from aweigh.errors import BundleError, MissingExtra, ModelError
from aweigh.models.scan import Limits, load_trusted_bytes, scan_bytes, trusted_names
from aweigh.models.scan.trusted import FAMILIES

LIMITS = Limits(size_bytes=1 << 24, ratio_from=1 << 20, opcodes=200_000)
FORBIDDEN = (
    "os.",
    "subprocess.",
    "socket.",
    "shutil.",
    "ctypes.",
    "urllib.",
    "webbrowser.",
    "pty.",
    "syslog.",
    "signal.",
)
HARMLESS = {"os.listdir", "os.scandir", "os.walk", "os.getxattr", "os.listxattr", "os.fwalk"}
"""Events that only look, which importing a module brings along (PEP 578)."""


def pickles() -> Run:
    """Pickles, plain and compressed, as the scanner reads them: whatever is wrong is in its answer."""

    def run(data: bytes) -> None:
        found = scan_bytes(data, limits=LIMITS)
        if found.names and found.format in {"xgboost-json", "onnx", "unknown"}:
            raise Found(f"a file of format {found.format} names {found.names}")

    return run


def skops_files() -> Run:
    """skops files; the first byte chooses whether it is the whole file, its schema, an array or a .npz."""

    def run(data: bytes) -> None:
        kind, content = data[0] % 5 if data else 0, data[1:]
        if kind:
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if kind == 4 else zipfile.ZIP_STORED) as archive:
                good = b'{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "protocol": 2}'
                archive.writestr("schema.json", good if kind in {2, 3} else content)
                if kind in {2, 3}:
                    archive.writestr("1.npy" if kind == 2 else "1.npz", content)
            content = out.getvalue()
        scan_bytes(content, limits=LIMITS)
        try:
            check_content("model/model.skops", content)
        except BundleError:
            return

    return run


def loads() -> Run:
    """Loading what the lists let through: only listed names, and nothing that a model has no need of."""
    import sklearn.linear_model
    import sklearn.tree  # noqa: F401  imported before anybody listens, as an import opens files

    names = frozenset[str]().union(*map(trusted_names, FAMILIES))
    heard: list[str] = []
    listening = False

    def hear(event: str, args: tuple) -> None:
        if not listening:
            return
        writes = event == "open" and isinstance(args[1], str) and any(one in args[1] for one in "wax+")
        if writes or (event.startswith(FORBIDDEN) and event not in HARMLESS):
            heard.append(f"{event} {args!r}"[:200])

    sys.addaudithook(hear)

    def run(data: bytes) -> None:
        nonlocal listening
        heard.clear()
        listening = True
        try:
            load_trusted_bytes(data, "model.pkl", formats=("joblib", "pickle"))
        except (ModelError, MissingExtra):
            pass
        else:
            strangers = set(scan_bytes(data).names) - names
            if strangers:
                raise Found(f"it is loaded, and names {strangers}")
        finally:
            listening = False
        if heard:
            raise Found(f"loading it does {heard}")

    return run


TARGETS = {"pickle": pickles, "skops": skops_files, "unpickler": loads}
