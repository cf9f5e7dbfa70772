"""What a terminal is told: a line for each step as it happens, a bar for what is long, tables, and one JSON document.

Colour is only for a terminal that wants it (``NO_COLOR``, ``TERM=dumb``) and never needed to understand. With
``--json`` standard output holds one document and nothing else; the steps go to standard error.
"""

import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TextIO

NAME_WIDTH = 10
TEXT_WIDTH = 62
FIGURE_WIDTH = 8
SHOWN_SECONDS = 0.1
"""A step that took less has no time behind it."""
BAR_AFTER_SECONDS = 2.0
BAR_EVERY_SECONDS = 0.1
LINE_EVERY_SECONDS = 30.0
"""How often progress is told where there is no terminal, so that a log shows life."""
BAR_WIDTH = 24
KILO = 1000
SECONDS_UP_TO = 100
"""From here on a duration reads in minutes."""

_SGR = {"bold": "1", "dim": "2", "red": "1;31", "yellow": "33", "green": "32"}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person watches, on a screen that can go back to the start of a line."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, *, stream: TextIO) -> str:
    """The text in a colour (``bold``, ``dim``, ``red``, ``yellow``, ``green``) where the stream can show one."""
    if not is_terminal(stream) or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_SGR[style]}m{text}\x1b[0m"


def clean(text: str) -> str:
    r"""Text from elsewhere, made harmless for a terminal: control and formatting characters shown as escapes.

    >>> clean("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def width_of(text: str) -> int:
    """How many columns a terminal gives the text: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text filled with spaces to the width, on the left when it is a figure (``right``)."""
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def human_size(size_bytes: int) -> str:
    """A size in decimal units: ``412 kB``, ``1.3 MB``."""
    for unit, power in (("B", 1), ("kB", 10**3)):
        if round(size_bytes / power) < KILO:
            return f"{size_bytes / power:.0f} {unit}"
    unit, power = ("MB", 10**6) if round(size_bytes / 10**6) < KILO else ("GB", 10**9)
    return f"{size_bytes / power:.1f} {unit}"


def human_time(seconds: float) -> str:
    """A duration as ``1.9 s``, ``2:05`` or ``1:02:05``."""
    if seconds < SECONDS_UP_TO:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def aligned(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), indent: int = 2) -> list[str]:
    """Rows of cells as lines whose columns stand under each other; columns in ``right`` hold figures."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = (pad(cell, widths[i], right=i in right) for i, cell in enumerate(row))
        lines.append((" " * indent + "  ".join(padded)).rstrip())
    return lines


def print_document(value: object) -> None:
    """The one JSON document of ``--json``, on standard output."""
    import msgspec

    document = msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2)
    sys.stdout.write(document.decode() + "\n")


class Step:
    """One step while it runs; what it ``says`` is its line when it is done."""

    def __init__(self, show: Callable[[str], None] = lambda _: None) -> None:
        self.text = ""
        self.size_bytes: int | None = None
        self._show = show

    def doing(self, text: str) -> None:
        """What is under way, in the place of the dots; only a terminal shows it."""
        self._show(clean(text))

    def says(self, text: str, *, size_bytes: int | None = None) -> None:
        """What the line tells when the step is done, and a size to stand behind it instead of the time."""
        self.text = text
        self.size_bytes = size_bytes


class Steps:
    """A line for each step as it happens: name, what came of it, and the time it took.

    >>> steps = Steps()
    >>> with steps.step("schema") as step:
    ...     step.says("6 inputs, 3 classes")
      schema    6 inputs, 3 classes
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self._live = is_terminal(self.stream)

    @property
    def stream(self) -> TextIO:
        """Where its lines go."""
        return sys.stderr if self.json else sys.stdout

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Run a step: on a terminal its name stands there with dots until its line takes their place."""
        started = time.perf_counter()
        step = Step(lambda text: self._show(f"  {pad(name, NAME_WIDTH)}{text} ..."))
        with self.pending(name):
            yield step
        figure = human_size(step.size_bytes) if step.size_bytes is not None else None
        self.line(name, step.text, seconds=time.perf_counter() - started, figure=figure)

    @contextmanager
    def pending(self, name: str) -> Iterator[None]:
        """On a terminal: the name of what is under way, with dots, until the block ends."""
        self._show(f"  {pad(name, NAME_WIDTH)}...")
        try:
            yield
        finally:
            self._show("")

    def line(self, name: str, text: str, *, seconds: float = 0.0, figure: str | None = None) -> None:
        """One line: a name, a text, and a figure or a time of at least a tenth of a second behind it."""
        if figure is None:
            figure = human_time(seconds) if seconds >= SHOWN_SECONDS else ""
        stream = self.stream
        head = paint(pad(clean(name), NAME_WIDTH), "bold", stream=stream)
        text = clean(text)
        if figure:
            behind = paint(pad(figure, FIGURE_WIDTH, right=True), "dim", stream=stream)
            text = f"{pad(text, TEXT_WIDTH)}  {behind}"
        print(f"  {head}{text}".rstrip(), file=stream, flush=True)

    def more(self, text: str) -> None:
        """A further line under the last one."""
        self.line("", text)

    def next(self, command: str) -> None:
        """The command to type next."""
        self.line("next", command)

    def progress(self, name: str, *, total: int | None, unit: str) -> "Progress":
        """A bar for what may take long; ``total`` in units (rows, bytes), None when nobody knows."""
        return Progress(name, total=total, unit=unit, stream=self.stream)

    def _show(self, text: str) -> None:
        if self._live:
            _overwrite(self.stream, text)


def _overwrite(stream: TextIO, text: str) -> None:
    """Put the text where the cursor's line is; the cursor stays at its start."""
    room = shutil.get_terminal_size().columns - 1
    stream.write(f"\r\x1b[K{text[:room]}\r")
    stream.flush()


class Progress:
    """A bar with the rate and the time left, shown after two seconds on a terminal; elsewhere a line every half minute.

    What is in ``note`` stands behind it, and ``total`` may become another one on the way.

    >>> with Progress("score", total=10, unit="rows", stream=sys.stdout) as progress:
    ...     progress.add(10)
    """

    def __init__(self, name: str, *, total: int | None, unit: str, stream: TextIO) -> None:
        self._name = name
        self.total = total
        self._unit = unit
        self._stream = stream
        self._live = is_terminal(stream)
        self._started = self._told = time.monotonic()
        self._shown = False
        self.done = 0
        self.note = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and self._live:
            _overwrite(self._stream, "")

    def add(self, count: int) -> None:
        """So many more units are done."""
        self.done += count
        now = time.monotonic()
        every = BAR_EVERY_SECONDS if self._live else LINE_EVERY_SECONDS
        if now - self._started < BAR_AFTER_SECONDS or now - self._told < every:
            return
        self._told = now
        self._shown = True
        text = f"  {pad(self._name, NAME_WIDTH)}{self.text(now - self._started)}"
        if self._live:
            _overwrite(self._stream, text)
        else:
            print(text, file=self._stream, flush=True)

    def text(self, seconds: float) -> str:
        """The bar after so many seconds: how far, how fast, how long still."""
        rate = self.done / seconds
        note = f"  {self.note}" if self.note else ""
        speed = f"{human_size(round(rate))}/s" if self._unit == "bytes" else f"{rate:,.0f} {self._unit}/s"
        if not self.total:
            done = human_size(self.done) if self._unit == "bytes" else f"{self.done:,} {self._unit}"
            return f"{done}  {speed}{note}"
        part = min(self.done / self.total, 1.0)
        bar = pad("#" * int(part * BAR_WIDTH), BAR_WIDTH)
        left = human_time((self.total - self.done) / rate) if rate and part < 1.0 else "0.0 s"
        return f"[{bar}] {part:4.0%}  {speed}  {left} left{note}"
