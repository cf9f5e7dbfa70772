"""The page that says what the model is: what it is for, what it takes, how its answers were checked, how to call it."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from aweigh.schema import Column
from aweigh.ui.api import Documents, Signer, api
from aweigh.ui.card import body, lead
from aweigh.ui.charts import histogram
from aweigh.ui.influence import influence
from aweigh.ui.reference import kinds, seen
from aweigh.ui.row import start_row
from aweigh.ui.snippets import curl, python
from aweigh.ui.words import count, figure, label_of, listing, percent, range_text, unit_of, value_text

CATEGORIES_SHOWN = 4


def show(documents: Documents) -> None:
    """Draw the page."""
    said = lead(documents.schema, documents.model.presentation)
    st.html(f'<header class="aw-lead"><h1>About this model</h1><p>{escape(said)}</p></header>{proof(documents)}')
    with st.container(key="about", gap=None):
        with st.container(key="card", gap=None):
            st.markdown(
                body(documents.model.card) or "The owner has not written about this model.",
                anchors=False,
            )
        with st.container(key="facts", gap=None):
            st.html(facts(documents))
    moved = influence(api(), documents)
    st.html(f'<h2 class="aw-section">Inputs</h2>{_moved_line(moved)}{inputs_table(documents, moved)}')
    _ways(documents)
    _calling(documents)


def proof(documents: Documents) -> str:
    """One sentence on how the answers were checked."""
    held = documents.model.proof
    if held is None:
        return ""
    rows = f"{held.rows:,} rows of its data"
    probes = f" and {held.probe_rows:,} made to be difficult" if held.probe_rows else ""
    difference = "no number differed" if held.largest_difference == 0 else _difference(held.largest_difference)
    return (
        f'<p class="aw-proof">These answers were checked against the original model on <b>{rows}</b>{probes}; '
        f"{difference}.</p>"
    )


def _difference(largest: float) -> str:
    return f"the largest difference was <b>{figure(largest, digits=2)}</b>"


def facts(documents: Documents) -> str:
    """The model's particulars as a list."""
    model = documents.model
    environment = ", ".join(f"{name} {version}" for name, version in sorted(model.made_with.items()))
    told = [
        ("Model", escape(model.model)),
        ("Version", f"<code>{escape(model.version)}</code>"),
        ("Digest", f"<code>{escape(model.digest)}</code>"),
        ("Signed by", _signed(model.signers)),
        ("Answers with", escape(_RUNTIMES.get(model.runtime, model.runtime))),
        ("Because", escape(model.runtime_reason)),
        ("Python", escape(model.python)),
        ("Made with", escape(environment)),
    ]
    lines = "".join(
        f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in told if text and text != "<code></code>"
    )
    return f'<dl class="aw-facts">{lines}</dl>'


def _signed(signers: Sequence[Signer]) -> str:
    """By whom, with enough of each key to hold it against the one that is known."""
    return ", ".join(f"{escape(one.name)} <code>{escape(one.keyid[:12])}</code>" for one in signers)


_RUNTIMES = {
    "onnx": "ONNX Runtime",
    "sklearn": "scikit-learn",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "python": "the owner's own code",
}


# -- inputs ----------------------------------------------------------------------------------------------------------


def _moved_line(moved: object) -> str:
    if not moved:
        return ""
    return (
        '<p class="aw-more">The bar says how far the answer moves when that input alone goes through what was seen in '
        "training.</p>"
    )


def inputs_table(documents: Documents, moved: object) -> str:
    """Every input with what was seen of it; a list of rows, so that it folds on a phone."""
    shares = moved if isinstance(moved, dict) else {}
    lines = "".join(_input_line(documents, column, shares.get(column.name)) for column in documents.schema.columns)
    head = (
        '<li class="aw-head" aria-hidden="true"><div>Input</div><div>What it is</div><div>Seen in training</div>'
        f"<div>{'Moves the answer' if shares else ''}</div></li>"
    )
    return f'<ul class="aw-inputs">{head}{lines}</ul>'


def _input_line(documents: Documents, column: Column, share: float | None) -> str:
    unit = unit_of(column)
    kind = _KINDS[column.type] + (f", {escape(unit)}" if unit else "")
    said = (
        f"<em>{escape(column.description)}</em>"
        if column.description and column.description != label_of(column)
        else ""
    )
    bar = ""
    if share is not None:
        words = f"moves the answer {share * 100:.0f} % as far as the strongest input"
        bar = f'<span class="aw-track" role="img" aria-label="{words}"><i style="width:{share * 100:.1f}%"></i></span>'
    missing = "may be unknown" if column.nullable else "always needed"
    return (
        f'<li><div class="aw-what"><b>{escape(label_of(column))}</b><code>{escape(column.name)}</code>{said}</div>'
        f'<div class="aw-kind">{kind}<br>{missing}</div><div class="aw-seen">{_seen(documents, column)}</div>'
        f'<div class="aw-moves">{bar}</div></li>'
    )


_KINDS = {
    "number": "number",
    "integer": "whole number",
    "boolean": "yes or no",
    "category": "choice",
    "text": "text",
    "date": "date",
    "datetime": "date and time",
}


def _seen(documents: Documents, column: Column) -> str:
    counts = seen(documents.model.profile, column)
    ranged = range_text(column)
    if ranged is not None and not column.categories:
        if any(counts):
            ends = (value_text(column, column.minimum), value_text(column, column.maximum))
            return histogram(counts, label=f"Seen from {ranged}", ends=ends)
        return escape(ranged)
    known = kinds(documents.model.profile, column)
    if known:
        shown = [f"{escape(one) or '(empty)'} <i>{percent(share)}</i>" for one, share in known[:CATEGORIES_SHOWN]]
        more = max(len(known), len(column.categories or ())) - len(shown)
        return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")
    if column.categories:
        return escape(listing(list(column.categories), most=CATEGORIES_SHOWN))
    return "any text" if column.type == "text" else ""


# -- how it was checked, how to call it ------------------------------------------------------------------------------


def _ways(documents: Documents) -> None:
    held = documents.model.proof
    if held is None or not held.attempts:
        return
    lines = []
    for attempt in held.attempts:
        verdict = "Agreed" if attempt.agreed else "Lost"
        difference = ""
        if attempt.largest_difference is not None:
            difference = f"largest difference {figure(attempt.largest_difference, digits=2)}"
        why = "; ".join(filter(None, (difference, attempt.reason)))
        lines.append(f"<li><b>{verdict}</b><span>{escape(attempt.form)}</span><em>{escape(why)}</em></li>")
    were = "was" if len(held.attempts) == 1 else "were"
    st.html(
        '<h2 class="aw-section">How the answers were checked</h2>'
        f'<p class="aw-more">{count(len(held.attempts), "form")} of the model {were} held '
        "against the original; only one that gave the same answers is served.</p>"
        f'<ul class="aw-columns aw-ways">{"".join(lines)}</ul>'
    )


def _calling(documents: Documents) -> None:
    origin = _origin()
    row = start_row(documents.schema)
    st.html(
        '<h2 class="aw-section">Call it from a program</h2><p class="aw-more">The same answers as this app, over HTTP. '
        '<a href="/v1/docs">All of the API</a>.</p>'
    )
    with st.container(key="calling", gap="small"):
        st.code(curl(row, origin=origin), language="bash", wrap_lines=True)
        st.code(python(row, origin=origin), language="python")


def _origin() -> str:
    """The app's own address, as the browser sees it."""
    url = st.context.url or ""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}" if rest else "http://127.0.0.1:8000"
