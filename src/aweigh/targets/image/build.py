"""An image of a release: base, packages, aweigh, and what is served, each in a layer of its own.

What changes oftener lies higher: a new model is a new layer of its own size, and nothing else is built or sent.
Everything that the image says of itself goes through an allow-list, and nothing of this machine is in it.
"""

import re
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aweigh._version import __version__
from aweigh.errors import ConfigError, UsageError
from aweigh.oci.documents import Descriptor, Flavour, descriptor_of, encode, index_of
from aweigh.oci.image import Image, Run, put_together
from aweigh.oci.layers import FILE_MODE, PROGRAM_MODE, Entry, Layer, write_layer
from aweigh.targets.image.base import Base
from aweigh.targets.image.packages import VENV, Making, packages_layer, split_own, wheel_layer
from aweigh.targets.release import START, Release
from aweigh.targets.requirements import WHEELS
from aweigh.targets.wheel import Wheel

FOLDER = "app"
STATE = "state"
USER = 10001
"""Nobody of the host's, and a number, so that a cluster can see that it is not root."""
PORT = 8000
EPOCH_S = 315532800
"""1980-01-01, the time of everything in an image where SOURCE_DATE_EPOCH names none: no archive knows an earlier."""
MAX_LABEL = 300

_PLAIN_WORDS = re.compile(r"[A-Za-z0-9@%+=:,./_-]+")
_SETTINGS = re.compile(r"""\s*(?:[A-Za-z_][A-Za-z0-9_]*=(?:[^\s"'\\`()]|"[^"\\`]*"|'[^']*')*\s+)+""")
_SIMPLE = r"""(?:[^"'\\;&|()`\n]|"[^"\\`]*"|'[^']*')*"""
_CHAIN = re.compile(rf"((?:{_SIMPLE}(?:&&|;))*)({_SIMPLE})")
"""Commands one after the other, and the last of them."""
_KEYWORDS = frozenset("if then else elif fi for while until do done case esac { } ( !".split())
_SHELLS = _KEYWORDS | frozenset("exec cd export set unset . source eval ulimit umask trap command wait".split())
"""Words that mean something to a shell alone, at the beginning of a command."""
_LEFT_TO_THE_PLACE = frozenset({"AWEIGH_PROXIES"})
"""What depends on where it runs: whose word is taken for a client's address."""
HEALTH = (
    "import http.client,os,sys;"
    "c=http.client.HTTPConnection('127.0.0.1',int(os.environ.get('PORT') or 8000),timeout=4);"
    "c.request('GET','/health/ready');sys.exit(c.getresponse().status!=200)"
)


@dataclass(frozen=True, slots=True)
class Built:
    """Images of a release, one for each platform, and their index where there are several."""

    images: Sequence[Image]
    index: bytes | None
    index_descriptor: Descriptor | None
    own: Mapping[str, Sequence[Layer]]
    """The layers on top of the base, by platform."""

    @property
    def top(self) -> Descriptor:
        """What a name stands for: the index, or the only image."""
        return self.index_descriptor or self.images[0].descriptor


def created_of(environ: Mapping[str, str]) -> int:
    """The time of everything in an image, in seconds since 1970.

    Raises:
        ConfigError: SOURCE_DATE_EPOCH is no number of seconds.
    """
    said = environ.get("SOURCE_DATE_EPOCH", "")
    if not said:
        return EPOCH_S
    if re.fullmatch(r"\d{1,11}", said, re.ASCII) is None:
        raise ConfigError(
            "SOURCE_DATE_EPOCH is no number of seconds since 1970.",
            hint="write it as 'git log -1 --format=%ct' does, or unset it",
        )
    return int(said)


def build(
    release: Release,
    bases: Sequence[Base],
    making: Making,
    *,
    flavour: Flavour = "oci",
    process: str = "web",
    environment: Mapping[str, str] | None = None,
) -> Built:
    """The images of a release on these bases, of which each is for another platform; their blobs are in the store.

    ``process`` is the one of the release's that is run where no other is named; ``environment`` are variables of the
    place's own, over the image's.

    Raises:
        ConfigError: it is not locked to exact files.
        UsageError: it has nothing to run.
        UnsuitableImage: a package has no wheel for a platform, or a base does not do.
        MissingExtra: uv is not installed.
    """
    images, own = [], {}
    for base in bases:
        layers = layers_of(release, base, making)
        labels = labels_of(release, base) | (
            {} if making.compiler is None else {"io.aweigh.bytecode": making.compiler.version}
        )
        image = put_together(
            base.config,
            base.layers,
            layers,
            run_of(release, base, labels=labels, process=process, environment=environment or {}),
            created=_time(making.created_s),
            flavour=flavour,
            annotations=labels,
        )
        making.store.keep(image.config)
        images.append(image)
        own[str(image.platform)] = layers
    if len(images) == 1:
        return Built(images, None, None, own)
    index = index_of([one.descriptor for one in images], flavour=flavour)
    content = encode(index)
    return Built(images, content, descriptor_of(content, index.media_type), own)


def layers_of(release: Release, base: Base, making: Making) -> list[Layer]:
    """The layers of a release, the lowest first; what is in the store already is not made again."""
    python = ".".join(release.python.split(".")[:2])
    others, wheel = split_own(release.requirements or "")
    layers = [packages_layer(others, base, python=python, making=making)]
    if wheel is not None:
        content = _content(release.files[f"{WHEELS}{wheel}"])
        layers.append(wheel_layer(Wheel(wheel, content, ()), python=python, making=making))
    served = {
        f"{FOLDER}/{name}": Entry(one, _mode(one)) for name, one in release.files.items() if not name.startswith(WHEELS)
    }
    served |= {STATE: Entry(mode=0o700, owner=USER), FOLDER: Entry(mode=0o755)}
    layers.append(
        making.store.keep_written(
            lambda file: write_layer(served, file, created_s=making.created_s, history=release.bundle or release.name),
            lambda written: written.descriptor,
        )
    )
    return layers


def run_of(
    release: Release, base: Base, *, labels: Mapping[str, str], process: str, environment: Mapping[str, str]
) -> Run:
    """How the image is run: a process of the release's, and no shell before it where it needs none."""
    line = release.processes.get(process)
    if line is None:
        raise UsageError(f"The release has no {process} process.", hint=f"write {process}: into its Procfile")
    usual = {
        "PATH": f"/{VENV}/bin:{base.environment.get('PATH') or '/usr/local/bin:/usr/bin:/bin'}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": f"/{STATE}",
        "PORT": str(PORT),
        "AWEIGH_STATE_DIR": f"/{STATE}",
    }
    config = {name: value for name, value in release.config.items() if name not in _LEFT_TO_THE_PLACE}
    return Run(
        words=words_of(line),
        environment=usual | config | dict(environment),
        folder=f"/{FOLDER}",
        user=f"{USER}:{USER}",
        port=PORT,
        health=(f"/{VENV}/bin/python", "-I", "-S", "-c", HEALTH) if line.startswith(START) else (),
        volumes=(f"/{STATE}",),
        labels=labels,
    )


def words_of(line: str) -> list[str]:
    """A process's line as words, or through a shell where it has variables or more than words in it.

    >>> words_of("aweigh serve model.aweigh --host 0.0.0.0")
    ['aweigh', 'serve', 'model.aweigh', '--host', '0.0.0.0']
    >>> words_of("streamlit run app.py --server.port $PORT")
    ['/bin/sh', '-c', 'exec streamlit run app.py --server.port $PORT']
    >>> words_of("PYTHONPATH=src streamlit run app.py")
    ['/bin/sh', '-c', 'PYTHONPATH=src exec streamlit run app.py']
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"The process {line[:60]!r} has quotes that do not close.") from error
    are_plain = words and all(_PLAIN_WORDS.fullmatch(one) for one in words) and shlex.join(words) == line
    direct = _direct(line)
    if are_plain and direct == f"exec {line}":
        return words
    return ["/bin/sh", "-c", direct]


def _direct(line: str) -> str:
    """The line for a shell that gives way to its last process, which gets the signals then, where that can be."""
    found = _CHAIN.fullmatch(line)
    if found is not None:
        before, last = found.groups()
    elif re.search(r"[;&|\n]", line) is None:
        before, last = "", line
    else:
        return line
    settings = _SETTINGS.match(last)
    before += "" if settings is None else settings[0]
    last = line[len(before) :].lstrip()
    firsts = {one.split()[0] for one in (*re.split("&&|;", before), last) if one.split()}
    if not last or last.split()[0] in _SHELLS or firsts & _KEYWORDS:
        return line
    return f"{before}{' ' if before and not before[-1].isspace() else ''}exec {last}"


def labels_of(release: Release, base: Base) -> dict[str, str]:
    """What the image says of itself, by the OCI's names; of the owner's text the plain characters, and not many."""
    version = ""
    if release.bundle is not None:
        from aweigh.targets.live import golden_of

        version = golden_of(release.files[release.bundle]).version
    said = {
        "org.opencontainers.image.title": release.name,
        "org.opencontainers.image.description": plain(release.description),
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.base.name": base.reference.partition("@")[0],
        "org.opencontainers.image.base.digest": base.digest,
        "io.aweigh.version": __version__,
    }
    return {name: value for name, value in said.items() if value}


def plain(text: str) -> str:
    """Text with nothing in it but letters, figures and the marks of a sentence.

    >>> plain('Penguins; $(rm -rf /) "quoted"' + chr(10) + "RUN x")
    'Penguins rm -rf / quoted RUN x'
    """
    kept = "".join(one if one.isalnum() or one in ".,:/_+-" else " " for one in text)
    return " ".join(kept.split())[:MAX_LABEL]


def _mode(one: bytes | Path) -> int:
    """What is a program here is one there."""
    is_program = isinstance(one, Path) and bool(one.stat().st_mode & stat.S_IXUSR)
    return PROGRAM_MODE if is_program else FILE_MODE


def _content(one: bytes | Path) -> bytes:
    return one if isinstance(one, bytes) else one.read_bytes()


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
