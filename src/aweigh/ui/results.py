"""Answers and rows side by side: for the table on the page, and as CSV and Parquet to take away.

The answer comes first, then what is to be said of the row, then the file's own columns in their order. In a CSV, text
that a spreadsheet would run is disarmed and numbers stay numbers.
"""

import datetime as dt
import io
from collections import Counter
from dataclasses import dataclass
from typing import Any

from aweigh.schema import Output
from aweigh.schema.answers import class_key
from aweigh.schema.cells import read_integer, read_number
from aweigh.table import TextTable, write_csv
from aweigh.ui.answer import class_titles
from aweigh.ui.charts import MOST_BARS, Bar, bars, histogram
from aweigh.ui.flat import names_of
from aweigh.ui.scoring import Scoring
from aweigh.ui.words import count, figure, percent

NOTE = "note"
BINS = 24
UNANSWERED = "not answered"


@dataclass(frozen=True, slots=True)
class Results:
    """One file with its answers. ``answers`` and ``columns`` are names with their cells; ``notes`` one text a row."""

    answers: list[tuple[str, list[Any]]]
    notes: list[str | None]
    columns: list[tuple[str, list[Any]]]
    note_name: str

    @property
    def rows(self) -> int:
        """How many rows, answered or not."""
        return len(self.notes)


def results_of(scoring: Scoring) -> Results:
    """What there is so far."""
    upload = scoring.fitted.upload
    taken = set(upload.names)
    names = names_of(scoring.schema.output)
    return Results(
        answers=[(_free(name, taken), column) for name, column in zip(names, scoring.columns, strict=True)],
        notes=notes(scoring),
        columns=[(name, _plain(upload.table.columns[name])) for name in upload.names],
        note_name=_free(NOTE, taken, prefix="answer_"),
    )


def _free(name: str, taken: set[str], *, prefix: str = "predicted_") -> str:
    """The name, or one made of it that no column of the file has."""
    while name in taken:
        name = prefix + name
    return name


def _plain(column: Any) -> list[Any]:
    return column if isinstance(column, list) else [_as_text(cell) for cell in column.cells()]


def _as_text(cell: object) -> object:
    if isinstance(cell, dt.datetime) and cell.time() == dt.time():
        return cell.date().isoformat()
    return cell.isoformat() if isinstance(cell, dt.date) else cell


def notes(scoring: Scoring) -> list[str | None]:
    """What is to be said of each row: why it has no answer, or what is unusual about it; None where nothing is."""
    found: list[str | None] = [None] * scoring.fitted.upload.rows
    for row, said in scoring.warned.items():
        found[row] = "; ".join(said)
    for row in range(len(found)):
        if scoring.fitted.bad[row]:
            found[row] = f"{UNANSWERED}: {scoring.fitted.reasons.get(row, 'a cell cannot be read')}"
        elif not scoring.answered[row]:
            found[row] = f"{UNANSWERED}: {scoring.refused.get(row, 'it was stopped before this row')}"
    return found


def csv_bytes(results: Results) -> bytes:
    """The results as CSV, with a mark by which spreadsheets know UTF-8."""
    noted = any(results.notes)
    names = [name for name, _ in results.answers]
    columns = [column for _, column in results.answers]
    if noted:
        names, columns = [*names, results.note_name], [*columns, results.notes]
    names += [name for name, _ in results.columns]
    columns += [[_number_or_text(cell) for cell in column] for _, column in results.columns]
    return write_csv(names, zip(*columns, strict=True)).encode("utf-8-sig")


def _number_or_text(cell: object) -> object:
    """A signed number that stands as text, as the number: only text is disarmed."""
    if isinstance(cell, str) and cell[:1] in {"-", "+"}:
        text = cell.strip()
        whole = read_integer(text) if "." not in text else None
        number = read_number(text) if whole is None else whole
        return cell if number is None else number
    return cell


def typed(scoring: Scoring, results: Results) -> list[tuple[str, list[Any]]]:
    """The file's columns, the model's inputs among them in the types they were read as: empty where that failed."""
    fitted = scoring.fitted
    if not isinstance(fitted.upload.table, TextTable):
        return results.columns
    inputs = {match.source: match.name for match in fitted.matches if match.source is not None}
    return [
        (name, [_as_text(cell) for cell in fitted.table[inputs[name]].cells()] if name in inputs else column)
        for name, column in results.columns
    ]


def parquet_bytes(scoring: Scoring, results: Results) -> bytes:
    """The results as Parquet: the model's inputs in their types, what the file holds besides as it came."""
    import pyarrow as pa
    import pyarrow.parquet

    columns: dict[str, Any] = {name: pa.array(column) for name, column in results.answers}
    columns[results.note_name] = pa.array(results.notes, pa.string())
    columns |= {name: pa.array(column) for name, column in typed(scoring, results)}
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), out)
    return out.getvalue()


def picture(scoring: Scoring) -> str:
    """The answers' distribution as HTML; empty where it would say nothing."""
    output = scoring.schema.output
    if output.task in {"numbers", "transform"}:
        return ""
    given = [cell for cell, answered in zip(scoring.columns[0], scoring.answered, strict=True) if answered]
    if output.task == "number":
        return _number_picture([value for value in given if value is not None])
    titles = class_titles(output)
    counted = Counter(_kind(output, cell, titles) for cell in given).most_common()
    shown = counted if len(counted) <= MOST_BARS + 1 else counted[:MOST_BARS]
    rows = [Bar(kind, number / len(given), _share(number, len(given))) for kind, number in shown]
    rest = sum(number for _, number in counted[len(shown) :])
    if rest:
        rows.append(Bar(count(len(counted) - len(shown), "other"), rest / len(given), _share(rest, len(given))))
    return bars(rows, label="How often each answer was given") if rows else ""


def _share(number: int, of: int) -> str:
    return f"{number:,} · {percent(number / of)}"


def _kind(output: Output, cell: Any, titles: dict[str, str]) -> str:
    if output.task == "class":
        key = class_key(cell)
        return titles.get(key, key)
    if output.task == "cluster":
        return f"Cluster {cell}"
    return "Unusual" if cell else "Ordinary"


def _number_picture(values: list[float]) -> str:
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high <= low:
        return ""
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / (high - low) * BINS))] += 1
    middle = sorted(values)[len(values) // 2]
    label = f"The answers go from {figure(low)} to {figure(high)}; half of them are below {figure(middle)}."
    return histogram(counts, label=label, ends=(figure(low), figure(high)))
