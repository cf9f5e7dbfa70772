"""What is said of columns that are missing, misnamed, unnamed or what the model predicts, with its hint."""

import numpy as np
import pandas as pd
import pytest

from aweigh.errors import InvalidRows, MalformedBody, Problem, UsageError, listed
from aweigh.packing.sample import glance
from aweigh.runtime.score_plan import Wish, plan_table
from aweigh.schema import Column, Output, Schema
from aweigh.schema.check import check, check_rows
from aweigh.schema.decode import compile_decoder
from aweigh.table import Table, TextTable, Values
from aweigh.table.csv import check_header

NAMES = tuple(f"s{i}" for i in range(1, 9))


def schema(*names, output=None):
    columns = tuple(Column(name=name, type="number", dtype="float64", nullable=False) for name in names)
    return Schema(columns=columns, output=output or Output(task="class", name="species", classes=("a", "b")))


def refused(names, *, model=NAMES):
    with pytest.raises(InvalidRows) as caught:
        plan_table(schema(*model), names, text=True, known=frozenset(), wish=Wish())
    return caught.value


def test_missing_columns_are_named_up_to_five():
    assert refused(NAMES[:-1]).message == "column 's8' is required"
    assert refused(NAMES[3:]).message == "columns 's1', 's2', 's3' are required"
    few = refused(NAMES[7:])
    assert few.message == "columns 's1', 's2', 's3', 's4', 's5' and 2 more are required"
    assert few.total == len(few.problems) == 7
    assert few.hint == "the file has s8"
    assert listed(["a"]) == "'a'"


def test_problems_of_other_kinds_are_counted_beside_the_missing_columns():
    problems = [Problem("missing_column", f"column {name!r} is required", column=name) for name in "ab"]
    other = Problem("wrong_type", "column 'c', row 0: no number", row=0, column="c")
    assert InvalidRows((*problems, other)).message == "columns 'a', 'b' are required (and 1 more problem)"
    assert InvalidRows((other, *problems), total=9).message == f"{other.message} (and 8 more problems)"


def test_a_name_in_other_letters_is_to_be_written_as_the_model_has_it():
    """--ignore-extra cannot help: the column would still be missing."""
    error = refused([*NAMES[:-1], "S8"])
    assert "'S8'" in error.message
    assert error.hint == "rename the file's column 'S8' to 's8'"


def test_columns_too_many_may_still_be_let_pass():
    error = refused([*NAMES, "id"])
    assert error.message == "the model has no column 'id'"
    assert "--ignore-extra" in error.hint


def test_a_file_without_a_header_is_called_so():
    error = refused(["0.0380759064334241", "-1e-3", "nan", "4"])
    assert error.message == "the file's columns are all named by numbers: its first line seems to be data"
    assert error.hint == "give every column its name, in the first line of the file"
    assert error.problems[0].code == "no_header"


def test_a_model_whose_columns_are_named_by_numbers_is_no_such_case():
    assert refused(["0", "1"], model=("0", "1", "2")).message == "column '2' is required"


def test_two_equal_numbers_in_a_first_line_are_told_the_same_way():
    with pytest.raises(MalformedBody, match=r"more than one column named '0\.5'") as caught:
        check_header(["0.5", "1", "0.5"])
    assert "first line" in caught.value.hint
    with pytest.raises(MalformedBody) as caught:
        check_header(["a", "1", "a"])
    assert caught.value.hint == "rename one of them"


def test_a_sample_without_a_header_is_told_of_before_the_model_is_read(tmp_path):
    (tmp_path / "bare.csv").write_text("0.5,1\n0.7,2\n")
    with pytest.raises(UsageError, match="its first line seems to be data") as caught:
        glance(tmp_path / "bare.csv", target="price")
    assert "first line" in caught.value.hint


ROW = {"s1": 1.0, "s2": 2.0, "species": "a"}


def one_row(kind):
    if kind == "csv":
        return TextTable({name: [str(cell)] for name, cell in ROW.items()}, 1)
    return Table({name: Values(np.array([cell])) for name, cell in ROW.items()}, 1)


@pytest.mark.parametrize("kind", ["csv", "columns", "rows", "body"])
def test_what_the_model_predicts_is_to_be_left_out(kind):
    model = schema("s1", "s2")
    with pytest.raises(InvalidRows) as caught:
        if kind == "rows":
            check_rows(model, [ROW])
        elif kind == "body":
            compile_decoder(model, max_rows=9)(b'{"rows": [{"s1": 1, "s2": 2, "species": "a"}]}')
        else:
            check(model, one_row(kind))
    [problem] = caught.value.problems
    assert problem.code == "unknown_column"
    assert problem.column == "species"
    assert problem.message == "'species' is what the model predicts: leave it out"
    assert caught.value.hint == "leave 'species' out of what you send"


def test_so_are_the_outputs_of_a_model_that_has_several():
    model = schema("s1", output=Output(task="numbers", name="y", names=("y1", "y2")))
    with pytest.raises(InvalidRows, match="'y2' is what the model predicts: leave it out"):
        check_rows(model, [{"s1": 1, "y2": 3}])


def test_an_input_that_is_called_as_the_output_stays_an_input():
    model = schema("s1", output=Output(task="number", name="s1"))
    assert check_rows(model, [{"s1": 1}]).rows == 1
    with pytest.raises(InvalidRows) as caught:
        check_rows(model, [{"s1": "x"}])
    assert caught.value.hint is None


def test_a_frame_of_unnamed_columns_has_no_first_line():
    with pytest.raises(UsageError, match="all named by numbers"):
        glance(pd.DataFrame(np.ones((2, 3))), target="price")
