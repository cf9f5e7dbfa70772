"""What every page has around it: the title, the way to the others, the footer; and what is shown without a model."""

import functools
import os
import re
from html import escape

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from aweigh.errors import NotReady, RemoteError
from aweigh.ui import batch_page, model_page, predict_page
from aweigh.ui.api import Documents, Model, Visitor, api, visitor
from aweigh.ui.host import TITLE_VARIABLE
from aweigh.ui.states import failed
from aweigh.ui.words import human


def title_of(model: Model) -> str:
    """What the app is called: the owner's title, or the model's name made human."""
    return model.presentation.title or name_of(model)


def name_of(model: Model) -> str:
    """The model's name made human."""
    return human(model.name.replace("-", " "))


def show() -> None:
    """Draw one page with its frame."""
    try:
        documents = api().documents()
    except (NotReady, RemoteError) as error:
        title = os.environ.get(TITLE_VARIABLE) or "aweigh"
        st.set_page_config(page_title=title, layout="wide")
        with st.container(key="top", horizontal=True, vertical_alignment="center", gap=None):
            st.html(f'<p class="aw-brand"><span>{escape(title)}</span></p>')
        with st.container(key="without"):
            failed(error)
        return
    title = title_of(documents.model)
    who = visitor()
    pages, shown = _pages(documents, who)
    page = st.navigation(pages, position="hidden")
    name = title if page is pages[0] else f"{page.title} · {title}"
    st.set_page_config(page_title=name, layout="wide")
    with st.container(key="top", horizontal=True, vertical_alignment="center", gap=None):
        st.html(f'<p class="aw-brand"><span>{escape(name_of(documents.model))}</span></p>')
        current = shown.index(page) if page in shown else 0
        with st.container(key=f"nav-{current}", horizontal=True, gap=None):
            for one in shown:
                st.page_link(one)
        _account(who)
    page.run()
    _footer(documents)


def _pages(documents: Documents, who: Visitor | None) -> tuple[list[StreamlitPage], list[StreamlitPage]]:
    """The pages that there are for this visitor, and those that are named; the API refuses the rest in any case."""
    model = st.Page(functools.partial(model_page.show, documents), title="Model", url_path="model")
    if who is not None and who.role == "viewer":
        return [st.Page(functools.partial(st.switch_page, model), title="Start", default=True), model], [model]
    pages = [
        st.Page(functools.partial(predict_page.show, documents), title="Predict", url_path="predict", default=True),
        st.Page(functools.partial(batch_page.show, documents), title="Batch", url_path="batch"),
        model,
    ]
    return pages, pages


def _account(who: Visitor | None) -> None:
    """Who is signed in, and the ways to their account and to the administration."""
    if who is None:
        return
    admin = '<a href="/admin" target="_self">Admin</a>' if who.role == "admin" else ""
    name = escape(who.name)
    st.html(f'<p class="aw-who">{admin}<a href="/account" target="_self" title="Signed in as {name}">{name}</a></p>')


def _footer(documents: Documents) -> None:
    model = documents.model
    said = [escape(re.sub(r"\s+", " ", model.presentation.footer))] if model.presentation.footer else []
    if model.proof is not None:
        said.append(f"Answers checked against the original model on {model.proof.rows:,} rows")
    said.append(f"{escape(model.name)} <code>{escape(model.version)}</code>")
    st.html(f'<footer class="aw-footer">{"<span>" + "</span><span>".join(said) + "</span>"}</footer>')
