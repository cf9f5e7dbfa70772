"""How the processes of a folder are run in an image, and what its files may do there."""

import io
import subprocess
import sys
import tarfile

import pytest

from aweigh.oci.documents import Platform
from aweigh.oci.image import Config, RootFs
from aweigh.oci.store import Store
from aweigh.targets.image.base import Base
from aweigh.targets.image.build import build, words_of
from aweigh.targets.image.packages import Compiler, Making, find_compiler
from aweigh.targets.release import Release

SHOWS = f'{sys.executable} -c \'import os; print(os.environ.get("A"), os.environ.get("B"), os.getpid())\''


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"A=1 {SHOWS}", "1 None"),
        (f'A=1 B="x y" {SHOWS}', "1 x y"),
        (f"A=$HOME {SHOWS}", "/here None"),
        (f"exec {SHOWS}", "None None"),
        (f"exec env A=$HOME {SHOWS}", "/here None"),
        (f"cd /tmp && {SHOWS}", "None None"),
        (f"export A=1; {SHOWS}", "1 None"),
        (f"{SHOWS} $HOME", "None None"),
        (f"cd /tmp; A=$HOME {SHOWS}", "/here None"),
    ],
)
def test_a_line_of_a_procfile_runs_as_it_would_in_a_shell(line, told):
    process = subprocess.Popen(words_of(line), stdout=subprocess.PIPE, text=True, env={"HOME": "/here"})
    said, _ = process.communicate(timeout=20)
    assert said.split() == [*told.split(), str(process.pid)], "no shell is left before it to swallow signals"


@pytest.mark.parametrize(
    "line", ["if true; then echo yes; fi", "true | echo yes", "echo no | (cat; echo yes) | tail -1"]
)
def test_what_only_a_shell_can_run_is_left_to_it(line):
    done = subprocess.run(words_of(line), capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "yes\n"


@pytest.mark.parametrize("line", ["exec gunicorn app", "A=1 gunicorn app"])
def test_a_shell_s_word_is_no_program(line):
    assert words_of(line)[0] == "/bin/sh"


def test_an_arm_machine_with_its_variant_and_programs_that_stay_programs(tmp_path):
    config = Config(architecture="arm64", os="linux", variant="v8", rootfs=RootFs("layers", ()))
    base = Base(
        "example.org/base:1",
        f"sha256:{'0' * 64}",
        Platform("arm64", "linux"),
        config,
        (),
        "/usr/bin/python3.12",
        "2.36",
    )
    program = tmp_path / "start.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    release = Release("x", "3.12", {"web": "./start.sh"}, {"start.sh": program, "data.csv": b"1"}, requirements="")
    store = Store(tmp_path / "store")
    built = build(release, [base], Making(store, 0))
    (image,) = built.images
    layers = built.own[str(image.platform)]  # by which name the official images of ARM are looked up
    content = store.path(layers[-1].descriptor.digest).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert archive.getmember("app/start.sh").mode == 0o755
        assert archive.getmember("app/data.csv").mode == 0o644


def test_sets_of_an_older_python_are_the_same_bytes(tmp_path):
    from aweigh.targets.image.packages import compile_modules

    compiler = find_compiler("3.10")
    if compiler is None:
        pytest.skip("no Python 3.10 is installed")
    found = set()
    for at in range(4):
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "m.py").write_text("def f(x):\n    return x in {'a', 'b', 'c', 'd', 'e', 'f', 'g'}\n")
        compile_modules(folder, Making(Store(tmp_path), 0, Compiler(compiler.program, compiler.version)))
        found.add((folder / "__pycache__" / "m.cpython-310.pyc").read_bytes())
    assert len(found) == 1
