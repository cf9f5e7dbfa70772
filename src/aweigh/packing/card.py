"""The model card: what the model is for, what it takes, how its answers were checked; Markdown, from facts alone.

The headings follow Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019), as far as a bundle can know.
"""

from aweigh.bundle.findings import Membership, Robustness
from aweigh.bundle.manifest import Manifest
from aweigh.config import Config
from aweigh.schema.column import Column, Schema

NOT_STATED = "The owner has not said."


def card(manifest: Manifest, *, schema: Schema, config: Config) -> str:
    """The card as Markdown."""
    said, proof = config.model, manifest.proof
    parts = [f"# {config.app.title or manifest.name}", "", config.app.description or sentence(schema), ""]
    parts += ["## Model", "", f"{manifest.model}.", ""]
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
    if manifest.robustness is not None:
        parts += ["## How small a change changes an answer", "", *_robustness(manifest.robustness, schema), ""]
    parts += ["## What answers tell of the training data", "", _membership(manifest.membership), ""]
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


def _robustness(found: Robustness, schema: Schema) -> list[str]:
    """What an attack found: never more than how small a change is enough."""
    text = (
        f"An attack that sees only the answers changed {found.rows} rows of the sample, and asked {found.queries:,} "
        "in all. It moved the numbers within their observed ranges; sizes are Euclidean distances, each number in "
        "interquartile ranges (IQR) of its column. Another attack may need less, not more."
    )
    lines = [text + (" The time ran out before it was done." if found.cut_short else ""), ""]
    unit = f" {schema.output.unit}" if schema.output.unit else ""
    if found.how == "flips":
        lines += ["| A change of at most | flips |", "|---|---:|"]
        pairs = zip(found.sizes, found.shares, strict=True)
        lines += [f"| {size:g} IQR | {share * 100:.0f} % of the answers |" for size, share in pairs]
        half = "Fewer than half of the answers can be flipped." if found.median is None else (
            f"Half of the answers flip within {found.median:.2g} IQR."
        )  # fmt: skip
        lines += ["", half]
    elif found.middle:
        lines += ["| A change of at most | moves half of the answers by | and a tenth by |", "|---|---:|---:|"]
        rows = zip(found.sizes, found.middle, found.most, strict=True)
        lines += [f"| {size:g} IQR | {half:.3g}{unit} | {tenth:.3g}{unit} |" for size, half, tenth in rows]
        lines += ["", f"The answers' own interquartile range is {found.spread:.3g}{unit}."]
    if found.columns:
        told = ", ".join(f"`{one.column}` ({one.share * 100:.0f} %)" for one in found.columns)
        lines += ["", f"The change lies mostly in {told} of the squared distance."]
    if found.swaps:
        if found.how == "flips":
            told = ", ".join(f"`{one.column}` {one.share * 100:.0f} %" for one in found.swaps)
            lines += ["", f"Another choice in one column alone flips: {told} of the answers."]
        else:
            told = ", ".join(f"`{one.column}` {one.share:.3g}{unit}" for one in found.swaps)
            lines += ["", f"Another choice in one column alone moves half of the answers by: {told}."]
    return lines


def _membership(found: Membership | None) -> str:
    """What answers tell of who was in the training data, with the sources of the figures."""
    if found is None:
        return (
            "It cannot be told from one sample: rows with the right answers that the model was not trained on are "
            "needed as well (`--holdout`)."
        )
    sure = ""
    if found.confidence_area is not None:
        area = f"{found.confidence_area:.2f}"
        sure = f" On the largest probability alone, without the right answer, it is {area} (Salem et al., 2019)."
    return (
        f"The model's {found.measure} is {found.trained:.3g} on {found.rows:,} rows of the sample, taken to be the "
        f"training data, and {found.held_out:.3g} on {found.held_out_rows:,} rows that it was not trained on. Who was "
        "in the training data is told by a threshold on the loss with an area under the curve of "
        f"{found.area:.2f} ± {2 * found.error:.2f} (0.5: not at all, 1: always), at the members' mean loss with an "
        f"advantage of {found.advantage:.2f} (Yeom et al., 2018).{sure} It is a simple attack; others may tell more."
    )


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
    parts = [part for part in (seen, "may be missing" if column.nullable else "") if part]
    told = ": " + "; ".join(parts) if parts else ""
    said = f" {column.description}" if column.description else ""
    return f"- `{column.name}` ({column.type}{unit}){told}.{said}"
