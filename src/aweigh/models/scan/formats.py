"""Which kind of model file some bytes are, told by the bytes alone: names of files can say anything."""

import re
import zipfile
from io import BytesIO

from aweigh.models.scan.limits import Refused
from aweigh.models.scan.machine import OPCODES
from aweigh.models.scan.skops import ZIP_DAMAGE

# ModelProto's fields (onnx.proto): number to wire type.
_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_IR_VERSION, _GRAPH = 1, 7
_LONGEST_VARINT_BYTES = 10
# The head of a text file that is looked at.
_HEAD_BYTES = 4096
# UBJSON: an object, whose first key (length before it) XGBoost names "learner".
_UBJ = re.compile(rb"\{[iUIlL].{1,8}learner", re.DOTALL)

UNKNOWN = "it is no kind of model file that is known here"
PYTORCH = "it is a PyTorch file, which is a pickle of its own kind: export the model to ONNX (torch.onnx.export)"
KERAS = "it is a Keras file: export the model to ONNX"
# Kinds that are known and not read here, by how they begin.
_FOREIGN = {
    b"\x93NUMPY": "it is a numpy array (.npy), not a model",
    b"\x89HDF\r\n\x1a\n": f"it is an HDF5 file; if it is a model, {KERAS.removeprefix('it is ')}",
    b"ZF": "it was saved by joblib before 0.10, which kept arrays in files beside it: save the model again",
    b"binf": "it is in XGBoost's old binary format: load it and save_model(...) it again as .ubj or .json",
    b"PAR1": "it is a Parquet table, not a model",
    b"%PDF": "it is a PDF document, not a model",
    b"\x7fELF": "it is a program, not a model",
}


def format_of(data: bytes) -> str:
    """One of skops, xgboost-json, xgboost-ubj, lightgbm-text, catboost-cbm, onnx and pickle.

    Raises:
        Refused: It is none of these; the reason says what it is, where that can be told.
    """
    if not data:
        raise Refused("it is empty")
    for magic, reason in _FOREIGN.items():
        if data.startswith(magic):
            raise Refused(reason)
    head = data[:_HEAD_BYTES]
    if head.startswith(b"PK"):
        return _zip_format(data)
    if head.startswith(b"CBM1"):
        return "catboost-cbm"
    if re.match(rb"tree\r?\nversion=v\d", head):
        return "lightgbm-text"
    if _UBJ.match(head):
        return "xgboost-ubj"
    if head.lstrip().startswith(b"{"):
        return _json_format(data)
    if _is_onnx(data):
        return "onnx"
    if head[0] in OPCODES:
        return "pickle"
    raise Refused(UNKNOWN)


def _zip_format(data: bytes) -> str:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = set(archive.namelist())
    except ZIP_DAMAGE as error:
        raise Refused(f"it begins like a zip file and is none ({error})") from error
    if "schema.json" in names and "manifest.json" not in names:
        return "skops"
    if any(name.endswith("data.pkl") for name in names):
        raise Refused(PYTORCH)
    if "model.weights.h5" in names:
        raise Refused(KERAS)
    if "manifest.json" in names:
        raise Refused("it looks like a packed bundle: verify or serve it, there is nothing to pack")
    if names and all(name.endswith(".npy") for name in names):
        raise Refused("it holds numpy arrays (.npz), not a model")
    raise Refused("it is a zip file that holds no model known here")


def _json_format(data: bytes) -> str:
    """XGBoost writes the learner first; other writers may sort the keys, so the version's place is looked at, too."""
    head, tail = b"".join(data[:_HEAD_BYTES].split()), b"".join(data[-_HEAD_BYTES:].split())
    if head.startswith(b'{"learner":{') or (head.startswith(b'{"version":[') and b'"learner":{' in head):
        return "xgboost-json"
    if b'"learner"' in head and tail.endswith(b"}"):
        return "xgboost-json"
    if b'"tree_info"' in data[:_HEAD_BYTES] or head.startswith(b'{"name":"tree"'):
        raise Refused("it is LightGBM's JSON dump, which cannot be loaded again: use booster.save_model(...)")
    if b'"oblivious_trees"' in data or b'"features_info"' in head:
        raise Refused("it is CatBoost's JSON export: save the model as .cbm")
    raise Refused("it is JSON, but no model known here")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A protobuf integer and the position after it."""
    value = 0
    for index, byte in enumerate(data[position : position + _LONGEST_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError


def _is_onnx(data: bytes) -> bool:
    """ONNX has no mark of its own: it is a protobuf message of ModelProto's fields, to the last byte."""
    seen = set()
    position = 0
    try:
        while position < len(data):
            key, position = _varint(data, position)
            number, wire = key >> 3, key & 7
            if _ONNX_FIELDS.get(number) != wire:
                return False
            value, position = _varint(data, position)
            position += value if wire == 2 else 0
            seen.add(number)
    except ValueError:
        return False
    return position == len(data) and {_IR_VERSION, _GRAPH} <= seen
