"""Whether a candidate can be asked what the current model is asked, and says the same kind of thing."""

from collections.abc import Sequence

from aweigh.schema.column import Column, Output, Schema

_TEXT = frozenset({"category", "text"})


def incompatible(current: Schema, candidate: Schema) -> tuple[str, ...]:
    """A sentence for each reason why a request that the current model takes would mean something else, or nothing.

    What only narrows which values are taken (a limit, a closed list) is none of them: that shows in the trial.
    """
    ours = {column.name: column for column in current.columns}
    theirs = {column.name: column for column in candidate.columns}
    found = [
        f"the column {name!r} is required by the candidate, and the current model has none of that name"
        for name, column in theirs.items()
        if name not in ours and not column.nullable
    ]
    for name, column in ours.items():
        other = theirs.get(name)
        found += [f"the column {name!r} is none of the candidate's"] if other is None else _column(column, other)
    return (*found, *_output(current.output, candidate.output))


def _column(ours: Column, theirs: Column) -> list[str]:
    found = []
    name = ours.name
    same = ours.type == theirs.type or {ours.type, theirs.type} <= _TEXT
    if not same and (ours.type, theirs.type) != ("integer", "number"):
        found.append(f"the column {name!r} is {theirs.type} to the candidate, and {ours.type} now")
    if ours.nullable and not theirs.nullable:
        found.append(f"the column {name!r} may be missing now, and not with the candidate")
    if ours.unit and theirs.unit and ours.unit != theirs.unit:
        found.append(f"the column {name!r} is in {theirs.unit} to the candidate, and in {ours.unit} now")
    return found


def _output(ours: Output, theirs: Output) -> list[str]:
    if ours.task != theirs.task:
        return [f"the candidate answers {theirs.task!r}, and the current model {ours.task!r}"]
    found = []
    if ours.name != theirs.name:  # the head of the column, where answers are asked for as a table
        found.append(f"the candidate calls its answer {theirs.name!r}, and the current model {ours.name!r}")
    if {(type(one), one) for one in ours.classes} != {(type(one), one) for one in theirs.classes}:
        more = [one for one in theirs.classes if one not in ours.classes]
        fewer = [one for one in ours.classes if one not in theirs.classes]
        said = [f"has also {_some(more)}"] * bool(more) + [f"lacks {_some(fewer)}"] * bool(fewer)
        found.append(f"the candidate has other classes: it {' and '.join(said) or 'writes them otherwise'}")
    if set(ours.names) != set(theirs.names):
        found.append("the candidate gives other numbers: " + _some(sorted(set(ours.names) ^ set(theirs.names))))
    if (ours.probabilities, ours.scores) != (theirs.probabilities, theirs.scores):
        found.append("only one of the two gives probabilities or scores")
    if ours.unit and theirs.unit and ours.unit != theirs.unit:
        found.append(f"the candidate answers in {theirs.unit}, and the current model in {ours.unit}")
    return found


def _some(names: Sequence[object]) -> str:
    told = ", ".join(repr(one)[:60] for one in names[:5])
    return told + (f" and {len(names) - 5} more" if len(names) > 5 else "")
