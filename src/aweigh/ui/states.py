"""What is shown when there is nothing to show: each says what happened, that nothing was lost, and what to do."""

from collections.abc import Mapping
from html import escape
from types import MappingProxyType

import streamlit as st

from aweigh.errors import AweighError, DataError, InvalidRows, NotReady, Problem, RemoteError, TooLarge

MOST_PROBLEMS = 5
POLL_S = 2.0


def state(title: str, text: str, *, kind: str = "failed") -> None:
    """A block with a title and one or two sentences."""
    role = "alert" if kind == "failed" else "status"
    st.html(f'<div class="aw-state aw-{kind}" role="{role}"><h2>{escape(title)}</h2><p>{escape(text)}</p></div>')


def unexpected() -> None:
    """An error that no page expected."""
    state(
        "Something went wrong on this page",
        "Your inputs are kept. Reload the page to go on; if it happens again, tell whoever runs this app: "
        "its log says why.",
    )


def told(error: AweighError, labels: Mapping[str, str] = MappingProxyType({})) -> tuple[str, str]:
    """An error of the API as a title and what to do; ``labels`` are what the page calls the columns."""
    if isinstance(error, NotReady):
        return (
            "The model is getting ready",
            "It is checking its answers against the original's. This page opens by itself.",
        )
    if isinstance(error, InvalidRows):
        said = [_said(problem, labels) for problem in error.problems[:MOST_PROBLEMS]]
        those = "that input" if len(said) == 1 else "these inputs"
        return "The model cannot answer this yet", f"{' '.join(said)} Change {those} and the answer comes."
    if isinstance(error, TooLarge | DataError):
        return "The model refused this", f"{error.message} Your inputs are kept: change them and try again."
    if isinstance(error, RemoteError):
        return "No answer came", f"{error.message} Your inputs are kept. Try again in a moment."
    return "No answer came", "Your inputs are kept. Try again in a moment."


def _said(problem: Problem, labels: Mapping[str, str]) -> str:
    text = problem.message.rstrip(".") + "."
    label = labels.get(problem.column or "")
    # To a program the place is told in the message; here the column goes by another name, and there is one row.
    return text if label is None else f"{label}: {text.removeprefix(f'column {problem.column!r}, row {problem.row}: ')}"


def failed(error: AweighError, labels: Mapping[str, str] = MappingProxyType({})) -> None:
    """An error of the API, drawn; what can pass is asked again by a button."""
    title, text = told(error, labels)
    if isinstance(error, NotReady):
        waiting(title, text)
        return
    state(title, text)
    if not isinstance(error, DataError):
        st.button("Try again", key="again")


def waiting(title: str, text: str) -> None:
    """The model is not ready: shown until it is, asking again every two seconds."""
    state(title, text, kind="waiting")

    @st.fragment(run_every=POLL_S)
    def poll() -> None:
        from aweigh.ui.api import api

        try:
            api().documents()
        except (NotReady, RemoteError):
            return
        st.rerun()

    poll()
