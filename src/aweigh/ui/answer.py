"""The answer as people read it: one large line, a sentence, a picture; for every kind of model."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from aweigh.profile import Profile
from aweigh.schema import Output
from aweigh.schema.answers import class_key
from aweigh.ui.charts import MOST_BARS, Bar, bars, histogram
from aweigh.ui.reference import Standing, predicted, shares, standing
from aweigh.ui.words import count, figure, human, percent, split_unit, with_unit

CLOSE = 0.1
"""Two classes are hard to tell apart when their probabilities are less than this apart."""

MOST_VALUES = 20
FEW_VALUES = 3
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in its parts: ``picture`` is HTML, everything else plain text.

    ``kicker`` names what was asked, ``headline`` is the answer, ``beside`` a number next to it, ``sentence`` what it
    means. ``share`` is how sure the model is (0 to 1) where it says so.
    """

    kicker: str
    headline: str
    beside: str = ""
    sentence: str = ""
    share: float | None = None
    picture: str = ""

    @property
    def spoken(self) -> str:
        """The answer in one line."""
        return ". ".join(
            part for part in (", ".join(filter(None, (self.headline, self.beside))), self.sentence) if part
        )


def answer_of(output: Output, prediction: Mapping[str, Any], profile: Profile | None = None) -> Answer:
    """One prediction of the API, for reading; beside the sample's answers where the profile has them."""
    return _READERS[output.task](output, prediction, profile)


def asked(output: Output) -> str:
    """What is predicted, in words."""
    return split_unit(output.name)[0] if output.task in {"number", "numbers"} else human(output.name)


def class_titles(output: Output) -> dict[str, str]:
    """The classes' display names by their key in a prediction, in the model's order."""
    keys = [class_key(one) for one in output.classes]
    return dict(zip(keys, output.class_titles or keys, strict=True))


def _class(output: Output, prediction: Mapping[str, Any], _profile: Profile | None) -> Answer:
    titles = class_titles(output)
    key = class_key(prediction["label"])
    name = titles.get(key, key)
    shares: Mapping[str, float] | None = prediction.get("probabilities")
    if not shares:
        return Answer(asked(output), name)
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0] != key))
    share = shares.get(key, 0.0)
    rivals = [(other, its) for other, its in ranked if other != key]
    sentence = _beside_the_next(share, rivals[0][1], titles.get(rivals[0][0], rivals[0][0])) if rivals else ""
    return Answer(asked(output), name, percent(share), sentence, share, _class_bars(ranked, titles, key))


def _beside_the_next(share: float, its: float, rival: str) -> str:
    """How far the next class is behind, in a sentence."""
    fine = 0 if round(share * 100) != round(its * 100) else 1
    mine, theirs = percent(share, decimals=fine), percent(its, decimals=fine)
    if mine == theirs and fine:
        return f"{rival} is just as likely: {theirs} each."
    both = f"{mine.rstrip('%').strip()} to {theirs}"
    if its > share:
        return f"{rival} has more probability, but the model's own threshold decides: {both}."
    if share - its < CLOSE:
        return f"Hard to tell from {rival}: {both}."
    return f"Next is {rival}, {theirs}." if its > 0 else "The model gives every other answer no chance."


def _class_bars(ranked: list[tuple[str, float]], titles: Mapping[str, str], key: str) -> str:
    shown = ranked if len(ranked) <= MOST_BARS + 1 else ranked[:MOST_BARS]
    rows = [Bar(titles.get(one, one), share, percent(share), strong=one == key) for one, share in shown]
    rest = ranked[len(shown) :]
    if rest:
        share = sum(its for _, its in rest)
        rows.append(Bar(count(len(rest), "other"), share, percent(share)))
    return bars(rows, label="Probability of each answer")


def _number(output: Output, prediction: Mapping[str, Any], profile: Profile | None) -> Answer:
    value = prediction.get("value")
    unit = output.unit or split_unit(output.name)[1]
    if value is None:
        return Answer(asked(output), "No number", sentence="The model gave no number for these inputs.")
    headline = with_unit(figure(float(value)), unit)
    observed = predicted(profile, output.name)
    place = standing(observed, float(value)) if observed is not None else None
    if observed is None or place is None:
        return Answer(asked(output), headline)
    ends = (figure(float(observed.quantiles[0])), figure(float(observed.quantiles[-1])))
    drawn = ""
    if observed.histogram:
        label = f"The sample's answers go from {ends[0]} to {ends[1]}; this one is marked among them."
        drawn = histogram(observed.histogram, label=label, ends=ends, marked=place.bin)
    return Answer(asked(output), headline, sentence=_standing_sentence(place), picture=drawn)


def _standing_sentence(place: Standing) -> str:
    if place.below <= 0:
        return "As low as the sample's lowest, or lower."
    if place.below >= 1:
        return "As high as the sample's highest, or higher."
    if place.below >= HALF:
        return f"Higher than {percent(place.below)} of the sample's answers."
    return f"Lower than {percent(1 - place.below)} of the sample's answers."


def _numbers(output: Output, prediction: Mapping[str, Any], _profile: Profile | None) -> Answer:
    values: Mapping[str, Any] = prediction.get("values", {})
    lines = []
    texts = []
    for name, value in list(values.items())[:MOST_VALUES]:
        title, unit = split_unit(name)
        text = "no number" if value is None else with_unit(figure(float(value)), unit or output.unit)
        lines.append(f"<dt>{escape(title)}</dt><dd>{escape(text)}</dd>")
        texts.append(text)
    if len(values) > len(lines):
        lines.append(f"<dt>and {len(values) - len(lines):,} more</dt><dd></dd>")
    headline = " · ".join(texts) if len(values) <= FEW_VALUES else count(len(values), "number")
    title = "Transformed row" if output.task == "transform" else "Answer"
    return Answer(title, headline, picture=f'<dl class="aw-values">{"".join(lines)}</dl>')


def _cluster(output: Output, prediction: Mapping[str, Any], profile: Profile | None) -> Answer:
    key = str(prediction["cluster"])
    observed = predicted(profile, output.name)
    if observed is None:
        return Answer(asked(output), f"Cluster {key}")
    known = shares(observed)
    share = percent(dict(known).get(key, 0.0))
    sentence = (
        f"{share} of the sample is in it. The bars show how the sample falls into clusters, not how sure this is."
    )
    rows = [Bar(f"Cluster {one}", share, percent(share), strong=one == key) for one, share in known[: MOST_BARS + 1]]
    drawn = bars(rows, label="Share of the sample in each cluster")
    return Answer(asked(output), f"Cluster {key}", sentence=sentence, picture=drawn)


def _outlier(_output: Output, prediction: Mapping[str, Any], profile: Profile | None) -> Answer:
    strange = bool(prediction["outlier"])
    headline = "Unusual" if strange else "Ordinary"
    score = prediction.get("score")
    if score is None:
        return Answer("This row is", headline)
    side = "below" if strange else "not below"
    sentence = f"Its score of {figure(float(score), digits=3)} is {side} 0, where unusual begins."
    observed = predicted(profile, "score")
    place = standing(observed, float(score)) if observed is not None else None
    if observed is None or place is None or not observed.histogram:
        return Answer("This row is", headline, sentence=sentence)
    ends = (figure(float(observed.quantiles[0]), digits=2), figure(float(observed.quantiles[-1]), digits=2))
    label = f"The sample's scores go from {ends[0]}, the strangest, to {ends[1]}; this one is marked among them."
    drawn = histogram(observed.histogram, label=label, ends=ends, marked=place.bin)
    return Answer("This row is", headline, sentence=sentence, picture=drawn)


_READERS = {
    "class": _class,
    "number": _number,
    "numbers": _numbers,
    "transform": _numbers,
    "cluster": _cluster,
    "outlier": _outlier,
}
