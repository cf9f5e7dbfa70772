"""The model card: what the model is for, what it takes, how its answers were checked; Markdown, from facts alone.

The headings follow Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019), as far as a bundle can know.
"""

from aweigh.bundle.manifest import Proof
from aweigh.config import Config
from aweigh.schema.column import Column, Schema

NOT_STATED = "The owner has not said."


def card(name: str, *, words: str, schema: Schema, proof: Proof, config: Config) -> str:
    """The card as Markdown."""
    said = config.model
    parts = [f"# {config.app.title or name}", "", config.app.description or sentence(schema), ""]
    parts += ["## Model", "", f"{words}.", ""]
    parts += ["## Intended use", "", said.intended_use or NOT_STATED, ""]
    parts += ["## Not intended for", "", said.not_intended_for or NOT_STATED, ""]
    parts += ["## Training data", "", said.training_data or NOT_STATED, ""]
    parts += ["## How good it is", "", *_metrics(said.metrics), ""]
    parts += ["## Inputs", "", *(_input(column) for column in schema.columns), ""]
    people = [column for column in schema.columns if column.personal is not None]
    if people:
        parts += ["## Personal data", "", *(_personal(column) for column in people), ""]
    rows = proof.rows + proof.probe_rows
    parts += [
        "## How the answers were checked",
        "",
        (
            f"What is served was held against the original model on {rows:,} rows: {proof.rows:,} of the sample and "
            f"{proof.probe_rows:,} probes made from it, {proof.single_rows} of them also one at a time. "
            f"All labels were equal; the largest difference of any number was {proof.largest_difference:.1g}."
        ),
        "",
    ]
    if said.contact or said.licence:
        parts += ["## Owner", ""]
        parts += [f"Contact: {said.contact}", ""] if said.contact else []
        parts += [f"Licence: {said.licence}", ""] if said.licence else []
    return "\n".join(parts)


def sentence(schema: Schema) -> str:
    """One sentence of what is predicted from what."""
    output = schema.output
    names = [column.title or column.name.replace("_", " ") for column in schema.columns]
    shown = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
    source = shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]
    what = output.name.replace("_", " ")
    verb = {
        "class": f"Predicts {what}",
        "number": f"Predicts {what}",
        "numbers": f"Predicts {len(output.names)} numbers",
        "cluster": "Finds the cluster that a row belongs to",
        "outlier": "Tells unusual rows from usual ones",
        "transform": f"Computes {len(output.names)} numbers",
    }[output.task]
    return f"{verb} from {source}."


def _metrics(metrics: dict[str, float]) -> list[str]:
    if not metrics:
        return [NOT_STATED]
    return [f"- {name}: {value:g}" for name, value in metrics.items()]


def _personal(column: Column) -> str:
    becomes = {
        "drop": "no value of the sample is in this bundle",
        "hash": "no value of the sample is in this bundle but as a keyed hash",
        "keep": "values of the sample are in this bundle, as its owner has it",
    }
    return f"- `{column.name}`: {column.personal_kind}; {becomes[column.personal or 'keep']}."


def _input(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    if column.minimum is not None and not column.is_text:
        seen = f"{column.minimum} to {column.maximum} in the sample"
    elif column.categories:
        seen = ", ".join(column.categories[:8]) + (", ..." if len(column.categories) > 8 else "")
    else:
        seen = "any text" if column.type == "text" else "not told, as it is personal" if column.personal else ""
    may_miss = "; may be missing" if column.nullable else ""
    said = f" {column.description}" if column.description else ""
    return f"- `{column.name}` ({column.type}{unit}): {seen}{may_miss}.{said}"
