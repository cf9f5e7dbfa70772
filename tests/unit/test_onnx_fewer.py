"""Rules that draw a graph in fewer nodes: what each makes of a graph, the same answers, and what must be left alone."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aweigh.bundle.manifest import GraphInput
from aweigh.models.onnx_fewer import draw_fewer
from aweigh.models.onnx_together import lay_together
from aweigh.schema import Column

FLOAT, DOUBLE, INT64, STRING, BOOL = (
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL,
)  # fmt: skip
ML = "ai.onnx.ml"
DTYPES = {FLOAT: np.float32, DOUBLE: np.float64, INT64: np.int64}


def node(operator, inputs, output, domain="", **attributes):
    return helper.make_node(operator, inputs.split(), output.split(), domain=domain, name=output, **attributes)


def model(nodes, inputs, outputs, **constants):
    """``inputs`` and ``outputs``: name -> (element type, width); a width of None is a vector."""

    def infos(of):
        return [helper.make_tensor_value_info(k, e, ["n"] if w is None else ["n", w]) for k, (e, w) in of.items()]

    held = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "g", infos(inputs), infos(outputs), held)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(proto)
    return proto


def numbers(kind, width, rows=500):
    """Random numbers of all sizes, whole ones, and what arithmetic stumbles over."""
    g = np.random.default_rng(3)
    if kind == INT64:
        cells = g.integers(-(2**62), 2**62, (rows, width))
        cells[0] = 2**62 + 2**38 + 1  # as a double half way between two singles, and above that by itself
        return cells
    cells = g.normal(size=(rows, width)) * 10.0 ** g.integers(-12, 12, (rows, width))
    cells[::7] = np.rint(cells[::7])
    cells[:4] = np.array([np.nan, np.inf, -0.0, 1e-310])[:, None]
    with np.errstate(over="ignore"):
        return cells.astype(DTYPES[kind])


def answers(proto, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, feeds)


def bits(answer):
    """What tells one answer from another; NaN has no sign."""
    return answer.tolist() if answer.dtype.kind in "OU" else np.where(answer == answer, answer, np.nan).tobytes()  # noqa: PLR0124


def fewer(proto, feeds=None):
    """The operators left, in order; the answers are the same to the last bit."""
    if feeds is None:
        feeds = {
            one.name: numbers(one.type.tensor_type.elem_type, one.type.tensor_type.shape.dim[1].dim_value)
            for one in proto.graph.input
        }
    wanted = answers(proto, feeds)
    names = [one.name for one in proto.graph.output]
    draw_fewer(proto)
    onnx.checker.check_model(proto)
    assert [one.name for one in proto.graph.output] == names
    for got, expected in zip(answers(proto, feeds), wanted, strict=True):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert bits(got) == bits(expected)
    once = proto.SerializeToString(deterministic=True)
    draw_fewer(proto)
    assert proto.SerializeToString(deterministic=True) == once
    return [one.op_type for one in proto.graph.node]


# -- types -----------------------------------------------------------------------------------------------------------


def casts(*kinds):
    """A chain of casts from the first kind to the last."""
    names = ["x", *(f"c{i}" for i in range(len(kinds) - 2)), "y"]
    nodes = [node("Cast", names[i], names[i + 1], to=kinds[i + 1]) for i in range(len(kinds) - 1)]
    return model(nodes, {"x": (kinds[0], 3)}, {"y": (kinds[-1], 3)})


def test_a_cast_to_a_wider_type_before_another_cast_is_left_out():
    assert fewer(casts(FLOAT, DOUBLE, FLOAT, DOUBLE)) == ["Cast"]
    assert fewer(casts(DOUBLE, DOUBLE, FLOAT)) == ["Cast"]
    assert fewer(casts(BOOL, INT64, FLOAT), {"x": np.array([[True, False, True]])}) == ["Cast"]


@pytest.mark.parametrize("kinds", [(DOUBLE, FLOAT, DOUBLE), (INT64, FLOAT, DOUBLE), (INT64, DOUBLE, FLOAT)])
def test_a_cast_that_rounds_stays(kinds):
    some = numbers(kinds[0], 3)
    with np.errstate(over="ignore"):
        first, second = (some.astype(DTYPES[kind]) for kind in kinds[1:])
        assert bits(first.astype(DTYPES[kinds[2]])) != bits(second)  # so the rule would be wrong
    assert fewer(casts(*kinds)) == ["Cast", "Cast"]


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("by", [100.0, 3.0, -7.25])
def test_one_operation_in_double_that_is_rounded_to_single_is_done_in_single(operator, by):
    nodes = [node("Cast", "x", "w", to=DOUBLE), node(operator, "w k", "d"), node("Cast", "d", "y", to=FLOAT)]
    proto = model(nodes, {"x": (FLOAT, 3)}, {"y": (FLOAT, 3)}, k=np.array([by]))
    g = np.random.default_rng(1)
    some = g.integers(0, 2**32, (60_000, 3), dtype=np.uint32).view(np.float32)  # any bits, subnormal ones too
    some[~np.isfinite(some)] = 1.0
    assert fewer(proto, {"x": some}) == [operator]


def test_two_operations_or_a_constant_that_single_cannot_hold_are_left_in_double():
    nodes = [
        node("Cast", "x", "w", to=DOUBLE), node("Mul", "w k", "m"), node("Add", "m k", "a"),
        node("Cast", "a", "y", to=FLOAT),
    ]  # fmt: skip
    assert len(fewer(model(nodes, {"x": (FLOAT, 3)}, {"y": (FLOAT, 3)}, k=np.array([3.0])))) == 4
    nodes = [node("Cast", "x", "w", to=DOUBLE), node("Div", "w k", "d"), node("Cast", "d", "y", to=FLOAT)]
    assert len(fewer(model(nodes, {"x": (FLOAT, 3)}, {"y": (FLOAT, 3)}, k=np.array([0.1])))) == 3
    nodes = [node("Div", "x k", "d"), node("Cast", "d", "y", to=FLOAT)]  # of doubles that were never single
    assert len(fewer(model(nodes, {"x": (DOUBLE, 3)}, {"y": (FLOAT, 3)}, k=np.array([100.0])))) == 2


# -- columns ---------------------------------------------------------------------------------------------------------


def test_picked_columns_side_by_side_are_the_matrix_or_one_pick():
    def picked(*places):
        nodes = [node("Gather", f"x p{i}", f"g{i}", axis=1) for i in range(len(places))]
        nodes.append(node("Concat", " ".join(f"g{i}" for i in range(len(places))), "c", axis=1))
        nodes.append(node("Neg", "c", "y"))
        held = {f"p{i}": np.array(place) for i, place in enumerate(places)}
        return model(nodes, {"x": (DOUBLE, 4)}, {"y": (DOUBLE, sum(map(len, places)))}, **held)

    assert fewer(picked([0], [1], [2], [3])) == ["Neg"]
    assert fewer(picked([0, 1], [2, 3])) == ["Neg"]
    assert fewer(picked([3], [1])) == ["Gather", "Neg"]
    assert fewer(picked([0], [1], [2])) == ["Gather", "Neg"]  # not all of them
    assert fewer(picked([1], [0], [2], [3])) == ["Gather", "Neg"]  # not in order


def test_a_pick_of_a_pick_and_what_skl2onnx_calls_one():
    nodes = [
        node("ArrayFeatureExtractor", "x p", "a", ML), node("Gather", "a q", "b", axis=1), node("Neg", "b", "y"),
    ]  # fmt: skip
    given = {"x": (DOUBLE, 5)}
    assert fewer(model(nodes, given, {"y": (DOUBLE, 2)}, p=np.array([4, 2, 0]), q=np.array([2, 0]))) == [
        "Gather",
        "Neg",
    ]
    assert fewer(model(nodes, given, {"y": (DOUBLE, None)}, p=np.array([4, 2, 0]), q=np.array(1))) == ["Gather", "Neg"]


def test_picks_by_rows_and_from_behind_are_left():
    nodes = [node("Gather", "x p", "a", axis=0), node("Gather", "a q", "y", axis=1)]
    proto = model(nodes, {"x": (DOUBLE, 3)}, {"y": (DOUBLE, 2)}, p=np.array([0, 2, 1]), q=np.array([0, -1]))
    assert fewer(proto) == ["Gather", "Gather"]


def test_casts_side_by_side_are_one_cast():
    nodes = [
        node("Cast", "a", "b", to=FLOAT), node("Cast", "x", "w", to=FLOAT), node("Concat", "w b", "c", axis=1),
        node("Neg", "c", "y"),
    ]  # fmt: skip
    assert fewer(model(nodes, {"a": (DOUBLE, 1), "x": (DOUBLE, 2)}, {"y": (FLOAT, 3)})) == ["Concat", "Cast", "Neg"]
    mixed = model(nodes, {"a": (INT64, 1), "x": (DOUBLE, 2)}, {"y": (FLOAT, 3)})
    assert fewer(mixed) == ["Cast", "Cast", "Concat", "Neg"]


def test_concats_in_a_concat_are_one_unless_another_takes_them():
    nodes = [node("Concat", "x x", "c", axis=1), node("Concat", "x c", "d", axis=1), node("Neg", "d", "y")]
    assert fewer(model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 6)})) == ["Concat", "Neg"]
    nodes.append(node("Abs", "c", "z"))
    both = model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 6), "z": (DOUBLE, 4)})
    assert fewer(both) == ["Concat", "Concat", "Neg", "Abs"]
    nodes = [node("Concat", "x x", "c", axis=0), node("Concat", "c c", "y", axis=1)]
    assert fewer(model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 4)})) == ["Concat", "Concat"]


# -- labels ----------------------------------------------------------------------------------------------------------


def labelled(classes, kind, width=2):
    """How skl2onnx names the class of the largest score."""
    nodes = [node("ArgMax", "x", "m", axis=1), node("ArrayFeatureExtractor", "classes m", "f", ML)]
    if kind == INT64:
        nodes += [node("Cast", "f", "d", to=DOUBLE), node("Reshape", "d s", "r"), node("Cast", "r", "y", to=INT64)]
    else:
        nodes += [node("Reshape", "f s", "y")]
    return model(nodes, {"x": (DOUBLE, width)}, {"y": (kind, None)}, classes=classes, s=np.array([-1]))


def test_classes_called_by_their_places_are_the_places():
    assert fewer(labelled(np.array([0, 1], np.int32), INT64)) == ["ArgMax"]
    assert fewer(labelled(np.array([0, 1, 2], np.int64), INT64, width=3)) == ["ArgMax"]


def test_other_classes_are_looked_up_once():
    assert fewer(labelled(np.array([1, 0], np.int32), INT64)) == ["ArgMax", "Gather"]
    assert fewer(labelled(np.array([3, 5], np.int32), INT64)) == ["ArgMax", "Gather"]
    assert fewer(labelled(np.array(["no", "yes"], dtype=object), STRING)) == ["ArgMax", "Gather"]


def test_a_table_of_fractions_is_not_cast_and_a_longer_list_is_no_identity():
    nodes = [node("ArgMax", "x", "m", axis=1, keepdims=0), node("Gather", "k m", "g"), node("Cast", "g", "y", to=INT64)]
    proto = model(nodes, {"x": (DOUBLE, 2)}, {"y": (INT64, None)}, k=np.array([0.5, 1.5]))
    assert fewer(proto) == ["ArgMax", "Gather", "Cast"]
    nodes = [node("ArgMax", "x", "m", axis=1, keepdims=0), node("Gather", "k m", "y")]
    proto = model(nodes, {"x": (DOUBLE, 3)}, {"y": (INT64, None)}, k=np.array([0, 1, 2, 3]))
    assert fewer(proto) == ["ArgMax", "Gather"]


def test_the_absolute_value_of_what_is_never_negative_is_left_out():
    nodes = [node("Sigmoid", "x", "s"), node("Abs", "s", "y")]
    assert fewer(model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 2)})) == ["Sigmoid"]
    nodes = [node("Tanh", "x", "s"), node("Abs", "s", "y")]
    assert fewer(model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 2)})) == ["Tanh", "Abs"]


# -- what serves nobody, and what stays ------------------------------------------------------------------------------


def test_nodes_and_constants_that_serve_no_output_are_left_out():
    nodes = [node("Neg", "x", "y"), node("Add", "x k", "a"), node("Abs", "a", "b")]
    proto = model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 2)}, k=np.array([1.0]))
    assert fewer(proto) == ["Neg"]
    assert not proto.graph.initializer


def test_a_node_that_changes_nothing_is_left_out_unless_an_input_goes_out_as_it_came():
    nodes = [node("Identity", "x", "i"), node("Neg", "i", "n"), node("Identity", "n", "y")]
    assert fewer(model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 2)})) == ["Neg"]
    assert fewer(casts(DOUBLE, DOUBLE)) == ["Cast"]


def test_a_value_that_is_an_output_itself_is_not_renamed():
    nodes = [node("Neg", "x", "y"), node("Cast", "y", "z", to=DOUBLE)]
    assert fewer(model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 2), "z": (DOUBLE, 2)})) == ["Neg", "Cast"]
    nodes = [node("Neg", "x", "a"), node("Cast", "a", "y", to=DOUBLE), node("Abs", "a", "z")]
    assert fewer(model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 2), "z": (DOUBLE, 2)})) == ["Neg", "Abs"]


def test_a_graph_that_holds_graphs_is_left_as_it_is():
    inner = helper.make_graph(
        [node("Cast", "x", "i", to=DOUBLE)], "i", [], [helper.make_tensor_value_info("i", DOUBLE, None)]
    )
    nodes = [node("Cast", "x", "c", to=DOUBLE), node("If", "k", "y", then_branch=inner, else_branch=inner)]
    proto = model(nodes, {"x": (DOUBLE, 2)}, {"y": (DOUBLE, 2)}, k=np.array([True]))
    given = (GraphInput(name="x", columns=("a",), element="double"),)
    before = proto.SerializeToString()
    draw_fewer(proto)
    assert lay_together(proto, given, ()) == given
    assert proto.SerializeToString() == before


# -- inputs ----------------------------------------------------------------------------------------------------------


def test_inputs_of_one_element_are_one_matrix_in_the_order_of_a_tables_blocks():
    names = {"a": "number", "s": "text", "n": "integer", "b": "number", "t": "category"}
    elements = {name: STRING if kind in {"text", "category"} else DOUBLE for name, kind in names.items()}
    found = {"keys_strings": ["é"], "values_int64s": [1], "default_int64": 0}
    nodes = [
        node("Concat", "s t", "texts", axis=1), node("LabelEncoder", "texts", "u", ML, **found),
        node("Concat", "a n b", "reals", axis=1), node("Neg", "reals", "y"), node("Neg", "n", "z"),
    ]  # fmt: skip
    outputs = {"u": (INT64, 2), "y": (DOUBLE, 3), "z": (DOUBLE, 1)}
    proto = model(nodes, {name: (element, 1) for name, element in elements.items()}, outputs)
    apart = {name: numbers(DOUBLE, 1, 9) for name in "anb"} | {
        "s": np.full((9, 1), "é", object),
        "t": np.full((9, 1), ""),
    }
    apart["n"] = apart["n"] + 1
    wanted = answers(proto, apart)
    given = tuple(
        GraphInput(name=name, columns=(name,), element="string" if element == STRING else "double")
        for name, element in elements.items()
    )
    laid = lay_together(proto, given, [Column(name=name, type=kind, dtype="x") for name, kind in names.items()])
    assert [(one.element, one.columns) for one in laid] == [("double", ("a", "b", "n")), ("string", ("s", "t"))]
    feeds = {
        one.name: np.hstack([apart[name] for name in one.columns]).astype(apart[one.columns[0]].dtype) for one in laid
    }
    operators = fewer(proto, feeds)
    assert sorted(operators) == ["Gather", "Gather", "LabelEncoder", "Neg", "Neg"]
    for got, expected in zip(answers(proto, feeds), wanted, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_an_empty_pick_of_a_matrix_of_unknown_width_picks_nothing():
    proto = model(
        [node("Gather", "x places", "none", axis=1), node("Concat", "none x", "y", axis=1)],
        {"x": (DOUBLE, "w")},
        {"y": (DOUBLE, "v")},
        places=np.array([], np.int64),
    )
    feeds = {"x": numbers(DOUBLE, 3)}
    before = answers(proto, feeds)
    draw_fewer(proto)
    assert bits(answers(proto, feeds)[0]) == bits(before[0])
