"""The packages of an image: exact wheels for its Python, its C library and its architecture, wherever it is built.

uv chooses and unpacks them; what it writes of this machine (paths, times, locks of its own) is taken out again, so that
the same requirements give the same bytes anywhere.
"""

import re
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from aweigh._version import __version__
from aweigh.bundle.requirements import Pinned, read_lock, write_lock
from aweigh.bundle.resolver import QUIET, is_unreachable, refuse_full_disk, run_uv, without_addresses
from aweigh.errors import ConfigError, DamagedBundle, UnsuitableImage
from aweigh.locking.interpreter import newest_interpreter
from aweigh.oci.layers import PROGRAM_MODE, Entry, Layer, entries_of, write_layer
from aweigh.oci.store import Store
from aweigh.targets.image.base import Base
from aweigh.targets.requirements import WHEELS
from aweigh.targets.wheel import Wheel

VENV = "opt/venv"
"""Where the environment lies in the image, without the root."""
TIMEOUT_S = 900
UV_PLATFORMS = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""The glibc 2.x that uv knows by name; an image with a newer one takes the wheels of the newest of these."""
ARCHITECTURES: Mapping[str, str] = {"amd64": "x86_64", "arm64": "aarch64"}

_OWN = re.compile(
    rf"^\./{WHEELS}(?P<name>aweigh-[A-Za-z0-9.!+_]+-py3-none-any\.whl)\b(?:[^\n]*\\\n)*[^\n]*\n?", re.MULTILINE
)
_SHEBANG = re.compile(rb"^#!(?:/[^\n]*?python[0-9.]*|/bin/sh\n'''exec' [^\n]*\n' ''')(?=[^\n]*\n)")
_NOISE = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})


def split_own(requirements: str) -> tuple[str, str | None]:
    """The lines of others' packages, and the file name of aweigh's wheel where a line names it."""
    found = _OWN.search(requirements)
    return _OWN.sub("", requirements), None if found is None else found["name"]


def platform_of(base: Base) -> str:
    """uv's name for the base: the architecture, and the newest manylinux that its glibc runs.

    Raises:
        UnsuitableImage: uv knows no such architecture, or the glibc is too old for any wheel.
    """
    architecture = ARCHITECTURES.get(base.platform.architecture)
    if architecture is None:
        known = ", ".join(ARCHITECTURES)
        raise UnsuitableImage(f"No image is built for {base.platform}.", hint=f"choose one of {known}")
    major, _, minor = base.libc.partition(".")
    fitting = [one for one in UV_PLATFORMS if one <= int(minor or 0)]
    if major != "2" or not fitting:
        raise UnsuitableImage(f"The glibc {base.libc} of {base.reference} is too old.", hint="choose a newer --base")
    return f"{architecture}-manylinux_2_{fitting[-1]}"


@dataclass(frozen=True, slots=True)
class Compiler:
    """An interpreter of the image's version, which makes the bytecode; ``version`` as ``3.12.4``."""

    program: Path
    version: str


@dataclass(frozen=True, slots=True)
class Making:
    """What layers are made with: where they are kept, the time of their files, and who compiles (None: nobody).

    ``tell`` hears in words what is under way: a first build takes a minute.
    """

    store: Store
    created_s: int
    compiler: Compiler | None = None
    tell: Callable[[str], None] = lambda _: None


def find_compiler(python: str) -> Compiler | None:
    """The compiler for that Python (``3.12``): the newest of this machine's, whichever Python runs aweigh."""
    found = newest_interpreter(python)
    return None if found is None else Compiler(*found)


def pinned_of(requirements: str) -> tuple[Pinned, ...]:
    """The exact files that a release's requirements name.

    Raises:
        ConfigError: they name no exact versions, or no hashes.
    """
    try:
        pinned = read_lock(requirements)
    except DamagedBundle as error:
        line = error.message.rpartition(": ")[2].rstrip(".")
        raise ConfigError(
            f"An image is built of exact files, and requirements.txt is no lock of them ({line}).",
            hint="aweigh lock FOLDER writes one with the exact versions and their hashes",
        ) from error
    unhashed = [one.name for one in pinned if not one.hashes]
    if unhashed:
        raise ConfigError(
            f"An image is built of exact files, and {unhashed[0]} has no hash in requirements.txt.",
            hint="aweigh lock FOLDER writes them",
        )
    return pinned


def packages_layer(requirements: str, base: Base, *, python: str, making: Making) -> Layer:
    """The layer of the environment: the packages of these hash-locked requirements, and what makes it one.

    It is looked up in the store first: the same requirements on the same platform were perhaps installed before.

    Raises:
        ConfigError: the requirements have no hashes, or no index tells of them.
        UnsuitableImage: a package has no wheel for this platform.
        MissingExtra: uv is not installed.
    """
    pinned = pinned_of(requirements)
    lines = write_lock(pinned)
    platform = platform_of(base)
    key = f"packages {platform} {python} {base.python}\n{lines}"
    if (known := _known(key, making)) is not None:
        return known
    with making.store.workshop() as folder:
        site = _site(python)
        making.tell(f"{len(pinned)} packages: fetching")
        _install(lines, pinned, folder, platform=platform, python=python)
        making.tell(f"{len(pinned)} packages: compiling")
        compile_modules(folder / "packages", making)
        making.tell(f"{len(pinned)} packages: compressing")
        entries = _environment(base, python) | {
            f"{VENV}/bin/{name[len('bin/') :]}" if name.startswith("bin/") else f"{site}/{name}": entry
            for name, entry in _cleaned(folder / "packages").items()
        }
        return _kept(key, entries, making, history=f"{len(pinned)} packages, locked")


def wheel_layer(wheel: Wheel, *, python: str, making: Making) -> Layer:
    """The layer of aweigh itself: its wheel unpacked, and the program that starts it."""
    key = f"wheel {wheel.sha256} {python}"
    if (known := _known(key, making)) is not None:
        return known
    with making.store.workshop() as folder:
        with zipfile.ZipFile(BytesIO(wheel.content)) as archive:
            archive.extractall(folder)  # our own, and its names were made by us
        compile_modules(folder, making)
        entries = entries_of(folder, below=_site(python))
        entries[f"{VENV}/bin/aweigh"] = Entry(_PROGRAM.encode(), PROGRAM_MODE)
        return _kept(key, entries, making, history=wheel.name)


def _known(key: str, making: Making) -> Layer | None:
    """A layer that was made before of the same and is still there."""
    known = making.store.noted(_whole_key(key, making), Layer)
    return known if known is not None and making.store.has(known.descriptor) else None


def _kept(key: str, entries: Mapping[str, Entry], making: Making, *, history: str) -> Layer:
    layer = making.store.keep_written(
        lambda file: write_layer(entries, file, created_s=making.created_s, history=history),
        lambda written: written.descriptor,
    )
    making.store.note(_whole_key(key, making), layer)
    return layer


def _whole_key(key: str, making: Making) -> str:
    made_by = f"{__version__} zlib {zlib.ZLIB_RUNTIME_VERSION}"
    return f"{made_by} {making.created_s} {'' if making.compiler is None else making.compiler.version} {key}"


def compile_modules(folder: Path, making: Making, *, timeout_s: float = TIMEOUT_S) -> None:
    """Puts the bytecode beside the modules.

    Raises:
        ConfigError: the interpreter cannot be run, fails, or does not end.
        StorageFull: the disk is.
    """
    if making.compiler is None:
        return
    program = Path(__file__).with_name("bytecode.py")
    try:
        # Isolated by its environment: -I would pass over the seed, too, which sets have their order from before 3.11.
        done = subprocess.run(
            [making.compiler.program, "-s", "-S", "-B", program, folder],
            capture_output=True, text=True, check=False, timeout=timeout_s, env={"PYTHONHASHSEED": "0"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _uncompiled(making.compiler, f"it has not ended after {timeout_s:g} s") from error
    except OSError as error:
        raise _uncompiled(making.compiler, error.strerror or "it cannot be run") from error
    if done.returncode:
        refuse_full_disk(done.stderr)
        raise _uncompiled(making.compiler, " ".join(done.stderr.split())[-200:] or f"status {done.returncode}")


def _uncompiled(compiler: Compiler, why: str) -> ConfigError:
    return ConfigError(
        f"Python {compiler.version} cannot compile the packages: {why.rstrip('.')}.",
        hint="leave it out with --no-bytecode",
    )


_PROGRAM = f"""#!/{VENV}/bin/python
import sys
from aweigh.__main__ import main
sys.exit(main())
"""


def _site(python: str) -> str:
    return f"{VENV}/lib/python{python}/site-packages"


def _environment(base: Base, python: str) -> dict[str, Entry]:
    """What makes a folder an environment of Python's: where its interpreter is, and links to that (PEP 405)."""
    home = base.python.rsplit("/", 1)[0]
    settings = f"home = {home}\ninclude-system-site-packages = false\nversion = {python}\n"
    return {
        f"{VENV}/pyvenv.cfg": Entry(settings.encode()),
        f"{VENV}/bin/python": Entry(target=base.python),
        f"{VENV}/bin/python3": Entry(target="python"),
    }


def _install(lines: str, pinned: tuple[Pinned, ...], folder: Path, *, platform: str, python: str) -> None:
    if not pinned:
        (folder / "packages").mkdir()
        return
    (folder / "requirements.txt").write_text(lines, encoding="utf-8")
    arguments = ["pip", "install", *QUIET, "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:",
                 "--link-mode", "copy", "--no-compile-bytecode", "--target", "packages",
                 "--python-version", python, "--python-platform", platform, "-r", "requirements.txt"]  # fmt: skip
    try:
        done = run_uv(arguments, folder=folder, timeout_s=TIMEOUT_S, more={"UV_NO_INSTALLER_METADATA": "1"})
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"The packages were not there after {TIMEOUT_S} s.", hint="try again") from error
    if done.returncode == 0:
        return
    told = without_addresses(done.stderr)
    refuse_full_disk(told)
    if is_unreachable(told):
        raise ConfigError("No package index answers.", hint="try again with a network, or set UV_DEFAULT_INDEX")
    if re.search(r"no (?:usable )?wheels|no matching|matching platform", told):
        named = next((one.name for one in pinned if re.search(rf"\b{re.escape(one.name)}\b", told)), "a package")
        raise UnsuitableImage(
            f"{named} has no wheel for Python {python} on {platform}.",
            hint="choose another --base or --platform, or lock another version of it",
        )
    raise ConfigError(f"The packages cannot be installed: {' '.join(told.split())[-300:]}")


def _cleaned(packages: Path) -> dict[str, Entry]:
    """All that was installed, by its path below the environment's packages (programs below ``bin/``)."""
    found = {}
    for name, entry in entries_of(packages, below="p").items():
        inside = name[2:]
        last = inside.rsplit("/", 1)[-1]
        if inside == ".lock" or (".dist-info/" in inside and last in _NOISE):
            continue
        if inside.startswith("bin/") and isinstance(entry.content, Path):
            entry = Entry(_rewritten(entry.content.read_bytes()), PROGRAM_MODE)  # noqa: PLW2901  the same file
        elif inside.endswith(".dist-info/RECORD") and isinstance(entry.content, Path):
            entry = Entry(_plain_record(entry.content.read_bytes()))  # noqa: PLW2901
        found[inside] = entry
    return found


def _rewritten(content: bytes) -> bytes:
    """A program that starts the image's interpreter, where it named this machine's."""
    return _SHEBANG.sub(f"#!/{VENV}/bin/python".encode(), content, count=1)


def _plain_record(content: bytes) -> bytes:
    """RECORD without lines of what was taken out or rewritten, which name digests of this machine's bytes."""
    lines = content.decode("utf-8", "replace").splitlines()
    kept = [one for one in lines if not _is_ours(one.split(",", 1)[0])]
    return "\n".join([*sorted(kept), ""]).encode()


def _is_ours(path: str) -> bool:
    name = path.strip('"')
    return "/bin/" in f"/{name}" or name.rsplit("/", 1)[-1] in _NOISE or "__pycache__" in name
