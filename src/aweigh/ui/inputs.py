"""The inputs on the page: a widget for each field, its value kept in the session's row, its warning under it.

The row is the truth. A widget writes its cell when it changes, so that folded groups need not be drawn to count, and
whatever sets the row (an example, a link) writes the widgets' own state before they are drawn.
"""

import datetime as dt
from html import escape

import streamlit as st

from aweigh.ui.fields import Field, Note, choices, number_format
from aweigh.ui.row import Cell, Row
from aweigh.ui.words import plain

UNKNOWN = "Unknown"
ROW_KEY = "aweigh_row"
_UNKNOWN_OPTION = "\ufdd1"
"""Stands for "unknown" among a list's options: a noncharacter, which no data holds."""

_EARLIEST = dt.date(1, 1, 1)
_LATEST = dt.date(9999, 12, 31)


def row_in_session() -> Row:
    """The session's row; the page puts one there before any input is drawn."""
    row: Row = st.session_state[ROW_KEY]
    return row


def set_row(fields: list[Field], row: Row) -> None:
    """Make this the session's row, the widgets that show it included. Only before they are drawn, or in a callback."""
    st.session_state[ROW_KEY] = dict(row)
    for field in fields:
        if _key(field) in st.session_state:  # the others take their cell when they are first drawn
            _show(field, row[field.name])


def _key(field: Field) -> str:
    return f"in.{field.name}"


def _unknown_key(field: Field) -> str:
    return f"unknown.{field.name}"


def draw(field: Field, number: int, *, note: Note | None) -> None:
    """One input: the widget, "unknown" where the column may be missing, and a line when the value is unusual."""
    cell = row_in_session()[field.name]
    if _key(field) not in st.session_state:
        _show(field, cell)
    with st.container(key=f"field-{number}", gap=None):
        _WIDGETS[field.kind](field, cell)
        if field.unit:
            st.html(f'<span class="aw-unit">{escape(field.unit)}</span>')
        if field.column.nullable and field.kind not in {"segments", "list"}:
            # Seen as "Unknown" only: the stylesheet hides the rest, which says to a screen reader what is unknown.
            label = f"{plain(field.label)} {UNKNOWN.lower()}"
            st.checkbox(label, key=_unknown_key(field), on_change=_unknown_toggled, args=(field,))
        if note is not None:
            kind = "refused" if note.refused else "unusual"
            st.html(f'<p class="aw-note aw-{kind}" role="status">{escape(note.text)}</p>')


def _label(field: Field) -> str:
    return plain(field.label)


def _help(field: Field) -> str | None:
    return plain(field.help) if field.help else None


# -- between a cell and what its widget holds ------------------------------------------------------------------------


def _show(field: Field, cell: Cell) -> None:
    """Put the cell into the widget's state."""
    st.session_state[_key(field)] = _held(field, cell)
    if field.column.nullable and field.kind not in {"segments", "list"}:
        st.session_state[_unknown_key(field)] = cell is None


def _held(field: Field, cell: Cell) -> object:
    if field.kind in {"segments", "list"}:
        return _UNKNOWN_OPTION if cell is None else float(cell) if field.column.type == "number" else cell
    if field.kind == "typed":
        return "" if cell is None else str(cell)
    if cell is None:
        return "" if field.kind == "text" else None
    if field.kind == "number":
        return float(cell) if field.column.type == "number" else int(cell)
    if field.kind == "date":
        return dt.date.fromisoformat(str(cell)[:10])
    if field.kind == "datetime":
        return dt.datetime.fromisoformat(str(cell)).replace(tzinfo=None)
    return cell


def _meant(field: Field, held: object) -> Cell:
    """The cell that a widget's state stands for."""
    if held is None or held == _UNKNOWN_OPTION:
        return None
    if isinstance(held, dt.date):
        return held.isoformat()
    if field.kind == "typed":
        text = str(held).strip()
        return (_number_or_text(field, text) if field.column.is_number else text) if text else None
    if field.kind == "list" and isinstance(held, str) and field.column.is_number:
        return _number_or_text(field, held)
    return held if isinstance(held, str | int | float | bool) else str(held)


def _number_or_text(field: Field, text: str) -> Cell:
    """What was typed, as a number where it is one; if not, the API says why it is none."""
    try:
        return int(text) if field.column.type == "integer" else float(text)
    except ValueError:
        return text


def _changed(field: Field) -> None:
    cell = _meant(field, st.session_state[_key(field)])
    before = row_in_session()[field.name]
    if field.kind == "datetime" and isinstance(cell, str) and isinstance(before, str) and _same_minute(cell, before):
        return  # the widget knows no seconds: it says the same moment back without them
    row_in_session()[field.name] = cell
    if _unknown_key(field) in st.session_state and field.kind != "text":
        st.session_state[_unknown_key(field)] = cell is None
    elif _unknown_key(field) in st.session_state:
        st.session_state[_unknown_key(field)] = False


def _same_minute(one: str, other: str) -> bool:
    return dt.datetime.fromisoformat(one) == dt.datetime.fromisoformat(other).replace(second=0, microsecond=0)


def _unknown_toggled(field: Field) -> None:
    """Unknown on: the value is put aside; off: it comes back, or the typical one does."""
    row = row_in_session()
    aside = f"aside.{field.name}"
    if st.session_state[_unknown_key(field)]:
        st.session_state[aside] = row[field.name]
        row[field.name] = None
    else:
        back = st.session_state.get(aside)
        row[field.name] = field.column.typical if back is None else back
    _show(field, row[field.name])


# -- widgets ---------------------------------------------------------------------------------------------------------


def _number(field: Field, cell: Cell) -> None:
    whole = field.column.type == "integer"
    st.number_input(
        _label(field),
        value=None if field.column.nullable else "min",
        step=max(1, int(field.step)) if whole else float(field.step),
        format=number_format(field, cell),
        placeholder=UNKNOWN,
        help=_help(field),
        key=_key(field),
        on_change=_changed,
        args=(field,),
    )


def _typed(field: Field, _cell: Cell) -> None:
    st.text_input(
        _label(field), placeholder=UNKNOWN, help=_help(field), key=_key(field), on_change=_changed, args=(field,)
    )


def _options(field: Field, cell: Cell) -> list[Cell]:
    options = choices(field.column)
    if cell is not None and cell not in options:
        options.append(cell)
    if field.column.nullable:
        options.append(_UNKNOWN_OPTION)
    return options


def _segment_title(option: Cell) -> str:
    return plain(_option_title(option)) or "(empty)"


def _option_title(option: Cell) -> str:
    if option == _UNKNOWN_OPTION:
        return UNKNOWN
    if isinstance(option, bool):
        return "Yes" if option else "No"
    if isinstance(option, float) and option.is_integer():
        return str(int(option))
    return str(option)


def _segments(field: Field, cell: Cell) -> None:
    st.segmented_control(
        _label(field),
        _options(field, cell),
        required=True,
        format_func=_segment_title,
        help=_help(field),
        key=_key(field),
        on_change=_changed,
        args=(field,),
        wrap=True,
    )


def _list(field: Field, cell: Cell) -> None:
    st.selectbox(
        _label(field),
        _options(field, cell),
        format_func=_option_title,
        help=_help(field),
        key=_key(field),
        on_change=_changed,
        args=(field,),
        accept_new_options=not field.column.closed,
    )


def _date(field: Field, _cell: Cell) -> None:
    st.date_input(
        _label(field),
        value=None,
        min_value=_EARLIEST,
        max_value=_LATEST,
        format="YYYY-MM-DD",
        help=_help(field),
        key=_key(field),
        on_change=_changed,
        args=(field,),
    )


def _datetime(field: Field, _cell: Cell) -> None:
    st.datetime_input(
        _label(field),
        value=None,
        min_value=dt.datetime.combine(_EARLIEST, dt.time()),
        max_value=dt.datetime.combine(_LATEST, dt.time(23, 59)),
        format="YYYY-MM-DD",
        step=dt.timedelta(minutes=1),
        help=_help(field),
        key=_key(field),
        on_change=_changed,
        args=(field,),
    )


def _text(field: Field, cell: Cell) -> None:
    st.text_area(
        _label(field),
        placeholder=UNKNOWN if cell is None else "",
        height=96,
        help=_help(field),
        key=_key(field),
        on_change=_changed,
        args=(field,),
    )


_WIDGETS = {
    "number": _number,
    "segments": _segments,
    "list": _list,
    "date": _date,
    "datetime": _datetime,
    "text": _text,
    "typed": _typed,
}
