"""A folder that somebody wants to deploy: which of its files travel, and what is left out and why.

What ``.gitignore`` files and ``.slugignore`` name stays behind, as do environments, caches, version control, links that
lead out of the folder, and pointers of Git LFS, whose content is elsewhere. Only names are looked at, and the first
bytes of files as small as a pointer.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from aweigh.errors import DataError, TooLarge, UsageError
from aweigh.registry import require

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

NEVER = frozenset({
    ".git", ".hg", ".svn", ".venv", "venv", "__pycache__", "node_modules", ".pytest_cache", ".mypy_cache",
    ".ruff_cache", ".ipynb_checkpoints", ".DS_Store", ".env", ".heroku",
})  # fmt: skip
"""Names, of files and folders at any depth, that no deployment needs; ``.env`` holds a developer's own secrets."""
SLUGIGNORE = ".slugignore"
IGNORES = (".gitignore", SLUGIGNORE)
MOST_FILES = 50_000
LFS_BEGINS = b"version https://git-lfs.github.com/spec/"
MOST_POINTER_BYTES = 1024
"""The specification's own bound of a pointer file."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Files by their path below the folder, with ``/`` and in order; ``left_out`` are paths and why they stay."""

    files: Mapping[str, Path]
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Walk:
    root: Path
    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def list_folder(root: Path) -> Listing:
    """The files of a folder that are deployed.

    Raises:
        UsageError: it is no folder, or cannot be read.
        TooLarge: it holds more files than any application has.
        DataError: the name of a file is no text.
        MissingExtra: what reads ``.gitignore`` is not installed.
    """
    if not root.is_dir():
        raise UsageError(f"{root.name!r} is no folder.")
    walk = _Walk(root.resolve())
    try:
        _descend(walk, "", ())
    except OSError as error:
        raise UsageError(
            f"{str(root)!r} cannot be read: {error.strerror or error}.", hint="name the folder of one application"
        ) from error
    return Listing(dict(sorted(walk.files.items())), tuple(sorted(walk.left_out)))


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file holds no content but where Git LFS keeps it.

    Raises:
        OSError: it cannot be read.
    """
    if path.stat().st_size > MOST_POINTER_BYTES:
        return False
    with path.open("rb") as stream:
        return stream.read(len(LFS_BEGINS)) == LFS_BEGINS


def is_never_deployed(name: str) -> bool:
    """Whether a path has a part that no deployment needs."""
    return not NEVER.isdisjoint(PurePosixPath(name).parts)


def check_kept(added: Iterable[str], files: Mapping[str, Path]) -> None:
    """Refuse a ``.slugignore`` that takes away what is added to a folder: the platform obeys it before it builds.

    Raises:
        UsageError: it would.
    """
    if SLUGIGNORE not in files:
        return
    rules = tuple(_rules_of(files[SLUGIGNORE].parent, "", names=(SLUGIGNORE,)))
    for name in added:
        parts = name.split("/")
        above = ["/".join(parts[:i]) + "/" for i in range(1, len(parts))]
        if any(_why_left_out(one, rules) is not None for one in (*above, name)):
            raise UsageError(
                f".slugignore takes away {name}, which the deployment needs.", hint="take the line out that names it"
            )


_Rules = Sequence[tuple[str, "GitIgnoreSpec"]]
"""What is ignored, and the folder (with a ``/`` behind it) from which on."""


def _descend(walk: _Walk, prefix: str, rules: _Rules) -> None:
    folder = walk.root / prefix
    rules = (*rules, *_rules_of(folder, prefix))
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = prefix + entry.name
        if not _is_text(name):
            raise DataError(f"The folder holds a name that is no text: {name[:80]!a}.", hint="rename or remove it")
        if entry.is_dir(follow_symlinks=False):
            why = _why_left_out(f"{name}/", rules)
            if why is None:
                _descend(walk, f"{name}/", rules)
            elif why:
                walk.left_out.append((f"{name}/", why))
            continue
        why = _why_left_out(name, rules)
        why = _why_no_file(walk.root, entry) if why is None else why
        if why is None:
            walk.files[name] = Path(entry.path)
            if len(walk.files) > MOST_FILES:
                raise TooLarge(
                    f"The folder holds more than {MOST_FILES:,} files.", hint="name what stays in .slugignore"
                )
        elif why:
            walk.left_out.append((name, why))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _rules_of(
    folder: Path, prefix: str, *, names: tuple[str, ...] | None = None
) -> Iterator[tuple[str, "GitIgnoreSpec"]]:
    if names is None:
        names = IGNORES if not prefix else IGNORES[:1]
    written = [folder / name for name in names if (folder / name).is_file()]
    if not written:
        return
    spec: type[GitIgnoreSpec] = require("pathspec", what="Reading .gitignore", extra="deploy").GitIgnoreSpec
    for path in written:
        lines = path.read_bytes()[: 2**20].decode(errors="replace").splitlines()
        try:
            yield prefix, spec.from_lines(lines)
        except ValueError as error:  # a pattern that git itself would take for none
            raise DataError(f"{path.name} holds a pattern that cannot be read.", hint="see gitignore(5)") from error


def _why_left_out(name: str, rules: _Rules) -> str | None:
    """Why a path stays behind, "" where that goes without saying; None: it travels."""
    if is_never_deployed(name):
        return "" if not name.endswith(".env") else "it holds secrets of this machine"
    ignored: bool | None = None
    for prefix, spec in rules:  # the innermost that says anything counts
        said = spec.check_file(name.removeprefix(prefix)).include
        ignored = ignored if said is None else said
    return "ignored" if ignored else None


def _why_no_file(root: Path, entry: "os.DirEntry[str]") -> str | None:
    if entry.is_symlink():
        target = Path(entry.path).resolve()
        if not target.is_relative_to(root):
            return "a link that leads out of the folder"
        if target.is_dir():
            return "a link to a folder"
        if not target.is_file():
            return "a link to nothing"
    elif not entry.is_file():
        return "no file"
    if is_lfs_pointer(Path(entry.path)):
        return "a pointer of Git LFS, whose content is not here"
    return None
