"""Write docs/reference/targets.md: what was seen to work at which place, how real the thing was, and when that was.

The table is made of records (docs/reference/shown.json) that tests leave when they pass (tests/shown.py); a test that
is marked and was not recorded counts for nothing, and its cell says so. A record of a test that is gone, or that shows
something else by now, is left out, and dropped from the file.
"""

import io
import sys
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "targets.md"
RECORDS = PAGE.with_name("shown.json")
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.shown import HOW, PROMISES, Record, cells, marks_of, read, write  # noqa: E402  (needs the paths)

from aweigh.cli.places import PLACES, TOLD  # noqa: E402

HEAD = """<!-- Made by `make docs` from docs/reference/shown.json: a change here is lost. -->
# Where it goes, and how that is known

What `aweigh` does at each place, on what that was seen, and when. Behind each cell stands a test of this repository
that ran and passed on that day; `make shown` runs them again. Where none was run the cell says so. Nothing here was
tried on an account of a platform.

"""

Claim = tuple[str, str, str, str]
"""A place, a verb, a way, and the test that claims it."""


class Collector:
    """What the tests say that they show."""

    def __init__(self) -> None:
        self.claims: set[Claim] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take the marks of all tests, the slow ones too."""
        self.claims = {(*one, item.nodeid) for item in session.items for one in marks_of(item)}


def collect() -> set[Claim]:
    """Read the marks of all tests."""
    collector = Collector()
    words = ["--collect-only", "-qq", "--no-header", "-m", "slow or not slow", "-p", "no:cacheprovider", "tests"]
    with redirect_stdout(io.StringIO()) as told:  # a line for each file, where nothing is wrong
        status = pytest.main([*words, "--rootdir", str(ROOT)], plugins=[collector])
    if status:
        sys.exit(f"{told.getvalue()}\nthe tests cannot be collected ({int(status)})")
    return collector.claims


def standing(records: Iterable[Record], claims: AbstractSet[Claim]) -> list[Record]:
    """The records whose test is still there, and still shows that."""
    return sorted(one for one in records if (one.place, one.verb, one.how, one.test) in claims)


def cell(place: str, verb: str, records: Sequence[Record], claims: AbstractSet[Claim]) -> str:
    """What a cell says: the most real way that was recorded, and the last day of it."""
    mine = [one for one in records if (one.place, one.verb) == (place, verb)]
    if mine:
        best = next(how for how in HOW if any(one.how == how for one in mine))
        return f"{best}, {max(one.date for one in mine if one.how == best)}"
    if any(claim[:2] == (place, verb) for claim in claims):
        return "**not run**"
    return "**no test**" if (place, verb) in cells() else "-"


def page(records: Sequence[Record], claims: AbstractSet[Claim]) -> str:
    """The page."""
    rows = [*dict.fromkeys(verb for known in PLACES.values() for verb in known), *PROMISES]
    lines = [HEAD.rstrip(), "", "| | " + " | ".join(PLACES) + " |", "|---|" + "---|" * len(PLACES)]
    for verb in rows:
        found = (cell(place, verb, records, claims) for place in PLACES)
        lines += [f"| {verb} | {' | '.join(found)} |"]
    lines += ["", "| | means |", "|---|---|", *(f"| {how} | {told} |" for how, told in HOW.items())]
    lines += ["| **not run** | there is a test of it, and nobody has recorded that it passed |"]
    lines += ["| **no test** | nothing is known |", "| - | there is no such thing at this place |", ""]
    lines += ["## The tests behind it", ""]
    for place, told in TOLD.items():
        lines += [f"### {place}", "", told, "", *_behind(place, rows, records, claims), ""]
    return "\n".join(lines).rstrip() + "\n"


def _behind(place: str, rows: Sequence[str], records: Sequence[Record], claims: AbstractSet[Claim]) -> list[str]:
    """A line for each verb and way: the tests, on what and when they passed, and those that were not run."""
    found = []
    recorded = {(one.place, one.verb, one.how, one.test): one for one in records}
    for verb in rows:
        for how in HOW:
            mine = sorted(one for one in claims if one[:3] == (place, verb, how))
            groups: dict[str, list[str]] = {}
            for claim in mine:
                record = recorded.get(claim)
                when = "not run" if record is None else ", ".join(filter(None, (record.date, record.on)))
                groups.setdefault(when, []).append(f"`{claim[3].rpartition('/')[2]}`")
            found += [f"- {verb}, {how} ({when}): {', '.join(tests)}" for when, tests in sorted(groups.items())]
    return found


def main(arguments: list[str]) -> int:
    """Write the page, and the records that stand; with --check say whether both are current."""
    claims = collect()
    known = read(RECORDS)
    records = standing(known, claims)
    text = page(records, claims)
    if "--check" in arguments:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text and records == sorted(known) else 1
    PAGE.write_text(text, encoding="utf-8")
    write(RECORDS, records)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
