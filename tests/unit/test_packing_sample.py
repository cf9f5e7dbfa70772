"""The sample made ready: the target out, the model's order, the owner's words; and what is said when it is unfit."""

import numpy as np
import pandas as pd
import pytest

from aweigh.config import ColumnConfig, Config
from aweigh.errors import ConfigError, UsageError
from aweigh.models.family import Described
from aweigh.packing.sample import align, open_sample
from aweigh.schema import Output

OUTPUT = Output(task="number", name="y")


@pytest.fixture
def opened():
    frame = pd.DataFrame(
        {
            "size": [1.5, 2.5, np.nan, 3.5] * 3,
            "rooms": [1, 2, 3, 4] * 3,
            "town": ["Ulm", "Köln"] * 6,
            "price": np.arange(12.0),
        }
    )
    return open_sample(frame)


def described(features=("town", "size"), count=None):
    return Described(
        "a model", OUTPUT, features, count if count is not None else None if features is None else len(features)
    )


def aligned(opened, *, model=None, target="price", config=None):
    columns, table = opened
    return align(columns, table, described=model or described(), target=target, config=config or Config())


def test_columns_stand_in_the_models_order_and_the_rest_is_named(opened):
    found = aligned(opened)
    assert [column.name for column in found.columns] == ["town", "size"]
    assert list(found.table.columns) == ["town", "size"]
    assert found.left_out == ("rooms",)
    assert found.target == "price"


def test_a_model_without_names_takes_all_columns_but_the_target(opened):
    found = aligned(opened, model=described(None, 3))
    assert [column.name for column in found.columns] == ["size", "rooms", "town"]


@pytest.mark.parametrize(
    ("model", "target", "words", "hint"),
    [
        (None, "prize", "no column 'prize'", "did you mean 'price'"),
        (None, "zzz", "no column 'zzz'", "the sample has size, rooms, town, price"),
        (described(("town", "Size")), "price", "fitted with a column 'Size'", "is 'size' meant to be 'Size'?"),
        (
            described(tuple("qrs")),
            "price",
            "with columns 'q', 'r', 's' that the sample does not have",
            "the sample has",
        ),
        (described(tuple("qrsuvwx")), "price", "columns 'q', 'r', 's', 'u', 'v' and 2 more that", "the sample has"),
        (described(None, 3), None, "takes 3 columns and the sample has 4", "--target"),
        (described(None, 7), "price", "takes 7 columns and the sample has 3", "in its order"),
        (described(("town", "price")), "price", "takes 'price' as an input", "the right answers"),
    ],
)
def test_what_does_not_fit_is_said_with_a_way_out(opened, model, target, words, hint):
    with pytest.raises(UsageError, match=words) as told:
        aligned(opened, model=model, target=target)
    assert hint in told.value.hint


def test_the_owner_says_more_of_a_column(opened):
    said = ColumnConfig(
        title="Size", unit="m", description="How long", group="Body", minimum=0, maximum=9.5, lower_limit=0,
        upper_limit=100, default=2.0,
    )  # fmt: skip
    town = ColumnConfig(categories=("Bonn",), nullable=True)
    size = aligned(opened, config=Config(columns={"size": said, "town": town})).columns
    assert (size[1].title, size[1].unit, size[1].description, size[1].group) == ("Size", "m", "How long", "Body")
    assert (size[1].minimum, size[1].maximum, size[1].lower_limit, size[1].upper_limit) == (0, 9.5, 0, 100)
    assert size[1].default == 2.0
    assert size[0].categories == ("Bonn", "Köln", "Ulm")
    assert size[0].nullable


def test_closed_categories_are_those_that_the_owner_names_alone(opened):
    town = ColumnConfig(categories=("Ulm", "Köln", "Bonn"), closed=True)
    found = aligned(opened, config=Config(columns={"town": town})).columns[0]
    assert found.categories == ("Ulm", "Köln", "Bonn")
    assert found.closed


def test_text_may_be_told_to_be_a_choice_or_the_other_way_round(opened):
    found = aligned(opened, config=Config(columns={"town": ColumnConfig(type="text")})).columns[0]
    assert found.type == "text"


def test_whole_numbers_that_may_be_missing_are_asked_as_pandas_would_hold_them(opened):
    config = Config(columns={"rooms": ColumnConfig(nullable=True)})
    found = aligned(opened, model=described(("rooms",)), config=config).columns[0]
    assert (found.type, found.dtype, found.nullable) == ("integer", "float64", True)


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("sice", ColumnConfig(unit="m"), "speaks of a column 'sice' that the model does not take"),
        ("size", ColumnConfig(type="texts"), "columns.size.type is 'texts'"),
        ("size", ColumnConfig(type="text"), "columns.size.type is 'text', and the sample holds number"),
        ("size", ColumnConfig(nullable=False), "columns.size.nullable is false"),
        ("size", ColumnConfig(minimum=2.0), "columns.size.minimum is 2.0, and the sample holds 1.5"),
        ("size", ColumnConfig(maximum=3), "columns.size.maximum is 3, and the sample holds 3.5"),
        ("size", ColumnConfig(maximum="x"), "columns.size.maximum"),
        ("size", ColumnConfig(lower_limit=5, upper_limit=4), "lower_limit 5 is above upper_limit 4"),
        ("size", ColumnConfig(categories=("a",)), "columns.size.categories is said of a number column"),
        ("town", ColumnConfig(minimum=1), "columns.town.minimum is said of a category column"),
        ("size", ColumnConfig(default="x"), "columns.size.default"),
    ],
)
def test_what_cannot_be_is_refused(opened, name, said, words):
    with pytest.raises(ConfigError, match=words):
        aligned(opened, config=Config(columns={name: said}))
