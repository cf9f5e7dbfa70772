"""The page that answers a file: drop it, see what was understood, get the results; three steps, one page."""

from html import escape

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from aweigh.errors import AweighError
from aweigh.table import write_csv
from aweigh.ui import results_view
from aweigh.ui.api import Documents, api
from aweigh.ui.fitting import Fitted, Match, fitted
from aweigh.ui.row import example_row, start_row
from aweigh.ui.scoring import Scoring
from aweigh.ui.states import state, told
from aweigh.ui.upload import Upload, read_upload
from aweigh.ui.words import count, label_of, listing

TYPES = ["csv", "tsv", "txt", "gz", "parquet", "pq", "arrow", "feather", "ipc", "json", "jsonl", "ndjson"]
_FILE = "aweigh_file"
_TAKEN = "aweigh_taken"
_FITTED = "aweigh_fitted"
_SCORING = "aweigh_scoring"


def show(documents: Documents) -> None:
    """Draw the page."""
    st.html(
        '<header class="aw-lead"><h1>Predict many rows</h1><p>Drop a file with one row for each answer that you need. '
        "It is read here, answered row by row, and forgotten when you leave.</p></header>"
    )
    upload = _first(documents)
    if upload is None:
        st.html(
            '<ol class="aw-ahead"><li><span>2</span>See what was understood: every column, and what cannot be read'
            "</li><li><span>3</span>Get the answers, as a table and as a file</li></ol>"
        )
        return
    fit = _second(documents, upload)
    if fit is not None:
        _third(documents, fit)


def _step(number: int, title: str) -> None:
    st.html(f'<h2 class="aw-step"><span>{number}</span>{escape(title)}</h2>')


# -- 1: the file -----------------------------------------------------------------------------------------------------


def _first(documents: Documents) -> Upload | None:
    _step(1, "Choose a file")
    with st.container(key="step-1", gap="small"):
        with st.container(key="drop", gap=None):
            given = st.file_uploader(
                "A CSV, Parquet, Arrow or JSON file",
                type=TYPES,
                key="upload",
                on_change=_forget,
                label_visibility="collapsed",
            )
        st.download_button(
            "Get a template with the right header",
            template(documents),
            file_name=f"{documents.model.name}-template.csv",
            mime="text/csv",
            type="tertiary",
            on_click="ignore",
            key="template",
        )
    kept: tuple[str, Upload | AweighError] | None = st.session_state.get(_FILE)
    if given is not None:
        outcome = _read(given.file_id, given.name, given.getvalue())
    elif kept is not None:
        # Coming back from another page the widget is empty; what it was given is not forgotten.
        outcome = kept[1]
    else:
        return None
    if isinstance(outcome, AweighError):
        hint = f" Now: {outcome.hint}." if outcome.hint else ""
        state("This file could not be read", f"{outcome.message}{hint} Nothing was sent anywhere.")
        return None
    return outcome


def _read(file_id: str, name: str, body: bytes) -> Upload | AweighError:
    kept: tuple[str, Upload | AweighError] | None = st.session_state.get(_FILE)
    if kept is not None and kept[0] == file_id:
        return kept[1]
    outcome: Upload | AweighError
    try:
        with st.spinner("Reading the file"):
            outcome = read_upload(name, body)
    except AweighError as error:
        outcome = error
    st.session_state[_FILE] = (file_id, outcome)
    return outcome


def _forget() -> None:
    for key in (_FILE, _TAKEN, _FITTED, _SCORING):
        st.session_state.pop(key, None)


def template(documents: Documents) -> bytes:
    """A CSV with the model's columns and a few real rows to be written over."""
    schema = documents.schema
    rows = [example_row(schema, row) for row in documents.model.examples.rows[:2]] or [start_row(schema)]
    return write_csv(schema.names, ([row[name] for name in schema.names] for row in rows)).encode("utf-8-sig")


# -- 2: what was understood ------------------------------------------------------------------------------------------


def _second(documents: Documents, upload: Upload) -> Fitted | None:
    _step(2, "See what was understood")
    taken: dict[str, str] = st.session_state.setdefault(_TAKEN, {})
    fit = _fitted(documents, upload, taken)
    said = f"{escape(upload.name)}: {count(upload.rows, 'row')}, {count(len(upload.names), 'column')}, {upload.told}."
    st.html(f'<p class="aw-said">{said}</p>')
    if upload.doubt:
        st.html(f'<p class="aw-note aw-unusual">{escape(upload.doubt)}</p>')
    _columns(documents, fit)
    _near(documents, fit, taken)
    if fit.lacking:
        names = listing([f"“{match.name}”" for match in fit.lacking], most=6)
        state("The model needs more columns", f"The file has no {names}. Add what is missing and drop the file again.")
        return None
    _bad_cells(documents, fit)
    if not upload.rows:
        state("There are no rows", "The file has a header and nothing under it. Add rows and drop it again.")
        return None
    if not fit.good:
        state(
            "No row can be answered", f"Every row has a cell that {_cannot(fit)}. Correct them and drop the file again."
        )
        return None
    return fit


def _cannot(fit: Fitted) -> str:
    """What stands against the bad cells: some can be read, and lie where the model is not to be asked."""
    return "cannot be used" if fit.refused else "cannot be read"


def _fitted(documents: Documents, upload: Upload, taken: dict[str, str]) -> Fitted:
    """The file against the schema, worked out once: a hundred thousand rows take a second."""
    kept: tuple[Upload, dict[str, str], Fitted] | None = st.session_state.get(_FITTED)
    if kept is not None and kept[0] is upload and kept[1] == taken:
        return kept[2]
    with st.spinner("Reading every cell"):
        fit = fitted(documents.domain, upload, taken=taken)
    st.session_state[_FITTED] = (upload, dict(taken), fit)
    return fit


def _columns(documents: Documents, fit: Fitted) -> None:
    """One line when all is well; every column by name when something is not."""
    found = [match for match in fit.matches if match.source is not None]
    parts = [f"{len(found)} of {count(len(fit.matches), 'input')} found"]
    if fit.extra:
        parts.append(f"{count(len(fit.extra), 'other column')} carried along")
    missing = [match for match in fit.matches if match.source is None]
    lines = [_column_line(documents, match) for match in fit.matches]
    lines += [
        f'<li class="aw-extra"><b>Extra</b><span>{escape(name)}</span><em>comes back with the answers</em></li>'
        for name in fit.extra
    ]
    opened = " open" if missing else ""
    summary = f"<summary>{escape(', '.join(parts))}</summary>"
    st.html(f'<details class="aw-columns"{opened}>{summary}<ul>{"".join(lines)}</ul></details>')


def _column_line(documents: Documents, match: Match) -> str:
    name = escape(match.name)
    label = escape(label_of(documents.schema.column(match.name)))
    if match.source is not None:
        how = f"read from {escape(match.source)}" if match.source != match.name else label
        return f'<li class="aw-found"><b>Found</b><span>{name}</span><em>{how}</em></li>'
    near = f"; did you mean {escape(match.near)}?" if match.near else ""
    if match.nullable:
        return (
            f'<li class="aw-blank"><b>Missing</b><span>{name}</span><em>counts as unknown in every row{near}</em></li>'
        )
    return f'<li class="aw-missing"><b>Missing</b><span>{name}</span><em>needed{near}</em></li>'


def _near(documents: Documents, fit: Fitted, taken: dict[str, str]) -> None:
    """Columns that may be meant: taken only when somebody says so."""
    for i, match in enumerate(fit.matches):
        wanted = match.near if match.source is None else taken.get(match.name)
        if wanted is None:
            continue

        def take(name: str = match.name, source: str = wanted) -> None:
            if taken.pop(name, None) is None:
                taken[name] = source
            st.session_state.pop(_SCORING, None)

        label = label_of(documents.schema.column(match.name))
        verb = "Stop reading" if match.name in taken else "Read"
        st.button(f"{verb} {label} from the column “{wanted}”", key=f"take-{i}", on_click=take)


def _bad_cells(documents: Documents, fit: Fitted) -> None:
    if not fit.total:
        return
    rows = int(fit.bad.sum())
    lines = []
    for cell in fit.cells:
        label = label_of(documents.schema.column(cell.column)) if cell.column in documents.schema.names else ""
        text = f"<code>{escape(cell.text[:40]) or '&nbsp;'}</code>" if cell.column else ""
        lines.append(
            f"<tr><td>{cell.row + 1:,}</td><td>{escape(label)}</td><td>{text}</td><td>{escape(cell.message)}</td></tr>"
        )
    more = fit.total - len(fit.cells)
    rest = f'<p class="aw-more">and {count(more, "more cell")}; the results name every row.</p>' if more > 0 else ""
    st.html(
        f'<div class="aw-bad" role="alert"><p><b>{count(fit.total, "cell")} in {count(rows, "row")} '
        f"{_cannot(fit)}.</b> "
        f"{'That row is' if rows == 1 else 'Those rows are'} left unanswered; the others are not affected.</p>"
        '<div class="aw-scroll" tabindex="0" role="region" aria-label="Cells that cannot be used"><table><thead><tr>'
        "<th>Row</th><th>Column</th><th>Cell</th><th>What is wrong</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>{rest}</div>"
    )


# -- 3: the results --------------------------------------------------------------------------------------------------


def _third(documents: Documents, fit: Fitted) -> None:
    _step(3, "Get the answers")
    scoring: Scoring | None = st.session_state.get(_SCORING)
    place = st.empty()  # what stands here gives way at once to what comes next
    if scoring is None:
        left = f" of {fit.upload.rows:,}" if fit.good < fit.upload.rows else ""
        title = f"Answer {count(fit.good, 'row')}{left}"
        with place.container():
            st.button(title, type="primary", key="start", on_click=_start, args=(documents, fit))
        return
    if scoring.running:
        _run(scoring, place)
    if scoring.error is not None:
        title, text = told(scoring.error)
        state(title, f"{text} {count(scoring.done, 'row')} of {len(scoring.order):,} are answered and kept.")
    elif not scoring.finished:
        text = f"{count(scoring.done, 'row')} of {len(scoring.order):,} are answered and kept below."
        state("Stopped", text, kind="waiting")
    if not scoring.finished:
        st.button("Go on", key="go-on", type="primary", on_click=scoring.go_on)
    if scoring.done:
        results_view.show(documents, scoring)


def _start(documents: Documents, fit: Fitted) -> None:
    st.session_state[_SCORING] = Scoring.of(documents.domain, fit)


def _run(scoring: Scoring, place: DeltaGenerator) -> None:
    """Ask until all is answered. Stopping, or leaving the page, interrupts between two parts; nothing done is lost."""
    with place.container(key="progress", gap="small"):
        bar = st.empty()
        st.button("Stop", key="stop", on_click=scoring.stop)
    while scoring.running:
        scoring.step(api())
        bar.html(progress(scoring))
    place.empty()


def progress(scoring: Scoring) -> str:
    """How far it is, how fast it goes, and about how long it takes."""
    total = len(scoring.order)
    share = scoring.done / total if total else 1.0
    text = f"{scoring.done:,} of {count(total, 'row')} · {scoring.rows_per_s:,.0f} a second"
    if scoring.left_s >= 1:
        text += f" · about {_duration(scoring.left_s)} left"
    return (
        f'<div class="aw-progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-label="Rows answered" '
        f'aria-valuenow="{share * 100:.0f}"><i style="width:{share * 100:.1f}%"></i></div><p class="aw-said">{text}</p>'
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return count(round(seconds), "second")
    if seconds < 5400:
        return count(round(seconds / 60), "minute")
    return count(round(seconds / 3600), "hour")
