"""The model card as the pages use it: a sentence under the title, the rest as Markdown that calls no other host."""

import re

from aweigh.ui.answer import asked
from aweigh.ui.api import Documents
from aweigh.ui.words import count, label_of, listing

LONGEST_LEAD = 240
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")


def heading(documents: Documents) -> str:
    """The predict page's own title: the owner's, or what the page does."""
    if documents.model.presentation.title:
        return documents.model.presentation.title
    task = documents.schema.output.task
    if task in {"class", "number"}:
        return f"Predict {_inside(asked(documents.schema.output))}"
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


def lead(documents: Documents) -> str:
    """What is predicted from what: the owner's words, the card's first sentence, or one made from the schema."""
    said = documents.model.presentation.description or _first_sentence(documents.model.card)
    if said:
        return said
    columns = documents.schema.columns
    labels = listing([_inside(label_of(column)) for column in columns], most=4)
    return f"Predicts {_inside(asked(documents.schema.output))} from {count(len(columns), 'input')}: {labels}."


def _first_sentence(card: str) -> str | None:
    for block in re.split(r"\n\s*\n", card):
        text = " ".join(block.split())
        if not text or text.startswith(("#", "|", "-", "*", ">", "`", "!", "<", "---")):
            continue
        sentence = re.match(r".+?[.!?](?=\s|$)", text)
        said = re.sub(r"[*_`]", "", sentence[0] if sentence else text)
        return said if len(said) <= LONGEST_LEAD else None
    return None


def body(card: str, *, without: str = "") -> str:
    """The card as Markdown, pictures named instead of fetched.

    Left out is what the page draws itself: the card's title, its first sentence when it is ``without``, the inputs, and
    how the answers were checked.
    """
    kept: list[str] = []
    for section in re.split(r"(?m)^(?=#{1,2} )", card.strip()):
        title, _, rest = section.partition("\n")
        if title.startswith("# "):
            kept.append(rest.strip().removeprefix(without).strip())
        elif title.removeprefix("## ").strip() not in _DRAWN:
            kept.append(section.strip())
    return _IMAGE.sub(lambda match: f"[{match[1] or 'picture'}]", "\n\n".join(filter(None, kept)))


_DRAWN = {"Inputs", "How the answers were checked", "Model"}
