"""The page that answers one row: inputs, the answer beside them, examples to try, and ways to take it along."""

import secrets
from collections.abc import Mapping
from html import escape

import streamlit as st

from aweigh.errors import AweighError
from aweigh.schema.domain import UNLIKELY
from aweigh.ui import inputs
from aweigh.ui.answer import Answer, answer_of
from aweigh.ui.api import Documents, Reply, Warned, api
from aweigh.ui.card import heading, lead
from aweigh.ui.fields import OPEN_COLUMNS_AT_MOST, Field, Group, Note, grouped, notes_of
from aweigh.ui.influence import influence
from aweigh.ui.row import Row, example_row, from_query, start_row, to_query
from aweigh.ui.snippets import curl, python
from aweigh.ui.states import failed
from aweigh.ui.words import label_of, listing, plain

CHEAP_S = 0.2
"""An answer that costs less follows the inputs; one that costs more waits for a button."""

EXAMPLES_SHOWN = 3
LONG_HEADLINE = 16
"""Characters beyond which the answer is written smaller."""

_ANSWERED = "aweigh_answered"
_UNREAD = "aweigh_unread"
_SESSION = "aweigh_session"


def show(documents: Documents) -> None:
    """Draw the page."""
    many = len(documents.schema.columns) > OPEN_COLUMNS_AT_MOST
    groups = grouped(documents.schema, influence(api(), documents) if many else {})
    fields = [field for group in groups for field in group.fields]
    if st.session_state.get(inputs.ROW_KEY, {}).keys() != set(documents.schema.names):
        row, unread = from_query(documents.schema, st.query_params.to_dict())
        inputs.set_row(fields, row)
        st.session_state[_UNREAD] = unread
    said = documents.schema, documents.model.presentation
    st.html(f'<header class="aw-lead"><h1>{escape(heading(*said))}</h1><p>{escape(lead(*said))}</p></header>')
    with st.container(key="stage", gap=None):
        _examples(documents, fields)
        _on_change(documents, groups)


@st.fragment
def _on_change(documents: Documents, groups: list[Group]) -> None:
    """The part of the stage that is drawn again whenever an input changes: as little as can be."""
    with st.container(key="inputs", gap=None):
        _unread(documents)
        _inputs(groups, notes_of(documents.domain, inputs.row_in_session()))
    aside = st.container(key="aside", gap=None)
    answer = aside.container(key="answer", gap=None)
    row = inputs.row_in_session()
    try:
        reply, stale = _reply(row)
    except AweighError as error:
        with answer:
            failed(error, {one.name: label_of(one) for one in documents.schema.columns})
        aside.html(_kept(to_query(documents.schema, row)))
        return
    said = answer_of(documents.schema.output, reply.predictions[0], documents.model.profile)
    with answer:
        st.html(_headline(said, stale=stale))
        if stale:
            st.button("Answer", type="primary", key="ask", on_click=_forget, width="stretch")
    aside.html(_details(documents, said, reply, row, stale=stale))


def _examples(documents: Documents, fields: list[Field]) -> None:
    examples = documents.model.examples
    schema = documents.schema
    with st.container(key="examples", horizontal=True, vertical_alignment="center", gap="small"):
        st.html('<span class="aw-try">Try</span>')
        for i, given in enumerate(examples.rows[:EXAMPLES_SHOWN]):
            name = examples.titles[i] if i < len(examples.titles) else f"Example {i + 1}"
            row = example_row(schema, given)
            st.button(plain(name), key=f"example-{i}", on_click=_take, args=(fields, row))
        st.button("A typical row", key="example-typical", on_click=_take, args=(fields, start_row(schema)))


def _take(fields: list[Field], row: Row) -> None:
    """An example in place of what stands in the form, and of what was said of the link that it came from."""
    st.session_state.pop(_UNREAD, None)
    inputs.set_row(fields, row)


def _unread(documents: Documents) -> None:
    unread = st.session_state.get(_UNREAD)
    if unread:
        labels = [label_of(documents.schema.column(name)) for name in unread]
        text = f"The link's value for {listing(labels)} could not be read; a typical one stands there instead."
        st.html(f'<p class="aw-note aw-unusual" role="status">{escape(text)}</p>')


def _inputs(groups: list[Group], notes: Mapping[str, Note]) -> None:
    number = 0
    for g, group in enumerate(groups):
        if group.folded:
            noted = sum(1 for field in group.fields if field.name in notes)
            title = f"{plain(group.title)} ({len(group.fields)})" + (f", {noted} to look at" if noted else "")
            folder = st.expander(title, key=f"group-{g}", on_change="rerun")
            with folder:
                if folder.open:
                    _grid(group, g, number, notes)
        else:
            if len(groups) > 1:
                st.html(f'<h2 class="aw-group">{escape(group.title)}</h2>')
            _grid(group, g, number, notes)
        number += len(group.fields)


def _grid(group: Group, g: int, number: int, notes: Mapping[str, Note]) -> None:
    with st.container(key=f"grid-{g}", gap=None):
        for i, field in enumerate(group.fields):
            inputs.draw(field, number + i, note=notes.get(field.name))


def _forget() -> None:
    st.session_state.pop(_ANSWERED, None)


def _reply(row: Row) -> tuple[Reply, bool]:
    """The answer to this row, or the last one given where answering is slow and nobody has asked yet (then True)."""
    answered: tuple[Row, Reply] | None = st.session_state.get(_ANSWERED)
    if answered is not None:
        if answered[0] == row:
            return answered[1], False
        if api().usual_s() > CHEAP_S:
            return answered[1], True
    reply = api().predict([row])
    st.session_state[_ANSWERED] = (dict(row), reply)
    return reply, False


def _headline(said: Answer, *, stale: bool) -> str:
    meter = ""
    if said.share is not None:
        meter = f'<div class="aw-meter" aria-hidden="true"><i style="width:{said.share * 100:.2f}%"></i></div>'
    beside = f"<span>{escape(said.beside)}</span>" if said.beside else ""
    sentence = "The inputs have changed since this answer." if stale else said.sentence
    aside = f'<p class="aw-aside">{escape(sentence)}</p>' if sentence else ""
    looks = "".join([" aw-stale" if stale else "", " aw-long" if len(said.headline) > LONG_HEADLINE else ""])
    return (
        f'<section class="aw-answer{looks}" aria-label="Answer" '
        f'data-announce="{escape(said.spoken)}">'
        f'<h2 class="aw-kicker">{escape(said.kicker)}</h2>'
        f'<p class="aw-value"><strong>{escape(said.headline)}</strong>{beside}</p>{meter}{aside}</section>'
    )


def _kept(query: str | None) -> str:
    """What brings the inputs back in a session that knows nothing of them: the row, and which session this is.

    Both in one element: the browser may draw one element of the page long before the next.
    """
    session: str = st.session_state.setdefault(_SESSION, secrets.token_hex(4))
    return f'<span hidden data-session="{session}" data-row="{escape(query or "")}"></span>'


def _details(documents: Documents, said: Answer, reply: Reply, row: Row, *, stale: bool) -> str:
    parts = [said.picture]
    warned = list(dict.fromkeys(one.column for one in reply.warnings if one.column and one.code != UNLIKELY))
    if warned and not stale:
        labels = [label_of(documents.schema.column(name)) for name in warned if name in documents.schema.names]
        lie = "lies" if len(labels) == 1 else "lie"
        text = f"Take it with care: {listing(labels)} {lie} outside what the model has seen."
        parts.append(f'<p class="aw-note aw-unusual">{escape(text)}</p>')
    parts.extend(
        f'<p class="aw-note aw-unusual">{escape(_with_care(documents, one))}</p>'
        for one in reply.warnings
        if (not one.column and one.message) or (one.code == UNLIKELY and not stale)
    )
    query = to_query(documents.schema, row)
    parts += [_take_along(row, query), _kept(query)]
    return "".join(parts)


def _with_care(documents: Documents, warned: Warned) -> str:
    if warned.code != UNLIKELY or warned.column not in documents.schema.names:
        return warned.message
    return f"Take it with care: {label_of(documents.schema.column(warned.column))} {warned.message}."


def _take_along(row: Row, query: str | None) -> str:
    buttons = [("Copy link", "link", query)] if query is not None else []
    buttons += [("Copy as curl", "text", curl(row)), ("Copy as Python", "text", python(row))]
    return (
        '<p class="aw-take">'
        + "".join(
            f'<button type="button" class="aw-copy" data-copy-{kind}="{escape(text)}">{name}</button>'
            for name, kind, text in buttons
        )
        + "</p>"
    )
