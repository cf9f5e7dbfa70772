"""Write docs/reference/targets.md: what works at which place, and how real the thing was that it was tried on.

The table is made of the tests: one marked ``shows("heroku", "deploy", how="local server")`` stands behind that cell. No
cell claims more than its tests; a cell without one says so.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "targets.md"
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from aweigh.cli.places import PLACES, TOLD  # noqa: E402  (needs the paths)

HOW = {
    "real run": "the thing itself ran: containers under podman, units under systemd, a browser",
    "vendor's client": "the vendor's own client did the same on a local server that stands in for the platform",
    "local server": "aweigh spoke to a local server made of the vendor's own schema, which really ran what was sent",
    "documentation": "what is sent was held against what the vendor's documentation says of it, and no more",
    "schema": "what would be sent was held against the vendor's schema, and no more",
}
"""From the most real to the least."""

HEAD = """<!-- Made by `make docs` from the tests' marks: a change here is lost. -->
# Where it goes, and how that is known

What `aweigh` does at each place, and on what it was tried. Behind each cell stands a test of this repository; where
there is none the cell says so. Nothing here was tried on an account of a platform.

"""


class Collector:
    """What the tests say that they show."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], dict[str, list[str]]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take the marks of all tests, the slow ones too."""
        for item in session.items:
            for mark in item.iter_markers("shows"):
                place, *verbs = mark.args
                how = mark.kwargs["how"]
                if how not in HOW:
                    pytest.fail(f"{item.nodeid}: {how!r} is none of {', '.join(HOW)}")
                for verb in verbs:
                    tests = self.found.setdefault((place, verb), {}).setdefault(how, [])
                    tests.append(item.nodeid.partition("[")[0])


def collect() -> Collector:
    """Read the marks of all tests."""
    collector = Collector()
    words = ["--collect-only", "-qq", "--no-header", "-m", "slow or not slow", "-p", "no:cacheprovider", "tests"]
    status = pytest.main([*words, "--rootdir", str(ROOT)], plugins=[collector])
    if status:
        sys.exit(int(status))
    return collector


def page(found: Mapping[tuple[str, str], Mapping[str, list[str]]]) -> str:
    """The page."""
    verbs = list(dict.fromkeys(verb for known in PLACES.values() for verb in known))
    more = [verb for _, verb in found if verb not in verbs]
    verbs += list(dict.fromkeys(more))
    lines = [HEAD, "| | " + " | ".join(PLACES) + " |", "|---|" + "---|" * len(PLACES)]
    for verb in verbs:
        cells = []
        for place, known in PLACES.items():
            hows = found.get((place, verb), {})
            best = next((how for how in HOW if how in hows), None)
            cells.append(best or ("**no test**" if verb in known else "-"))
        lines.append(f"| {verb} | " + " | ".join(cells) + " |")
    lines += ["", "| | means |", "|---|---|", *(f"| {how} | {told} |" for how, told in HOW.items())]
    lines += ["| - | there is no such thing at this place |", "", "## The tests behind it", ""]
    for place, told in TOLD.items():
        lines += [f"### {place}", "", told, ""]
        rows = [(verb, found.get((place, verb), {})) for verb in verbs]
        for verb, hows in rows:
            for how, tests in hows.items():
                names = ", ".join(f"`{one.rpartition('/')[2]}`" for one in sorted(set(tests)))
                lines.append(f"- {verb}, {how}: {names}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with --check say whether it is current."""
    text = page(collect().found)
    if "--check" in arguments:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
