"""Check that no committed file names a path of the machine it was written on, or a package registry's host.

Reads what git tracks under the current directory and prints each offence as `path:line: text`; exits 1 if there is one.
The patterns are generic: home folders, workspaces, temporary folders, registries and mirrors of any kind.
"""

import re
import subprocess
import sys
from pathlib import Path

# Written so that this file does not match itself: no pattern holds the text that it looks for.
PATTERNS = {
    "a path of one machine": re.compile(
        rb"(?<![\w.\-/}])/(?:home|Users)/[a-z]"
        rb"|(?<![\w.\-/}])/(?:root|work|workspaces?|scratch|mnt)/\w"
        rb"|(?<![\w.\-/}])/tmp/(?!\W)\w"
        rb"|\b[A-Z]:\\\\?Users\\"
    ),
    "a package registry's host": re.compile(
        rb"\b(?:[\w-]+\.)*(?:pypi|pythonhosted|npmjs|yarnpkg|crates|anaconda|rubygems)\.(?:org|com|io)\b"
        rb"|\b(?:[\w-]+\.)+(?:debian|ubuntu)\.(?:org|com|net)/(?:debian|ubuntu)"
        rb"|://[^\s\"'<>)]+/simple/?(?=[\s\"'<>)]|$)"
    ),
    "an option that chooses a registry": re.compile(rb"^\s*--(?:extra-)?(?:index-url|find-links)\b", re.MULTILINE),
}
# Locks of tools that record where each file was downloaded from.
FORBIDDEN_NAMES = {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock"}
MAX_SHOWN = 160
# Documents of other people, kept byte for byte: the folders in their examples are none of ours.
OF_OTHERS = {"tests/heroku/platform-api-v3.schema.json"}


def offences(path: str, content: bytes) -> list[str]:
    """Return a line for each offence in one file's content; binary files (a NUL in the first 8 kB) are searched too."""
    is_lock = Path(path).name in FORBIDDEN_NAMES
    found = [f"{path}: a lock that records download addresses"] if is_lock else []
    for what, pattern in PATTERNS.items():
        if path in OF_OTHERS and what == "a path of one machine":
            continue
        for match in pattern.finditer(content):
            number = content.count(b"\n", 0, match.start()) + 1
            line = content.splitlines()[number - 1].strip()[:MAX_SHOWN].decode(errors="replace")
            found.append(f"{path}:{number}: {what}: {line}")
    return found


def main() -> int:
    """Check every tracked file."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout  # one git, no shell
    paths = [name for name in listed.decode().split("\0") if name and Path(name).is_file()]
    found = [line for path in paths for line in offences(path, Path(path).read_bytes())]
    print("\n".join(found) if found else f"checked {len(paths)} files: none names a machine or a registry")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
