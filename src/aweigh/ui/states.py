"""What is shown when there is nothing to show: each says what happened, that nothing was lost, and what to do."""

from html import escape

import streamlit as st

from aweigh.errors import AweighError, DataError, InvalidRows, NotReady, RemoteError, TooLarge

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


def told(error: AweighError) -> tuple[str, str]:
    """An error of the API as a title and what to do."""
    if isinstance(error, NotReady):
        return (
            "The model is getting ready",
            "It is checking its answers against the original's. This page opens by itself.",
        )
    if isinstance(error, InvalidRows):
        said = " ".join(problem.message.rstrip(".") + "." for problem in error.problems[:MOST_PROBLEMS])
        return "The model cannot answer this yet", f"{said} Change that input and the answer comes."
    if isinstance(error, TooLarge | DataError):
        return "The model refused this", f"{error.message} Your inputs are kept: change them and try again."
    if isinstance(error, RemoteError):
        return "No answer came", f"{error.message} Your inputs are kept. Try again in a moment."
    return "No answer came", "Your inputs are kept. Try again in a moment."


def failed(error: AweighError) -> None:
    """An error of the API, drawn; what can pass is asked again by a button."""
    title, text = told(error)
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
