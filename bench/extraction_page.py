"""The page on model extraction, made of ``bench/results/extraction.json`` and the baseline beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """<!-- Made by `python -m bench.extraction`: a change here is lost. -->
# What a copy of a model costs

Whoever may ask a model may copy it: he asks, keeps the answers, and trains a model of his own on them. No
answer can be given and kept secret at once; what can be chosen is how many questions one may ask, how much an
answer tells, and whether somebody looks at who asks. This page says what each of them is worth, as measured
through the real API, and what not.

"""

WORDS = {
    "uniform": "made up over the ranges",
    "marginal": "made up, each column as in the data",
    "indist": "real rows",
    "all": "in full",
    "2": "to 2 decimals",
    "1": "to 1 decimal",
    "labels": "labels alone",
}
VICTIMS = {"LR": "Logistic regression", "HGB": "Histogram boosting"}
BASELINE = {"all": "full", "1": "round1", "labels": "label"}


def page(found: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    parts = [HEAD]
    if "stolen" in found:
        parts += _stolen(found, baseline)
    if "watched" in found:
        parts += _watched(found["watched"])
    return "".join(parts).rstrip() + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    ruler = "|" + "---|" * left + "---:|" * (len(head) - left)
    lines = ["| " + " | ".join(head) + " |", ruler, *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(lines) + "\n\n"


TAKES = """## What it takes

Two models of employment in Massachusetts (US census; 16 columns; trained on 8,000 rows), packed and served.
Fidelity is how often the copy and the model agree, in percent, on 4,000 rows that neither has seen; means of
three thieves. A thief of the logistic regression trains one, a thief of the boosting trains boosting: on the
log odds where he gets probabilities, on labels where he does not. In brackets: an independent measurement of
the same kind on the same data (`bench/results/extraction_baseline.json`), where it has the setting.

"""


def _stolen(found: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[str]:
    accuracy = found["accuracy"]
    parts = [TAKES]
    known = {
        (one["victim"], one["queries"], one["n"], one["output"]): one["fidelity"] for one in baseline["extraction"]
    }
    for victim, title in VICTIMS.items():
        mine = [one for one in found["stolen"] if one["victim"] == victim]
        budgets = sorted({one["n"] for one in mine})
        rows = []
        for queries in dict.fromkeys(one["queries"] for one in mine):
            for setting in dict.fromkeys(one["output"] for one in mine):
                cells = []
                for budget in budgets:
                    one = next(
                        one for one in mine if (one["queries"], one["output"], one["n"]) == (queries, setting, budget)
                    )
                    theirs = known.get((victim, queries, budget, BASELINE.get(setting, "")))
                    cells.append(f"{one['fidelity'] * 100:.1f}" + (f" ({theirs * 100:.1f})" if theirs else ""))
                rows.append([WORDS[queries], WORDS[setting], *cells])
        share = accuracy[victim] * 100
        parts.append(f"**{title}**, {share:.1f} % of its own answers right:\n\n")
        parts.append(_table(["Asked with", "Told", *(f"{budget:,} rows" for budget in budgets)], rows, left=2))
    parts.append(_saying(found["stolen"]))
    return parts


SAYING = """- **Budgets help most.** With real rows, 100 questions copy the logistic regression to {linear_100:.1f} %,
  the boosting to {boosted_100:.0f} %; 1,000 to {linear_1000:.1f} and {boosted_1000:.0f} %. A budget in the tens of
  thousands protects nothing.
- **Telling less helps a little.** At 1,000 rows that are real, or drawn from the data's own columns, two
  decimals cost the thief {two} points of fidelity, one decimal {one}, labels alone {labels}. What labels alone
  do take away is how sure the model is, which other attacks need.
- **A thief without data needs more**: that is what is worth looking for.

Rounding and labels alone are `aweigh.guard.disclosure`: applied to the answers before these are written, so
that JSON, CSV and Arrow tell the same. For this page the API told all, and the very function that a server
would apply was applied to what came.

"""


def _saying(stolen: Sequence[Mapping[str, Any]]) -> str:
    by = {(one["victim"], one["queries"], one["n"], one["output"]): one["fidelity"] * 100 for one in stolen}

    def costs(setting: str) -> str:
        points = [
            by[victim, queries, 1000, "all"] - by[victim, queries, 1000, setting]
            for victim in VICTIMS
            for queries in ("marginal", "indist")
        ]
        return f"{min(points):.1f} to {max(points):.1f}"

    return SAYING.format(
        linear_100=by["LR", "indist", 100, "all"],
        boosted_100=by["HGB", "indist", 100, "all"],
        linear_1000=by["LR", "indist", 1000, "all"],
        boosted_1000=by["HGB", "indist", 1000, "all"],
        two=costs("2"),
        one=costs("1"),
        labels=costs("labels"),
    )


KINDS = {
    "samples": ("honest", "samples of the data"),
    "sub-populations": ("honest", "sub-populations: one kind, or one quarter, of one column"),
    "uniform": ("sweep", "made up over the ranges"),
    "grid": ("sweep", "a grid over the ranges"),
    "marginal": ("sweep", "made up, each column as in the data"),
    "around real rows": ("sweep", "real rows with noise on every number"),
    "between two rows": ("sweep", "on the line between two real rows"),
}


WHO = """## Who looks like a thief

Rows that are made up column by column do not hang together as real ones do, and where they are drawn over whole
ranges they lie in the outermost bins of too many columns. `aweigh.guard.sweep` counts both for a client, from
the reference bins that the bundle carries, in a few numbers: the share of rows farther out than nine of ten of
the sample's (a sweep from 35 % on), and how much more of the cells lie in outermost bins than of the sample's
(from 15 points on, where at least three columns have such bins). Nothing is said of fewer than 50 different
rows. The bins themselves are not compared: an honest client who asks for one island only differs in them more
than a thief does. (PRADA, the test from the literature, inverts on such data: it tells honest clients to be
thieves.)

How many clients of each kind were told to be sweeps; the reference is a sample, the clients are made of other
rows:

"""
SEEN = """At 200 rows and more, {false} of {honest} honest clients were told to be sweeps, and {found} of {sweeps}
sweeps were found. What it does not see: a thief with real rows, or one who walks between two of them, looks like
anybody. Where nothing is known of how columns go together (small samples, independent columns), rows that are
drawn from each column by itself are not seen either. So it is a reason to look at a client, never one to turn
it away, and no substitute for a budget. A server behind a door watches for it and writes it down:
[Let people in](../how-to/let-people-in.md#who-looks-like-a-thief).
"""


def _watched(watched: Sequence[Mapping[str, Any]]) -> list[str]:
    sizes = sorted({one["rows"] for one in watched})
    titles = list(dict.fromkeys(one["data"] for one in watched))
    rows = []
    for kind, (who, what) in KINDS.items():
        for size in sizes:
            here = [one for one in watched if (one["client"], one["rows"]) == (kind, size)]
            cells = []
            for title in titles:
                one = next(one for one in here if one["data"] == title)
                cells.append(f"{one['told']} of {one['clients']}")
            rows.append([who, what, f"{size:,}", *cells])
    false, honest = (
        sum(one[key] for one in watched if KINDS[one["client"]][0] == "honest" and one["rows"] >= 200)
        for key in ("told", "clients")
    )
    found, sweeps = (
        sum(one[key] for one in watched if KINDS[one["client"]][0] == "sweep" and one["rows"] >= 200)
        for key in ("told", "clients")
    )
    last = SEEN.format(false=false, honest=honest, found=found, sweeps=sweeps)
    return [WHO, _table(["", "The client's rows", "rows", *titles], rows, left=2), last]
