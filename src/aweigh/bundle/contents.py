"""What lies under ``model/``: only formats that hold no code, each told by its own first bytes.

The check looks at content, not at names: a pickle called ``model.onnx`` is still a pickle. It keeps out what has no
business in a bundle; what a skops file may construct is decided, when it is read, by the exact names its family trusts.
A pickle is taken under one name alone, and only from a bundle that is signed (``needs_signature``); what it may import
is decided, when it is read, by the names in the manifest and those that its family trusts, both.
"""

import io
import lzma
import re
import struct
import zipfile
import zlib

from aweigh.bundle.archive import MAX_BUNDLE_BYTES
from aweigh.bundle.manifest import Manifest
from aweigh.bundle.names import APP, CODE_FOLDER, MODEL_FOLDER, PICKLE
from aweigh.errors import DamagedBundle

SUFFIXES: dict[str, frozenset[str]] = {
    "onnx": frozenset({".onnx"}),
    "sklearn": frozenset({".skops", ".pkl"}),
    "xgboost": frozenset({".json", ".ubj", ".pkl"}),
    "lightgbm": frozenset({".txt", ".pkl"}),
    "catboost": frozenset({".cbm", ".pkl"}),
    "python": frozenset({".py"}),
}
"""What the model file of each runtime is called."""

_BEGINS: dict[str, bytes] = {
    ".onnx": b"\x08",  # a ModelProto's first field, ir_version, as a varint
    ".skops": b"PK\x03\x04",
    ".json": b"{",
    ".ubj": b"{",
    ".txt": b"tree",
    ".cbm": b"CBM1",
    ".py": b"",
}

_PICKLES = re.compile(
    rb"\x80[\x02-\x05]"  # protocol 2 and later begin with their number
    # as joblib compresses them: gzip, bz2, xz, lzma, lz4, zlib
    rb"|\x1f\x8b|BZh[1-9]|\xfd7zXZ\x00|\x5d\x00\x00|\x04\x22\x4d\x18|\x78[\x01\x5e\x9c\xda]"
)
_IN_SKOPS = (".json", ".npy", ".npz", ".bin")
_PROTOCOL_5 = b"\x80\x05"
"""How the one pickle begins that a bundle may hold: plain, of the newest protocol, as ``pack`` writes it."""
_HEAD_BYTES = 512
_TEXTS = frozenset({".csv", ".json", ".toml", ".tsv", ".txt", ".yaml", ".yml"})
"""Text that the owner's code may read, under ``model/code/``."""
_ARRAY, _NPY = ".npy", b"\x93NUMPY"
_ZIP_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, RuntimeError, ValueError,
    LookupError, OverflowError,
)  # fmt: skip
"""What zipfile and the four ways of packing raise when a zip is damaged, or is none."""


def holds_code(manifest: Manifest) -> bool:
    """Whether serving would run the owner's own Python, whatever the manifest says of it."""
    named = any(name == APP or name.endswith(".py") for name in manifest.files)
    return named or manifest.runtime == "python" or manifest.entry is not None


def holds_pickle(manifest: Manifest) -> bool:
    """Whether the model is a pickle, whatever the manifest says of it."""
    return manifest.pickle is not None or any(suffix_of(name) == ".pkl" for name in manifest.files)


def needs_signature(manifest: Manifest) -> bool:
    """Whether nothing of it may be loaded but by somebody's word: it holds code, or a pickle."""
    return holds_code(manifest) or holds_pickle(manifest)


def suffix_of(name: str) -> str:
    """The last part of a file's name, with its point, in lower case."""
    return "." + name.rsplit(".", 1)[-1].lower() if "." in name.rsplit("/", 1)[-1] else ""


def bytes_to_check(name: str, size_bytes: int) -> int:
    """How much of a file's beginning ``check_content`` wants: all of a text or a skops file, little of other models."""
    whole = not name.startswith(MODEL_FOLDER) or suffix_of(name) in {".py", ".skops"} or _is_text(name)
    return size_bytes if whole else _HEAD_BYTES


def _is_text(name: str) -> bool:
    return name.startswith(CODE_FOLDER) and suffix_of(name) in _TEXTS


def check_content(name: str, head: bytes) -> None:
    """Refuse a file that is not what its name says, or that is a pickle, by its first ``bytes_to_check``.

    Raises:
        DamagedBundle: naming the file.
    """
    if not name.startswith(MODEL_FOLDER):
        _check_text(name, head)
        return
    if name == PICKLE:
        if not head.startswith(_PROTOCOL_5):
            raise DamagedBundle(f"{name!r} is no plain pickle of protocol 5.")
        return
    if _PICKLES.match(head):
        raise DamagedBundle(
            f"{name!r} is a pickle (or compressed, as pickles are): a bundle holds none but {PICKLE!r}, signed."
        )
    suffix = suffix_of(name)
    if _is_text(name):
        _check_text(name, head)
        return
    if suffix == _ARRAY and name.startswith(CODE_FOLDER):
        if not head.startswith(_NPY) or b"|O" in head:
            raise DamagedBundle(f"{name!r} is no array of numbers or text.")
        return
    if suffix not in _BEGINS:
        raise DamagedBundle(f"{name!r} is of no format that a bundle holds.")
    if not head.startswith(_BEGINS[suffix]):
        raise DamagedBundle(f"{name!r} does not hold what its name says.")
    if suffix == ".py":
        _check_text(name, head)
    if suffix == ".skops":
        _check_skops(name, head)


def _check_text(name: str, content: bytes) -> None:
    try:
        content.decode()
    except UnicodeDecodeError:
        raise DamagedBundle(f"{name!r} is not UTF-8 text.") from None
    if b"\x00" in content:
        raise DamagedBundle(f"{name!r} holds a NUL character.")


def _check_skops(name: str, content: bytes) -> None:
    """A skops file is a zip of JSON and arrays: no pickle among them, and not larger than it may be when unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = archive.infolist()
            if sum(one.file_size for one in inside) > MAX_BUNDLE_BYTES:
                raise DamagedBundle(f"{name!r} would unpack to more than 4 GiB.")
            for one in inside:
                with archive.open(one) as stream:
                    head = stream.read(_HEAD_BYTES)
                objects = one.filename.endswith(".npy") and b"|O" in head
                if not one.filename.endswith(_IN_SKOPS) or _PICKLES.match(head) or objects:
                    raise DamagedBundle(f"{name!r} holds {one.filename[:80]!a}, which skops never writes.")
    except _ZIP_DAMAGE as error:
        raise DamagedBundle(f"{name!r} cannot be read: {error}.") from error
