"""What a bundle will take, guessed from its manifest: for a server that starts before anybody has measured it.

    the API alone = SERVER + LIBRARY of each runtime + MODEL x bytes of the model files
    with the app  = the API alone + APP

The constants are what ``aweigh plan`` finds for bundles of each runtime, on the high side, as a guess that is too low
gets a container killed: of eight bundles (linear, boosted, forests, neighbours, CatBoost) the estimate was 1.0 to 1.6
times what was measured, the most for a forest of 36 MB.
"""

from importlib.util import find_spec

from aweigh.bundle.manifest import Manifest, Runtime
from aweigh.bundle.names import MODEL_FOLDER
from aweigh.runtime.measured import Measured, Memory

MB = 10**6
SERVER_BYTES = 90 * MB
"""Python, numpy, ONNX Runtime and the server, ready."""

LIBRARY_BYTES: dict[Runtime, int] = {
    "onnx": 0,
    "sklearn": 165 * MB,
    "xgboost": 165 * MB,
    "lightgbm": 165 * MB,
    "catboost": 90 * MB,
    "python": 165 * MB,
}
"""What the library of a runtime takes with all that it brings (pandas and scikit-learn mostly)."""

MODEL_FACTOR = 10
APP_BYTES = 50 * MB
"""Streamlit beside the API in one process."""

UI_BYTES = 76 * MB
PARENT_BYTES = 19 * MB
FILES_BYTES = 45 * MB
"""What all processes share: the pages of libraries."""

PEAK_BYTES = 190 * MB


def estimate(manifest: Manifest, *, largest_rows: int, largest_bytes: int) -> Measured:
    """A guess of the memory that a bundle takes; of time it says nothing."""
    alone = SERVER_BYTES + second_bytes(manifest)
    has_ui = find_spec("streamlit") is not None
    memory = Memory(
        alone=alone,
        both=alone + APP_BYTES if has_ui else None,
        parent=PARENT_BYTES,
        worker=alone - FILES_BYTES,
        ui=UI_BYTES if has_ui else None,
        files=FILES_BYTES,
        peak=PEAK_BYTES,
    )
    return Measured(memory=memory, largest_rows=largest_rows, largest_bytes=largest_bytes, estimated=True)


def second_bytes(manifest: Manifest) -> int:
    """A guess of what a model takes in a process that is a server already: its libraries and itself."""
    idle = [one for one in manifest.alternatives if not one.locked or find_spec(one.runtime) is None]
    runtimes = {manifest.runtime, *(one.runtime for one in manifest.alternatives if one not in idle)}
    unread = {name for one in idle for name in (one.model_file, one.tail_file)}
    files = manifest.files.items()
    size = sum(entry.size_bytes for name, entry in files if name.startswith(MODEL_FOLDER) and name not in unread)
    return sum(LIBRARY_BYTES[one] for one in runtimes) + MODEL_FACTOR * size
