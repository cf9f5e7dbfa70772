"""Where this aweigh was installed from, as the command that installs it from there again with more extras.

pip and uv write that down beside an installed distribution (``direct_url.json``, PEP 610). It is read when somebody
is to be told what to type, and not before.
"""

import json
import re
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

NAME = "aweigh"
_ADDRESS = re.compile(r"[A-Za-z0-9:/@%+~._=,-]+", re.ASCII)


def install_command(*extras: str, elsewhere: bool = False) -> str:
    """The command that installs aweigh with these extras; ``elsewhere``: on another machine.

    Where nobody has written down where it came from, or the other machine has no such folder, it says what to fill in.
    """
    wanted = f"{NAME}[{','.join(extras)}]"
    known = _recorded()
    found = None if known is None else _from_folder(known, wanted) or _from_address(known, wanted)
    if found is None or (elsewhere and _is_local(known)):
        found = f"'{wanted} @ URL', with the URL of the wheel or the repository that aweigh came from"
    return f"{'pip' if elsewhere else _installer()} install {found}"


def _installer() -> str:
    """uv where that has installed aweigh: an environment that uv made has no pip of its own."""
    try:
        is_uv = (metadata.distribution(NAME).read_text("INSTALLER") or "").strip() == "uv"
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return "pip"
    return "uv pip" if is_uv else "pip"


def _recorded() -> dict[str, Any] | None:
    """What was written down when it was installed, if that is of the form it should be."""
    try:
        text = metadata.distribution(NAME).read_text("direct_url.json")
        known = json.loads(text or "null")
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return None
    return known if isinstance(known, dict) and isinstance(known.get("url"), str) else None


def _is_local(known: dict[str, Any] | None) -> bool:
    return known is not None and urlsplit(known["url"]).scheme == "file"


def _from_folder(known: dict[str, Any], wanted: str) -> str | None:
    """The folder or the file on this machine, as long as it is there."""
    parts = urlsplit(known["url"])
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not path.exists():
        return None
    told = known.get("dir_info")
    editable = "-e " if isinstance(told, dict) and told.get("editable") is True else ""
    return f"{editable}{shlex.quote(f'{path}{wanted.removeprefix(NAME)}')}"


def _from_address(known: dict[str, Any], wanted: str) -> str | None:
    """The address of a wheel, an archive or a repository, without the name and the password that may be in it.

    Only the name that everybody has at a host of repositories stays: over ssh nothing is fetched without. One with a
    query is told to nobody: what it says there may open the door as well.
    """
    try:
        parts = urlsplit(known["url"])
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return None
    if parts.scheme == "file" or not host or parts.query:
        return None
    scheme, end, user = parts.scheme, "", ""
    if isinstance(vcs := known.get("vcs_info"), dict):
        user = "git@" if parts.username == "git" else ""
        scheme = f"{vcs.get('vcs', 'git')}+{scheme.rpartition('+')[2]}"
        end = f"@{vcs['commit_id']}" if vcs.get("commit_id") else ""
    address = urlunsplit((scheme, f"{user}{host}{port}", f"{parts.path}{end}", "", ""))
    if isinstance(below := known.get("subdirectory"), str):
        address += f"#subdirectory={below}"
    return shlex.quote(f"{wanted} @ {address}") if _ADDRESS.fullmatch(address.replace("#", "")) else None
