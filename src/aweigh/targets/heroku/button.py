"""The Deploy to Heroku button: a README for a rendered folder, whose ``app.json`` says what the button makes."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from aweigh.errors import UsageError
from aweigh.targets.heroku.render import addons_of, asked_of, described
from aweigh.targets.release import Release

README = "README.md"
DEPLOY = "https://www.heroku.com/deploy?template="
PICTURE = "https://www.herokucdn.com/deploy/button.svg"
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
MOST_AT_GITHUB_BYTES = 100 * 2**20

_REPOSITORY = re.compile(
    r"https://github\.com/([A-Za-z0-9-]{1,39})/([\w.-]{1,100}?)(/tree/[\w./-]{1,200})?\Z", re.ASCII
)


_FIRST = (
    "Nobody can sign in at first. The app's log has a link that makes the first administrator, once and within a day; "
    "it begins with `/invite/` and opens behind the app's own address."
)


def check_repository(address: str) -> str:
    """The address of a repository as the button names it; a branch may stand behind it (``/tree/BRANCH``).

    >>> check_repository("https://github.com/me/penguins.git")
    'https://github.com/me/penguins'

    Raises:
        UsageError: it is none at GitHub, which is where Heroku's button reads.
    """
    found = _REPOSITORY.match(address.strip().removesuffix("/").removesuffix(".git"))
    if found is None or found[2] in {".", ".."} or ".." in (found[3] or ""):
        raise UsageError(
            f"{address[:80]!r} is no repository that a button can read.", hint=f"write it as {PLACEHOLDER}"
        )
    return found[0]


def badge(repository: str | None) -> str:
    """The button in Markdown."""
    return f"[![Deploy]({PICTURE})]({DEPLOY}{repository or PLACEHOLDER})"


def readme(release: Release, repository: str | None, *, addons: Sequence[str] | None = None) -> str:
    """What a reader of the folder is told: the button, what it makes, and how to come in.

    ``addons`` are the plans that it makes; None: the smallest that the release needs.
    """
    lines = [f"# {release.name}", ""]
    said = described(release.description)
    lines += [said, ""] if said else []
    lines += [badge(repository), ""]
    if repository is None:
        lines += [f"The button works when `{PLACEHOLDER}` in it is this repository's own address at GitHub.", ""]
    made = ", ".join(("its dynos", *(addons_of(release) if addons is None else addons)))
    bills = f"It makes an app in your account, as `app.json` says: {made}. Heroku bills these until it is destroyed."
    lines += [bills, ""]
    asked = asked_of(release)
    lines += [f"It asks for {', '.join(f'`{name}`' for name in asked)}.", ""] if asked else []
    if any("--auth password" in line for line in release.processes.values()):
        lines += [_FIRST, ""]
    lines += ["`aweigh deploy heroku . --app NAME` takes this folder live from here, and checks its answers there.", ""]
    return "\n".join(lines)


def too_large_for_github(files: Mapping[str, bytes | Path]) -> str | None:
    """The name of a file that GitHub does not take; None where all are small enough."""
    for name, content in files.items():
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size > MOST_AT_GITHUB_BYTES:
            return name
    return None
