"""The generated app as files of the user's own: short Streamlit scripts that ask the same API, made to be changed.

What comes out is written for its reader: each input by name, each call as one would write it by hand.
"""

import re
from collections.abc import Callable

from aweigh.bundle.manifest import Manifest
from aweigh.schema import Schema
from aweigh.ui.answer import asked
from aweigh.ui.card import heading, lead
from aweigh.ui.fields import OPEN_COLUMNS_AT_MOST, Field, choices, grouped, seen_text
from aweigh.ui.row import Cell, start_cell
from aweigh.ui.words import plain
from aweigh.wire import palette

LINE = 118
_PLAIN = re.compile(r"[^\"\\{}\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")
_ESCAPES = {code: repr(chr(code))[1:-1] for code in (*range(32), 92, *range(127, 160), 0x2028, 0x2029)}
UNKNOWN = ("Unknown", "Not known", "(no value)")


def files_of(manifest: Manifest, schema: Schema, *, bundle: str) -> dict[str, str]:
    """The app's files by their path: ``app.py``, a page for many rows, the theme. ``bundle`` is how it is called."""
    return {
        "app.py": app_script(manifest, schema, bundle=bundle),
        "pages/Batch.py": BATCH,
        ".streamlit/config.toml": theme(manifest.presentation.accent),
    }


def app_script(manifest: Manifest, schema: Schema, *, bundle: str) -> str:
    """The page that answers one row."""
    title, said = heading(schema, manifest.presentation), lead(schema, manifest.presentation)
    fields = [field for group in grouped(schema, {}) for field in group.fields]
    many = len(fields) > OPEN_COLUMNS_AT_MOST
    shown, rest = (fields[:OPEN_COLUMNS_AT_MOST], fields[OPEN_COLUMNS_AT_MOST:]) if many else (fields, [])
    inputs = ["    row = {", *(_line(field, indent=8) for field in shown), "    }"]
    if rest:
        more = [_line(field, indent=12) for field in rest]
        inputs += ['    with st.expander("More inputs"):', "        row |= {", *more, "        }"]
    drawn = "\n".join(inputs)
    helpers = "".join(code for name, code in _HELPERS.items() if f"{name}(" in drawn)
    dates = "import datetime as dt\n" if "dt." in drawn else ""
    return (
        f'"""{_inside_docstring(title)}: a page of your own. Everything in it is yours to change.\n\n'
        f"To serve it beside the model, on one port:    aweigh serve {_inside_docstring(bundle)} --app app.py\n"
        "To show it alone, asking AWEIGH_API_URL:      streamlit run app.py\n"
        '"""\n\n'
        f"{dates}import os\n\nimport httpx\nimport streamlit as st\n\n"
        f"{_PREDICT}{helpers}\n\n"
        f'st.set_page_config(page_title={_text(title)}, layout="wide")\n'
        f"st.title({_text(plain(title))})\n"
        f"st.write({_text(plain(said))})\n"
        'st.page_link("pages/Batch.py", label="Many rows at once")\n\n'
        'inputs, answer = st.columns([2, 1], gap="large")\n\n'
        f"with inputs:\n{drawn}\n\n"
        'reply = predict(row)\nprediction = reply["predictions"][0]\n\n'
        f"with answer:\n{_answer(schema)}"
        '    for warning in reply["warnings"]:\n'
        "        st.warning(f\"{warning['column']}: {warning['message']}\")\n"
    )


def _inside_docstring(text: str) -> str:
    """On one line, and nothing that would end the docstring."""
    escaped = text.translate(_ESCAPES)
    return escaped.replace('"""', "'''")


def _text(text: str) -> str:
    """A string literal in double quotes where that needs no escape."""
    literal = repr(text)
    if literal.startswith("'") and '"' not in literal and "\\" not in literal:
        return f'"{literal[1:-1]}"'
    return literal


def _literal(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_literal(one) for one in value) + "]"
    return _text(value) if isinstance(value, str) else repr(value)


# -- the parts that every page has -----------------------------------------------------------------------------------

_API = '''\
API = os.environ.get("AWEIGH_API_URL", "http://127.0.0.1:8000")


def who():
    """In whose name the API is asked: the visitor's own session, or a key, where it asks."""
    session, key = st.context.headers.get("X-Aweigh-Session"), os.environ.get("AWEIGH_API_KEY")
    said = f"Aweigh-Session {session}" if session else f"Bearer {key}" if key else None
    return {"Authorization": said} if said else {}
'''

_PREDICT = (
    _API
    + '''

def predict(row):
    """What the model says of one row, and what is unusual about it."""
    reply = httpx.post(f"{API}/v1/predict", json={"rows": [row]}, headers=who(), timeout=60)
    if reply.status_code == 422:  # a value that the model does not take; the answer says which and why
        st.error(reply.json()["detail"])
        st.stop()
    reply.raise_for_status()
    return reply.json()
'''
)

_HELPERS = {
    "number": '''

def number(label, start, **how):
    """A number that may be unknown: an empty field is None."""
    st.session_state.setdefault(label, start)
    return st.number_input(label, value=None, placeholder="Unknown", key=label, **how)
''',
    "known": '''

def known(choice, unknown="Unknown"):
    """What was chosen, or None."""
    return None if choice == unknown else choice
''',
    "iso": '''

def iso(moment):
    """A date as the API takes it, or None."""
    return moment.isoformat() if moment else None
''',
}

BATCH = (
    '''\
"""Many rows at once: a CSV goes to the model, and its answers come back beside it. Yours to change."""

import io
import os

import httpx
import pandas as pd
import streamlit as st

'''
    + _API
    + '''

def harmless(cell):
    """Text that a spreadsheet would run as a formula, made plain."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\\t", "\\r")) else cell


st.set_page_config(page_title="Many rows", layout="wide")
st.title("Many rows")
st.page_link("app.py", label="Back to one row")
file = st.file_uploader("A CSV with the model's columns", type="csv")
if file is None:
    st.stop()

csv = {"Content-Type": "text/csv", "Accept": "text/csv"}
reply = httpx.post(f"{API}/v1/predict", content=file.getvalue(), headers=csv | who(), timeout=300)
if reply.is_error:
    problem = reply.json()
    st.error(problem.get("detail", problem["title"]))
    st.dataframe(problem.get("problems", []), hide_index=True)
    st.stop()

answers = pd.read_csv(io.StringIO(reply.text))
rows = pd.read_csv(file, sep=None, engine="python")
table = pd.concat([answers, rows], axis="columns")
st.dataframe(table, hide_index=True)
st.download_button("Download", table.map(harmless).to_csv(index=False), file_name="answers.csv", mime="text/csv")
'''
)


def theme(accent: str | None) -> str:
    """The generated pages' colours as Streamlit's own configuration."""
    lines = ["[client]", 'toolbarMode = "viewer"', "showSidebarNavigation = false", "disableDataExport = true"]
    for name, one in (("light", palette.light(accent)), ("dark", palette.dark(accent))):
        lines += [
            "",
            f"[theme.{name}]",
            f'primaryColor = "{one.accent}"',
            f'backgroundColor = "{one.ground}"',
            f'secondaryBackgroundColor = "{one.panel}"',
            f'textColor = "{one.text}"',
        ]
    return "\n".join(lines) + "\n"


# -- inputs ----------------------------------------------------------------------------------------------------------


def _line(field: Field, *, indent: int) -> str:
    """``"column": st.number_input(...),`` on one line, or one argument a line where it would be too long."""
    before, name, arguments, after = _CALLS[field.kind](field, start_cell(field.column))
    seen = seen_text(field.column)
    if seen:
        arguments = [*arguments, f"help={_text(plain(seen))}"]
    head = f"{' ' * indent}{_text(field.name)}: "
    line = f"{head}{before}{name}({', '.join(arguments)}){after},"
    if len(line) <= LINE:
        return line
    if not before:
        return f"{head}{_call(name, arguments, indent)}{after},"
    inside = indent + 4
    more = f"{' ' * inside}{after[2:-1]},\n" if after.startswith(", ") else ""
    comma = "," if more else ""
    return f"{head}{before}\n{' ' * inside}{_call(name, arguments, inside)}{comma}\n{more}{' ' * indent}{after[-1]},"


def _call(name: str, arguments: list[str], indent: int) -> str:
    """A call with an argument a line."""
    inner = "".join(f"{' ' * (indent + 4)}{argument},\n" for argument in arguments)
    return f"{name}(\n{inner}{' ' * indent})"


Call = tuple[str, str, list[str], str]
"""What stands before the call, its name, its arguments, what stands behind."""


def _label(field: Field) -> str:
    unit = f" ({field.unit})" if field.unit else ""
    return _text(plain(field.label + unit))


def _number(field: Field, start: Cell) -> Call:
    whole = field.column.type == "integer"
    step = max(1, round(field.step)) if whole else field.step
    how = [f"step={step!r}"] if whole else [f"step={step!r}", f'format="%.{field.decimals}f"']
    value = "None" if start is None else repr(int(start) if whole else float(start))
    if field.column.nullable:
        return "", "number", [_label(field), value, *how], ""
    return "", "st.number_input", [_label(field), f"value={value}", *how], ""


def _choice(field: Field, start: Cell) -> Call:
    if field.column.type == "boolean":
        return _boolean(field, start)
    options = choices(field.column)
    if start is not None and start not in options:
        options.append(start)
    before, after = "", ""
    if field.column.nullable:
        unknown = next(word for word in UNKNOWN if word not in options)
        options.append(unknown)
        start = unknown if start is None else start
        before, after = "known(", ")" if unknown == UNKNOWN[0] else f", {_text(unknown)})"
    if field.kind == "segments":
        chosen = [f"default={_literal(start)}", "required=True"]
        return before, "st.segmented_control", [_label(field), _literal(options), *chosen], after
    chosen = [f"index={options.index(start)}"]
    if not field.column.closed:
        chosen.append("accept_new_options=True")
    return before, "st.selectbox", [_label(field), _literal(options), *chosen], after


def _boolean(field: Field, start: Cell) -> Call:
    if not field.column.nullable:
        return "", "st.toggle", [_label(field), f"value={bool(start)!r}"], ""
    said = {True: "Yes", False: "No"}.get(bool(start), "") if start is not None else UNKNOWN[0]
    arguments = [_label(field), _literal(["No", "Yes", UNKNOWN[0]]), f"default={_text(said)}", "required=True"]
    return '{"No": False, "Yes": True}.get(', "st.segmented_control", arguments, ")"


def _date(field: Field, start: Cell) -> Call:
    kind = "date" if field.kind == "date" else "datetime"
    value = "None" if start is None else f"dt.{kind}.fromisoformat({_text(str(start))})"
    bounds = [f"min_value=dt.{kind}.min", f"max_value=dt.{kind}.max"] if kind == "date" else []
    return "iso(", f"st.{kind}_input", [_label(field), f"value={value}", *bounds], ")"


def _written(field: Field, start: Cell) -> Call:
    name = "st.text_area" if field.kind == "text" else "st.text_input"
    arguments = [_label(field), f"value={_text('' if start is None else str(start))}"]
    if field.column.is_number:
        return "int(", name, arguments, ")"
    return "", name, arguments, " or None" if field.column.nullable else ""


_CALLS: dict[str, Callable[[Field, Cell], Call]] = {
    "number": _number,
    "segments": _choice,
    "list": _choice,
    "date": _date,
    "datetime": _date,
    "text": _written,
    "typed": _written,
}


# -- the answer ------------------------------------------------------------------------------------------------------


def _answer(schema: Schema) -> str:
    """The lines that show a prediction."""
    output = schema.output
    title = _text(plain(asked(output)))
    if output.task == "class":
        lines = [f'st.metric({title}, str(prediction["label"]))']
        if output.probabilities:
            lines += [
                'ranked = sorted(prediction["probabilities"].items(), key=lambda one: one[1], reverse=True)',
                "for name, share in ranked:",
                '    st.progress(share, text=f"{name}, {share:.0%}")',
            ]
    elif output.task == "number":
        unit = f" {output.unit}" if output.unit else ""
        # Braces would be code, and what is no plain text could end the string.
        inside, behind = (unit, "") if _PLAIN.fullmatch(unit) else ("", f" {_text(unit)}")
        lines = [f"st.metric({title}, f\"{{prediction['value']:,.4g}}{inside}\"{behind})"]
    elif output.task == "cluster":
        lines = [f'st.metric({title}, prediction["cluster"])']
    elif output.task == "outlier":
        lines = ['st.metric("This row is", "unusual" if prediction["outlier"] else "ordinary")']
    else:
        lines = ['st.dataframe(prediction["values"])']
    return "".join(f"    {line}\n" for line in lines)
