"""The third step's end: the answers first, what is unusual, a small picture, and the file to take away."""

from html import escape
from pathlib import PurePath
from typing import Any, Literal

import streamlit as st

from aweigh.ui.answer import asked
from aweigh.ui.api import Documents
from aweigh.ui.results import UNANSWERED, Results, csv_bytes, parquet_bytes, picture, results_of, typed
from aweigh.ui.scoring import Scoring
from aweigh.ui.words import count

MOST_SHOWN = 1000
_KEPT = "aweigh_results"
Which = Literal["all", "flagged"]


def show(documents: Documents, scoring: Scoring) -> None:
    """Draw the results that there are."""
    results = _results(scoring)
    unanswered = sum(1 for note in results.notes if note is not None and note.startswith(UNANSWERED))
    unusual = sum(1 for note in results.notes if note is not None) - unanswered
    with st.container(key="results", gap=None):
        _summary(documents, scoring, unusual=unusual, unanswered=unanswered)
        with st.container(key="table", gap="small"):
            flagged = unusual + unanswered
            which: Which = "all"
            if flagged:
                titles: dict[Which, str] = {"all": f"All {results.rows:,}", "flagged": f"Flagged {flagged:,}"}
                options: tuple[Which, ...] = ("all", "flagged")
                which = st.segmented_control(
                    "Rows",
                    options,
                    default="all",
                    required=True,
                    format_func=titles.__getitem__,
                    key="which",
                    label_visibility="collapsed",
                )
            _table(scoring, results, [i for i, note in enumerate(results.notes) if which == "all" or note is not None])
        _downloads(scoring, results)


def _results(scoring: Scoring) -> Results:
    """The results so far, put together once for each state of the scoring."""
    state = (id(scoring), scoring.done, len(scoring.refused))
    kept: tuple[tuple[int, ...], Results] | None = st.session_state.get(_KEPT)
    if kept is None or kept[0] != state:
        kept = (state, results_of(scoring))
        st.session_state[_KEPT] = kept
    return kept[1]


def _summary(documents: Documents, scoring: Scoring, *, unusual: int, unanswered: int) -> None:
    parts = [f"<b>{count(scoring.done, 'answer')}</b>"]
    if unusual:
        parts.append(f"{count(unusual, 'row')} with something that the model has not seen")
    if unanswered:
        parts.append(f"{count(unanswered, 'row')} not answered")
    drawn = picture(scoring)
    kicker = f'<h3 class="aw-kicker">{escape(asked(documents.schema.output))}</h3>' if drawn else ""
    st.html(f'<div class="aw-summary"><p class="aw-said" role="status">{", ".join(parts)}.</p>{kicker}{drawn}</div>')


def _table(scoring: Scoring, results: Results, rows: list[int]) -> None:
    import pandas as pd

    shown = rows[:MOST_SHOWN]
    columns: dict[str, Any] = {name: [column[i] for i in shown] for name, column in results.answers}
    if any(results.notes):
        columns[results.note_name] = [results.notes[i] for i in shown]
    columns |= {name: [column[i] for i in shown] for name, column in typed(scoring, results)}
    frame = pd.DataFrame(columns, index=pd.Index([i + 1 for i in shown], name="row"))
    shares = [name for name, _ in results.answers if name.startswith("probability_")]
    st.dataframe(
        frame,
        height=min(420, 38 + 35 * max(1, len(shown))),
        column_config={
            **{name: st.column_config.NumberColumn(format="percent") for name in shares},
            results.note_name: st.column_config.TextColumn(width="medium"),
        },
        key="answers",
        placeholder="",
        alt="The rows of the file with their answers first",
    )
    if len(rows) > len(shown):
        st.html(f'<p class="aw-more">The first {MOST_SHOWN:,} of {len(rows):,} rows; the files have them all.</p>')


def _downloads(scoring: Scoring, results: Results) -> None:
    stem = PurePath(scoring.fitted.upload.name.removesuffix(".gz")).stem[:80] or "rows"
    with st.container(key="downloads", horizontal=True, gap="small"):
        st.download_button(
            "Download CSV",
            lambda: csv_bytes(results),
            file_name=f"{stem}-answers.csv",
            mime="text/csv",
            type="primary",
            on_click="ignore",
            key="csv",
        )
        st.download_button(
            "Download Parquet",
            lambda: parquet_bytes(scoring, results),
            file_name=f"{stem}-answers.parquet",
            mime="application/vnd.apache.parquet",
            on_click="ignore",
            key="parquet",
        )
