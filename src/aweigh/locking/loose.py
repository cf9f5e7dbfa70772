"""Requirements as a person (or ``pip freeze``) wrote them: lines with their numbers, and what no lock can hold told.

Options that choose an index are kept apart, for the resolver alone: no address comes into a lock. What is no name on an
index (an address, a path, an editable checkout) has no hash to hold it to, and is refused.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from aweigh.errors import ConfigError, UsageError
from aweigh.locking.distributions import is_standard, misnamed
from aweigh.locking.need import Need

OWN_HEAD = "# Locked by `aweigh lock`"
"""How every file that this command writes begins: such a one may be written again."""

LARGEST_FILE_BYTES = 4 * 2**20
MOST_DEPTH = 8
_PASSED_OVER = frozenset({"--prefer-binary", "--require-hashes", "--no-cache-dir", "--pre", "--trusted-host"})
_PER_LINE = re.compile(r"\s+--(?:hash|config-settings?|global-option|install-option)[ =]\S+")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_HINT = "put it as a name and a version, as in pandas==1.4.3"


@dataclass(frozen=True, slots=True)
class Loose:
    """What a file asks for, the constraints that it names, notes for people, and variables for the resolver.

    ``variables`` may hold the addresses of indexes, and in them passwords: they are for uv alone.
    """

    needs: tuple[Need, ...]
    constraints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Loose(needs={self.needs!r})"


def is_own(path: Path) -> bool:
    """Whether this command wrote the file."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(OWN_HEAD)) == OWN_HEAD.encode()
    except OSError:
        return False


def read_loose(path: Path) -> Loose:
    """What a requirements file asks for, with the files that it names by ``-r`` and ``-c``.

    Raises:
        UsageError: it cannot be read.
        ConfigError: a line is no requirement, or one that no lock can hold.
    """
    reading = _Reading(path.parent.resolve())
    reading.file(path, depth=0, constrains=False)
    variables = {"UV_DEFAULT_INDEX": reading.index[-1:], "UV_INDEX": reading.more, "UV_FIND_LINKS": reading.links}
    if any(variables.values()):
        reading.notes.append(
            "the index that it names was asked, and is not in the lock: name it again where this is installed"
        )
    return Loose(
        tuple(reading.needs),
        tuple(reading.constraints),
        tuple(reading.notes),
        tuple((name, " ".join(values)) for name, values in variables.items() if values),
    )


class _Reading:
    """One reading of a file and of those that it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.needs: list[Need] = []
        self.constraints: list[str] = []
        self.notes: list[str] = []
        self.index: list[str] = []
        self.more: list[str] = []
        self.links: list[str] = []

    def file(self, path: Path, *, depth: int, constrains: bool) -> None:
        if depth > MOST_DEPTH:
            raise ConfigError(f"{path.name} leads to itself by its -r lines.", hint="remove one of them")
        number, begun = 0, ""
        for number, raw in enumerate(_text(path).splitlines(), start=1):
            text = begun + raw
            if text.endswith("\\"):
                begun = text[:-1]
                continue
            begun = ""
            self._line(_COMMENT.sub("", text).strip(), path, number, depth=depth, constrains=constrains)
        self._line(_COMMENT.sub("", begun).strip(), path, number, depth=depth, constrains=constrains)

    def _line(self, text: str, path: Path, number: int, *, depth: int, constrains: bool) -> None:
        where = f"{path.name}:{number}"
        if not text:
            return
        if text.startswith("-"):
            self._option(text, path, where, depth=depth, constrains=constrains)
            return
        need = self._need(_PER_LINE.sub("", text).strip(), where)
        if need is None:
            return
        if constrains:
            self.constraints.append(need.requirement)
        else:
            self.needs.append(need)

    def _option(self, text: str, path: Path, where: str, *, depth: int, constrains: bool) -> None:
        option, _, value = re.sub(r"^(-[rcefi])(?=[^\s-])", r"\1 ", text).replace("=", " ", 1).partition(" ")
        value = value.strip()
        if option in {"-r", "--requirement", "-c", "--constraint"}:
            named = (path.parent / value).resolve()
            if not named.is_relative_to(self.folder):
                raise ConfigError(f"{where} names a file outside of its folder.", hint="copy it into the folder")
            self.file(named, depth=depth + 1, constrains=constrains or "c" in option.strip("-")[:1])
        elif option in {"-i", "--index-url"}:
            self.index.append(value)
        elif option == "--extra-index-url":
            self.more.append(value)
        elif option in {"-f", "--find-links"}:
            self.links.append(value)
        elif option in {"-e", "--editable"}:
            raise _unlockable(where, "an editable checkout")
        elif option not in _PASSED_OVER:
            raise ConfigError(f"{where} holds an option that is not known here: {option[:40]!r}.", hint="remove it")

    def _need(self, text: str, where: str) -> Need | None:
        from packaging.requirements import InvalidRequirement, Requirement

        if re.match(r"[a-z+]+://|\.{0,2}/|[A-Za-z]:\\", text) or text.endswith((".whl", ".tar.gz", ".zip")):
            raise _unlockable(where, "an address" if "://" in text else "a path")
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise ConfigError(f"{where} is no requirement: {text[:60]!r}.", hint=_HINT) from error
        if requirement.url:
            raise _unlockable(where, "an address")
        if not requirement.specifier and not requirement.extras and is_standard(requirement.name):
            self.notes.append(f"{where}: {requirement.name} is a part of Python, and was left out")
            return None
        meant = misnamed(requirement.name)
        if meant is None:
            return Need(str(requirement), where)
        self.notes.append(f"{where}: {requirement.name} is a module; its package, {meant}, was taken")
        requirement.name = meant
        return Need(str(requirement), where)


def _unlockable(where: str, what: str) -> ConfigError:
    return ConfigError(
        f"{where} is {what}, which no hash can hold.",
        hint="name a released version of it instead, as in pandas==1.4.3; or copy its modules into the folder",
    )


def _text(path: Path) -> str:
    """The text of a file, in the encodings that editors and PowerShell write."""
    try:
        if not path.is_file():
            raise UsageError(f"{path.name} is no file.")
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise UsageError(f"{path.name} is larger than {LARGEST_FILE_BYTES // 2**20} MiB, and no list of packages.")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}.") from error
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is no text in UTF-8.", hint="save it as UTF-8") from error
    if "\0" in text:
        raise UsageError(f"{path.name} is no text.", hint="save it as UTF-8")
    return text
