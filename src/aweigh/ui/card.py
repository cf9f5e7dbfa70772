"""The model card as the pages use it: a sentence under the title, the rest as Markdown that calls no other host."""

import re

from aweigh.bundle.manifest import Presentation
from aweigh.schema import Schema
from aweigh.ui.answer import asked
from aweigh.ui.words import label_of, listing

_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")


def heading(schema: Schema, presentation: Presentation) -> str:
    """The predict page's own title: the owner's, or what the page does."""
    if presentation.title:
        return presentation.title
    task = schema.output.task
    if task in {"class", "number"}:
        return f"Predict {_inside(asked(schema.output))}"
    return _HEADINGS[task]


_HEADINGS = {
    "numbers": "Predict several numbers",
    "cluster": "Find the cluster",
    "outlier": "Is it unusual?",
    "transform": "Transform a row",
}


def _inside(text: str) -> str:
    """A title inside a sentence: abbreviations keep their capitals."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def lead(schema: Schema, presentation: Presentation) -> str:
    """What is predicted from what: in the owner's words, else made from the schema."""
    if presentation.description:
        return presentation.description
    labels = listing([_inside(label_of(column)) for column in schema.columns], most=4)
    output = schema.output
    if output.task in _LEADS:
        return f"{_LEADS[output.task].format(len(output.names))} from {labels}."
    return f"Predicts {_inside(asked(output))} from {labels}."


_LEADS = {
    "numbers": "Predicts {} numbers",
    "cluster": "Finds the group that a row belongs to",
    "outlier": "Tells unusual rows from ordinary ones",
    "transform": "Computes {} numbers",
}


def body(card: str) -> str:
    """The card as Markdown, pictures named instead of fetched.

    Left out is what the page draws itself: the card's title with the sentence under it, the inputs, and how the answers
    were checked.
    """
    sections = [one.strip() for one in re.split(r"(?m)^(?=#{1,2} )", card.strip())]
    kept = [one for one in sections if not one.startswith("# ") and _title(one) not in _DRAWN]
    return _IMAGE.sub(lambda match: f"[{match[1] or 'picture'}]", "\n\n".join(filter(None, kept)))


def _title(section: str) -> str:
    return section.partition("\n")[0].removeprefix("## ").strip()


_DRAWN = {"Inputs", "How the answers were checked", "Model"}
