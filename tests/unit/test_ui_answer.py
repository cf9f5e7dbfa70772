"""Answers as people read them: every kind of model, ties, strange labels, and nothing from data that acts as HTML."""

import numpy as np
import pytest

from aweigh.bundle.manifest import Presentation
from aweigh.profile import build_profile
from aweigh.schema import Answers, Column, Output, Schema
from aweigh.table import Table, Values
from aweigh.ui.answer import answer_of
from aweigh.ui.card import body, heading, lead
from aweigh.ui.charts import Bar, bars, histogram
from aweigh.ui.influence import distance
from aweigh.ui.reference import predicted, standing

SPECIES = Output(task="class", name="species", classes=("Adelie", "Chinstrap", "Gentoo"), probabilities=True)
NARROW = "\u202f"


def said(output, prediction, profile=None):
    answer = answer_of(output, prediction, profile)
    return answer.kicker, answer.headline, answer.beside.replace(NARROW, " "), answer.sentence.replace(NARROW, " ")


def shares(adelie, chinstrap, gentoo):
    return {"Adelie": adelie, "Chinstrap": chinstrap, "Gentoo": gentoo}


@pytest.mark.parametrize(
    ("label", "given", "beside", "sentence"),
    [
        ("Adelie", shares(0.98, 0.01, 0.01), "98 %", "Next is Chinstrap, 1 %."),
        ("Adelie", shares(0.51, 0.47, 0.02), "51 %", "Hard to tell from Chinstrap: 51 to 47 %."),
        ("Adelie", shares(0.502, 0.498, 0.0), "50 %", "Hard to tell from Chinstrap: 50.2 to 49.8 %."),
        ("Adelie", shares(0.4999, 0.4999, 0.0), "50 %", "Chinstrap is just as likely: 50.0 % each."),
        ("Adelie", shares(1.0, 0.0, 0.0), "100 %", "The model gives every other answer no chance."),
        (
            "Gentoo",
            shares(0.6, 0.0, 0.4),
            "40 %",
            "Adelie has more probability, but the model's own threshold decides: 40 to 60 %.",
        ),
    ],
)
def test_a_class_with_its_probability_and_how_close_the_next_is(label, given, beside, sentence):
    prediction = {"label": label, "probabilities": given}
    assert said(SPECIES, prediction) == ("Species", label, beside, sentence)


def test_a_class_without_probabilities_and_classes_of_other_types():
    plain = Output(task="class", name="will_buy", classes=(False, True), class_titles=("Stays", "Buys"))
    assert said(plain, {"label": True}) == ("Will buy", "Buys", "", "")
    numbers = Output(task="class", name="grade", classes=(1, 2), probabilities=True)
    answer = answer_of(numbers, {"label": 2, "probabilities": {"1": 0.2, "2": 0.8}})
    assert (answer.headline, answer.share) == ("2", 0.8)


def test_many_classes_are_five_bars_and_the_others_together():
    classes = tuple(f"c{i}" for i in range(12))
    output = Output(task="class", name="kind", classes=classes, probabilities=True)
    given = dict(zip(classes, [0.45, 0.1] + [0.045] * 10, strict=True))
    picture = answer_of(output, {"label": "c0", "probabilities": given}).picture
    assert picture.count("<li") == 6
    assert "7 others" in picture
    assert picture.index("c0") < picture.index("c1")


def test_a_number_with_its_unit_stands_among_the_samples_answers():
    output = Output(task="number", name="body_mass_g")
    schema = Schema(columns=(Column(name="x", type="number", dtype="float64"),), output=output)
    values = np.arange(100.0)[:, None]
    table = Table({"x": Values(values[:, 0])}, 100)
    profile = build_profile(schema, table, Answers(output, 100, values=values))
    kicker, headline, _, sentence = said(output, {"value": 75.2}, profile)
    assert (kicker, headline, sentence) == ("Body mass", f"75.2{NARROW}g", "Higher than 75 % of the sample's answers.")
    assert said(output, {"value": 10.0}, profile)[3].startswith("Lower than 9")
    assert said(output, {"value": -1.0}, profile)[3] == "As low as the sample's lowest, or lower."
    assert said(output, {"value": 99.0}, profile)[3] == "As high as the sample's highest, or higher."
    assert "aw-marked" in answer_of(output, {"value": 50.0}, profile).picture
    assert "aw-marked" not in answer_of(output, {"value": 500.0}, profile).picture
    observed = predicted(profile, "body_mass_g")
    assert standing(observed, 0.0).bin == 0
    assert standing(observed, 99.0).bin == 19
    assert said(output, {"value": None})[1] == "No number"


def test_several_numbers_a_cluster_and_an_outlier():
    two = Output(task="numbers", name="value", names=("mass_g", "age"))
    answer = answer_of(two, {"values": {"mass_g": 4200.0, "age": None}})
    assert (answer.headline, answer.picture.count("<dt>")) == (f"4,200{NARROW}g · no number", 2)
    many = Output(task="transform", name="t", names=tuple(f"p{i}" for i in range(30)))
    assert "and 10 more" in answer_of(many, {"values": {f"p{i}": 1.0 for i in range(30)}}).picture
    assert said(Output(task="cluster", name="cluster"), {"cluster": 3})[1] == "Cluster 3"
    outlier = Output(task="outlier", name="outlier", scores=True)
    assert said(outlier, {"outlier": True, "score": -0.03})[1:] == (
        "Unusual",
        "",
        "Its score of \u22120.03 is below 0, where unusual begins.",
    )
    assert said(outlier, {"outlier": False})[1] == "Ordinary"


EVIL = '"><img src=x onerror=alert(1)>'


def test_nothing_from_data_is_html():
    output = Output(task="class", name=EVIL, classes=(EVIL, "b"), probabilities=True)
    picture = answer_of(output, {"label": EVIL, "probabilities": {EVIL: 0.5, "b": 0.5}}).picture
    assert "<img" not in picture
    values = Output(task="numbers", name="v", names=(EVIL,))
    assert "<img" not in answer_of(values, {"values": {EVIL: 1.0}}).picture
    assert "<img" not in bars([Bar(EVIL, 0.5, EVIL)], label=EVIL)
    assert "<img" not in histogram([1, 2], label=EVIL, ends=(EVIL, EVIL))


def test_bars_never_leave_their_track():
    drawn = bars([Bar("a", 1.7, ""), Bar("b", -1, "")], label="x")
    assert "width:max(2px, 100.00%)" in drawn
    assert 'width:0"' in drawn


def test_how_far_two_predictions_are_apart():
    assert distance({"probabilities": {"a": 1.0, "b": 0.0}}, {"probabilities": {"a": 0.0, "b": 1.0}}) == 1
    assert distance({"value": 3.0}, {"value": 1.0}) == 2
    assert distance({"label": "a"}, {"label": "b"}) == 1
    assert distance({"cluster": 1}, {"cluster": 1}) == 0
    assert distance({"outlier": True, "score": 0.5}, {"outlier": True, "score": 0.25}) == 0.25
    assert distance({"values": {"a": 1.0, "b": None}}, {"values": {"a": 0.0, "b": 2.0}}) == 3


def test_a_page_has_a_title_and_a_sentence_without_the_owner():
    columns = tuple(
        Column(name=name, type="number", dtype="float64") for name in ("bill_length_mm", "BMI", "a", "b", "c")
    )
    schema = Schema(columns=columns, output=Output(task="number", name="body_mass_g"))
    assert heading(schema, Presentation()) == "Predict body mass"
    assert lead(schema, Presentation()) == "Predicts body mass from bill length, BMI, a and 2 more."
    told = Presentation(title="How heavy?", description="It guesses.")
    assert (heading(schema, told), lead(schema, told)) == ("How heavy?", "It guesses.")


def test_the_card_fetches_nothing_and_leaves_out_what_the_page_draws():
    card = (
        "# Title\n\nSentence.\n\n## Intended use\n\nTo ![see](http://tracker.example/x.png) it.\n\n## Inputs\n\n- `x`\n"
    )
    assert body(card) == "## Intended use\n\nTo [see] it."
