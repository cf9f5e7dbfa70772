"""What tests have seen work at which place, written down as they pass: the records behind docs/reference/targets.md.

A test says it by ``@pytest.mark.shows("heroku", "deploy", how="local server")``. With ``--record-shown=PATH`` each
such test that is run and passes leaves a record in that file, and one that fails takes its own away; what was not run
stays as it was. A mark of a place, a verb or a way that there is not ends the collection.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

HOW = {
    "real run": "the thing itself ran: containers under Docker, units under systemd, a browser",
    "real control plane": "the platform's own API server took what was sent and answered; nothing ran behind it",
    "vendor's client": "the vendor's own client did the same on a local server that stands in for the platform",
    "local server": "aweigh spoke to a local server made of the vendor's own schema, which really ran what was sent",
    "stand-in program": "a program of this repository stood in for the vendor's, and ran all or a part of it",
    "documentation": "what is sent was held against what the vendor's documentation says of it, and no more",
    "schema": "what would be sent was held against the vendor's schema, and no more",
}
"""From the most real to the least."""

PROMISES: Mapping[str, frozenset[str]] = {
    "render": frozenset({"heroku", "compose", "ssh", "dokku", "kubernetes", "ray"}),
    "golden rows": frozenset({"heroku", "compose", "ssh", "dokku", "kubernetes", "ray"}),
    "deploy by images": frozenset({"heroku"}),
}
"""Rows of the table that are no verbs, and the places that have them."""

SHOWS, FAILED = "shows", "failed"


@dataclass(frozen=True, order=True, slots=True)
class Record:
    """That a test passed which shows a verb at a place; ``on`` is what it ran on, ``date`` the day (UTC)."""

    place: str
    verb: str
    how: str
    test: str
    date: str
    on: str


def cells() -> set[tuple[str, str]]:
    """The place and the row of every cell that something can be claimed of."""
    from aweigh.cli.places import PLACES

    verbs = {(place, verb) for place, known in PLACES.items() for verb in known}
    return verbs | {(place, row) for row, places in PROMISES.items() for place in places}


def marks_of(item: pytest.Item) -> list[tuple[str, str, str]]:
    """The place, the verb and the way of each claim of a test.

    Raises:
        pytest.UsageError: there is no such place, verb or way.
    """
    found = []
    for mark in item.iter_markers(SHOWS):
        place, *verbs = mark.args
        how = mark.kwargs.get("how")
        if how not in HOW:
            raise pytest.UsageError(f"{item.nodeid}: {how!r} is none of {', '.join(HOW)}")
        for verb in verbs:
            if (place, verb) not in cells():
                raise pytest.UsageError(f"{item.nodeid}: the table has no cell for {verb!r} at {place!r}")
            found.append((place, verb, how))
    return found


def read(path: Path) -> list[Record]:
    """The records of a file; none where there is none."""
    return [Record(**one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def write(path: Path, records: Iterable[Record]) -> None:
    """Write records, always in the same order."""
    lines = [json.dumps(asdict(one), ensure_ascii=False) for one in sorted(set(records))]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n", encoding="utf-8")


def merged(known: Iterable[Record], passed: Iterable[Record], ran: set[str]) -> list[Record]:
    """The records after a run: those of tests that ran are taken anew, all others stay."""
    return [*(one for one in known if one.test not in ran), *passed]


class Recorder:
    """Checks every mark, and records what passed where a file was named."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.passed: dict[str, list[Record]] = {}
        self.failed: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Check the marks of all that was collected, the slow ones too."""
        for item in items:
            marks_of(item)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Say with the report what it shows; on another process than the one that writes, where there are several."""
        outcome = yield
        report = outcome.get_result()
        if self.path is not None and report.when == "call" and report.passed:
            shown = marks_of(item)
            if shown:
                report.user_properties.append((SHOWS, [shown, _ran_on(item)]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take down what passed, and what failed in any of its parts."""
        if report.failed:
            self.failed.add(report.nodeid)
        if report.when != "call":
            return
        for name, value in report.user_properties:
            if name == SHOWS:
                shown, on = value
                today = datetime.now(UTC).date().isoformat()
                self.passed[report.nodeid] = [Record(*one, report.nodeid, today, on) for one in shown]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Merge into the file; a worker among several leaves that to the first process."""
        if self.path is None or hasattr(session.config, "workerinput"):
            return
        passed = [one for test, found in self.passed.items() if test not in self.failed for one in found]
        write(self.path, merged(read(self.path), passed, self.failed | self.passed.keys()))


def _ran_on(item: pytest.Item) -> str:
    """What the thing is called that it ran on: a fixture that has ``versions`` knows."""
    for value in getattr(item, "funcargs", {}).values():
        versions = getattr(value, "versions", None)
        if isinstance(versions, str):
            return versions
    return ""
