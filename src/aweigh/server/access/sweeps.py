"""The watch for sweeps: whether the rows of one who is known look made up to map the model.

Rows are gathered for a moment and looked at together in a thread: a request pays for an entry in a list. What comes
of it is told, once a day of each; nobody is refused because of it, since it is wrong about one honest client in a
hundred. Where rows come quicker than is looked at, some of each client's are, which says the same of them.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

import msgspec
import numpy as np

from aweigh.errors import AweighError
from aweigh.guard.identity import Identity
from aweigh.guard.sweep import Looks, SweepReference, SweepWatch, Verdict
from aweigh.profile import Profile
from aweigh.runtime.predictor import Predictor
from aweigh.table import Table, Values
from aweigh.table.blocks import Blocks
from aweigh.table.columns import concatenate

GATHER_S = 0.25
ROWS_EACH, ROWS_TOGETHER = 256, 1024
"""So many rows of one client, and of all together, are gathered in that time; of a larger table some from all of it."""
MOST_BYTES = 4 * 2**20
"""What is gathered comes from bodies of so many bytes at most, or is one table."""
MOST_CLIENTS = 500
"""So many clients are watched, those who asked last; each takes some 20 kB at most."""
DAY_S = 86_400
AGAIN_S = 60.0
"""What could not be written down is tried again after so long."""
JOIN_S = 5.0

Tell = Callable[[Identity, Verdict], None]
"""What becomes of a suspicion; an AweighError: it is told again later."""

_LOG = logging.getLogger(__name__)


def reference_of(predictor: Predictor) -> SweepReference:
    """What the predictor's bundle knows of ordinary rows."""
    return SweepReference(predictor.schema, msgspec.json.decode(predictor.profile_json, type=Profile))


@dataclass(slots=True)
class _Client:
    """``quiet_until`` is when a suspicion is next told."""

    watch: SweepWatch = field(default_factory=SweepWatch)
    quiet_until: float = 0.0


@dataclass(slots=True)
class _Gathered:
    """Tables that wait to be looked at, the rows of each client, and what they take."""

    tables: list[tuple[Identity, Table]] = field(default_factory=list)
    rows_of: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    size_bytes: int = 0


def _alike(tables: list[tuple[Identity, Table]]) -> list[list[tuple[Identity, Table]]]:
    """The tables that can be put one behind another: two models in one process may name and type columns otherwise."""
    found: dict[object, list[tuple[Identity, Table]]] = {}
    for one in tables:
        columns = one[1].columns
        form: object = id(columns.layout) if isinstance(columns, Blocks) else tuple(map(_kind, columns.items()))
        found.setdefault(form, []).append(one)
    return list(found.values())


def _kind(column: tuple[str, Values]) -> tuple[str, str, bool]:
    name, values = column
    return name, values.data.dtype.kind, values.categories is None


class Sweeps:
    """The watch of one process; called with what somebody asks. ``make`` is called once, in the thread that looks."""

    def __init__(
        self, make: Callable[[], SweepReference], tell: Tell, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._make = make
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._gathered = _Gathered()
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._reference: SweepReference | None = None
        self._failed = False
        self._thread: threading.Thread | None = None
        self._there = threading.Event()
        self._closed = threading.Event()

    def __call__(self, identity: Identity, table: Table, size_bytes: int) -> None:
        """Takes rows to be looked at, of a body of that size; from any thread, in a microsecond."""
        rows = table.rows
        if not rows:
            return
        with self._lock:
            gathered = self._gathered
            before = gathered.rows_of.get(identity.id, 0)
            kept = min(rows, ROWS_EACH - before, ROWS_TOGETHER - gathered.rows)
            if kept <= 0 or self._closed.is_set():
                return
            if kept < rows:
                size_bytes = size_bytes * kept // rows
            if gathered.tables and gathered.size_bytes + size_bytes > MOST_BYTES:
                return
            if kept < rows:
                table = table.take(np.linspace(0, rows - 1, kept).astype(np.int64))
            gathered.tables.append((identity, table))
            gathered.rows_of[identity.id] = before + kept
            gathered.rows += kept
            gathered.size_bytes += size_bytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sweeps", daemon=True)
                self._thread.start()
            if not self._there.is_set():
                self._there.set()

    def close(self) -> None:
        """Looks at what has been gathered, and ends."""
        self._closed.set()
        self._there.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def __len__(self) -> int:
        return len(self._clients)

    def _run(self) -> None:
        while True:
            self._there.wait()
            self._closed.wait(GATHER_S)
            with self._lock:
                gathered, self._gathered = self._gathered, _Gathered()
                self._there.clear()
            for alike in _alike(gathered.tables):
                try:
                    self.look(alike)
                except Exception:  # noqa: BLE001  whatever it is, the next rows are looked at
                    if not self._failed:  # once: whoever can make it fail is not to fill the log
                        _LOG.exception("the watch for sweeps fails on some rows")
                    self._failed = True
            if self._closed.is_set():
                return

    def look(self, tables: list[tuple[Identity, Table]]) -> None:
        """Looks at what was gathered, client by client."""
        if not tables:
            return
        if self._reference is None:
            self._reference = self._make()
        for alike in _alike(tables):
            self._look(self._reference, alike)

    def _look(self, reference: SweepReference, tables: list[tuple[Identity, Table]]) -> None:
        tables = sorted(tables, key=lambda one: one[0].id)
        looks = reference.look(concatenate([table for _, table in tables]))
        begin = 0
        for _, group in groupby(tables, key=lambda one: one[0].id):
            several = list(group)
            end = begin + sum(table.rows for _, table in several)
            self._add(several[-1][0], looks.part(begin, end))
            begin = end

    def _add(self, identity: Identity, looks: Looks) -> None:
        client = self._clients.setdefault(identity.id, _Client())
        self._clients.move_to_end(identity.id)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        verdict, now = client.watch.add(looks), self._clock()
        if not verdict.is_sweep or now < client.quiet_until:
            return
        try:
            self._tell(identity, verdict)
        except AweighError as error:
            _LOG.warning("a suspected sweep could not be written down: %s", type(error).__name__)
            client.quiet_until = now + AGAIN_S
        else:
            client.quiet_until = (now // DAY_S + 1) * DAY_S
