"""Files that must not be there, or are not what they seem: pointers of Git LFS, environments, secrets, tools' rests."""

from collections.abc import Iterator

from aweigh.secret.scan import find_secrets
from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder
from aweigh.targets.doctor.platform import Words
from aweigh.targets.secrets import is_looked_through

LFS = b"version https://git-lfs.github.com/spec/"
LFS_BYTES = 1024
"""A pointer is smaller."""
MOST_NAMED = 5


def check(folder: Folder, *, words: Words) -> Iterator[Finding]:
    """Looks at every file's name, and into those that may hold such a thing."""
    found = [*_lfs(folder), *_environments(folder), *_secrets(folder, words)]
    yield from found
    if not found:
        yield Finding("files", "pass", f"{len(folder.names)} files, none of them a pointer, an environment or a secret")


def _lfs(folder: Folder) -> Iterator[Finding]:
    pointers = [name for name in folder.names if is_pointer(folder, name)]
    if pointers:
        what = "a pointer of Git LFS in place of the file: the app would read 130 bytes of text"
        if len(pointers) > 1:
            what = f"{len(pointers)} files are pointers of Git LFS in place of what they point to"
        fix = "git lfs pull, then send the files themselves (aweigh deploy sends what lies here), or use a bucket"
        yield Finding("lfs_pointer", "fail", what, fix, ", ".join(pointers[:MOST_NAMED]))


def is_pointer(folder: Folder, name: str) -> bool:
    """Whether a file is a pointer of Git LFS in place of its content."""
    if not 0 < folder.size_bytes(name) < LFS_BYTES:
        return False
    try:
        return (folder.path / name).read_bytes().startswith(LFS)
    except OSError:
        return False


def _environments(folder: Folder) -> Iterator[Finding]:
    for name in folder.environments:
        if not _is_ignored(folder, name):
            what = f"an environment lies in {name}: Existing '{name}/' directory found."
            fix = f"git rm -r --cached {name}; echo {name}/ >> .gitignore"
            yield Finding("committed_venv", "fail" if name == ".venv" else "warn", what, fix, f"{name}/")


def _is_ignored(folder: Folder, name: str) -> bool:
    """Whether ``.gitignore`` leaves the environment out, so that it is never sent."""
    lines = {line.strip().strip("/") for line in (folder.text(".gitignore") or "").splitlines()}
    return bool(lines & {name, f"{name}/*", "*venv*", "*venv"})


def _secrets(folder: Folder, words: Words) -> Iterator[Finding]:
    for name in folder.names:
        if is_looked_through(name, folder.size_bytes(name)):
            # The environment of the one who asks is no part of the folder: only forms are looked for.
            for one in find_secrets(folder.text(name) or "", name=name)[:MOST_NAMED]:
                if name == "requirements.txt" and one.kind == "an address with a password":
                    continue
                what = f"{one.kind}, for everybody who sees the file"
                fix = f"take it out, make a new one, and set that there: {words.set_variable.format('NAME=...')}"
                yield Finding("secret", "fail", what, fix, f"{name}, line {one.line}")
    ignored = {line.strip().strip("/") for line in (folder.text(".gitignore") or "").splitlines()}
    for name in (".env", ".streamlit/secrets.toml"):
        if name in folder.names and not {name, name.rpartition("/")[2], "*.env"} & ignored:
            what = f"{name} lies in the folder and .gitignore does not leave it out"
            fix = f"echo {name} >> .gitignore; on {words.place} set what it holds as {words.settings}"
            yield Finding("secret_file", "warn", what, fix, name)
