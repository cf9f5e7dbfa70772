"""A user's own ONNX graph: what it takes, what it answers, and what of it is refused before it can do anything."""

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from aweigh.errors import UnreadableModel, UnsupportedModel
from aweigh.models import onnx as family
from aweigh.models.onnx_file import open_file
from aweigh.models.onnx_session import open_session
from aweigh.models.onnx_wire import check_wire
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output

OPSETS = {"": 18, "ai.onnx.ml": 3}
ROWS = 120
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(3).normal(size=(ROWS, 3)).astype(np.float32), columns=NAMES)


def model_of(nodes, inputs, outputs, constants=(), *, opset=18, ir=8, domains=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(one, 1) for one in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def perceptron(
    rows="rows", *, given=TensorProto.FLOAT, end="Softmax", outputs=1, width=3, operator="Gemm", domain="", **how
):
    """A graph as other libraries export it: a matrix in, a layer, numbers or probabilities out."""
    weights = np.random.default_rng(5).normal(size=(width, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node(operator, ["real", "weights"], ["sums"], domain=domain),
        helper.make_node(end, ["sums"], ["y"]),
        helper.make_node("Tanh", ["sums"], ["z"]),
    ]
    told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, 2]) for name in ("y", "z")[:outputs]]
    given_ = helper.make_tensor_value_info("x", given, [rows, width])
    constants = [numpy_helper.from_array(weights, "weights")]
    return model_of(nodes[: 2 + outputs], [given_], told, constants, domains=[domain] if domain else [], **how)


def run(proto, cells):
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": cells})


def agrees(trial):
    assert trial.reasons == {}
    return trial.agrees("onnx")


@pytest.mark.parametrize("labels", [np.array([4, 9]), np.array(["no", "yes"])])
@pytest.mark.parametrize("zipmap", [True, False])
def test_classes_with_and_without_zipmap(tried, plain, labels, zipmap):
    aim = labels[(plain["a"] > 0).astype(int)]
    cells = plain.to_numpy()
    model = LogisticRegression().fit(cells, aim)
    options = {} if zipmap else {"options": {"zipmap": False}}
    trial = tried("onnx", to_onnx(model, cells, target_opset=OPSETS, **options), plain)
    assert trial.schema.output.classes == tuple(labels.tolist())
    assert agrees(trial)
    assert trial.asked.answers.labels() == model.predict(cells).tolist()
    assert trial.asked.answers.probabilities == pytest.approx(model.predict_proba(cells), abs=1e-5)
    served = onnx.load_model_from_string(trial.forms["onnx"].data)
    assert "ZipMap" not in {node.op_type for node in served.graph.node}


def test_scores_that_are_no_probabilities_are_left_out(tried, plain):
    cells = plain.to_numpy()
    model = LinearSVC().fit(cells, np.where(plain["a"] > 0, "yes", "no"))
    trial = tried("onnx", to_onnx(model, cells, target_opset=OPSETS), plain)
    assert not trial.schema.output.probabilities
    assert trial.asked.answers.labels() == model.predict(cells).tolist()
    assert agrees(trial)


def test_numbers_clusters_and_outliers(tried, plain):
    cells = plain.to_numpy()
    wide = tried("onnx", to_onnx(LinearRegression().fit(cells, cells[:, :2]), cells, target_opset=OPSETS), plain)
    assert (wide.schema.output.task, wide.schema.output.names) == ("numbers", ("variable_0", "variable_1"))
    one = tried("onnx", to_onnx(LinearRegression().fit(cells, cells[:, 0]), cells, target_opset=OPSETS), plain)
    assert one.schema.output.task == "number"
    clusters = tried("onnx", to_onnx(KMeans(3, n_init=1).fit(cells), cells, target_opset=OPSETS), plain)
    assert clusters.schema.output.task == "cluster"
    forest = IsolationForest(n_estimators=5).fit(cells)
    outliers = tried("onnx", to_onnx(forest, cells, target_opset=OPSETS), plain)
    assert (outliers.schema.output.task, outliers.schema.output.scores) == ("outlier", True)
    assert (outliers.asked.answers.outlier == (forest.predict(cells) == -1)).all()
    assert all(agrees(trial) for trial in (wide, one, clusters, outliers))


@pytest.fixture(scope="module")
def by_column():
    """A graph with an input for each column: a number, text, a whole number."""
    generator = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "size": generator.normal(size=ROWS).astype(np.float32),
            "kind": generator.choice(["x", "y", "z"], ROWS),
            "count": generator.integers(0, 5, ROWS),
        }
    )
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["kind"]), ("passthrough", ["size", "count"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, (frame["size"] > 0).astype(int))
    types = [
        ("size", FloatTensorType([None, 1])),
        ("kind", StringTensorType([None, 1])),
        ("count", Int64TensorType([None, 1])),
    ]
    return frame, model, convert_sklearn(model, "model", types, target_opset=OPSETS)


def test_inputs_are_told_apart_by_name(tried, by_column):
    frame, model, proto = by_column
    trial = tried("onnx", proto, frame[["count", "kind", "size"]])
    assert trial.schema.names == ("size", "kind", "count")
    assert agrees(trial)
    assert trial.asked.answers.probabilities == pytest.approx(model.predict_proba(frame), abs=1e-5)


def test_gaps_where_a_graph_has_no_word_for_them_are_refused(tried, by_column):
    frame, _, proto = by_column
    for column in ("kind", "count"):
        gappy = frame.astype({"count": "Int64"})
        gappy.loc[3, column] = None
        with pytest.raises(UnsupportedModel, match=f"'{column}' has missing values") as refused:
            tried("onnx", proto, gappy)
        assert "fill them" in str(refused.value.hint)


def test_a_missing_number_is_nan(tried, plain):
    gappy = plain.copy()
    gappy.loc[::5, "b"] = np.nan
    trial = tried("onnx", perceptron(end="Relu"), gappy)
    assert trial.schema.column("b").nullable
    assert agrees(trial)


def test_a_matrix_takes_the_columns_in_their_order(tried, plain):
    trial = tried("onnx", perceptron(), plain)
    assert (trial.schema.output.task, trial.schema.output.classes) == ("class", (0, 1))
    assert trial.asked.answers.probabilities == pytest.approx(run(perceptron(), plain.to_numpy())[0])
    assert agrees(trial)
    assert trial.forms["onnx"].data == perceptron().SerializeToString()


def test_several_outputs_become_one(tried, plain):
    proto = perceptron(end="Relu", outputs=2)
    trial = tried("onnx", proto, plain)
    assert (
        trial.schema.output.names == ("output_0", "output_1", "output_2", "output_3")
        or len(trial.schema.output.names) == 4
    )
    assert trial.asked.answers.values == pytest.approx(np.hstack(run(proto, plain.to_numpy())))
    assert agrees(trial)


@pytest.mark.parametrize(("given", "element"), [(TensorProto.INT32, "int64"), (TensorProto.FLOAT16, "float")])
def test_narrow_types_are_cast_inside(tried, given, element):
    whole = pd.DataFrame(np.random.default_rng(6).integers(0, 9, (ROWS, 3)), columns=NAMES)
    trial = tried("onnx", perceptron(given=given), whole)
    graph = trial.forms["onnx"].graph
    assert [one.element for one in graph.inputs] == [element]
    assert agrees(trial)
    with pytest.raises(UnsupportedModel, match="takes whole numbers, and column 'a' is number"):
        tried("onnx", perceptron(given=TensorProto.INT32), whole + 0.5)


def test_a_graph_of_one_row_is_given_many(tried, plain):
    trial = tried("onnx", perceptron(rows=1), plain)
    assert not trial.forms["onnx"].graph.one_row
    assert agrees(trial)


def test_a_graph_that_can_take_one_row_only_is_asked_row_by_row(tried, plain):
    shape = numpy_helper.from_array(np.array([1, 3]), "shape")
    axis = numpy_helper.from_array(np.array([1]), "axis")
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["r"]), helper.make_node("ReduceSum", ["r", "axis"], ["y"])]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])
    trial = tried("onnx", model_of(nodes, [given], [answer], [shape, axis]), plain)
    ways = list(trial.family.ways(model_of(nodes, [given], [answer], [shape, axis]), trial.schema))
    form = ways[-1].make()
    assert form.graph.one_row
    answers = form.predict(trial.asked.trial.table)
    assert answers.values == pytest.approx(trial.asked.trial.expected.values)


@pytest.mark.parametrize(
    ("proto", "said"),
    [
        (perceptron(rows=8), "takes exactly 8 rows at a time"),
        (perceptron(operator="Magic", domain="my.ops"), r"an operator of its own, my\.ops\.Magic"),
        (perceptron(opset=99), "newer ONNX than the ONNX Runtime"),
        (perceptron(ir=99), "newer ONNX than the onnx"),
    ],
)
def test_graphs_that_cannot_be_served(proto, said):
    with pytest.raises(UnsupportedModel, match=said) as refused:
        family.describe(proto)
    assert refused.value.hint


def test_pictures_sequences_and_odd_inputs_are_refused():
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3, 8, 8])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3, 8, 8])
    with pytest.raises(UnsupportedModel, match="has 4 dimensions, as pictures"):
        family.describe(model_of([helper.make_node("Relu", ["x"], ["y"])], [picture], [answer]))
    odd = helper.make_tensor_value_info("x", TensorProto.UINT64, ["rows", 3])
    with pytest.raises(UnsupportedModel, match="a table has no such column"):
        family.describe(
            model_of(
                [helper.make_node("Identity", ["x"], ["y"])],
                [odd],
                [helper.make_tensor_value_info("y", TensorProto.UINT64, ["rows", 3])],
            )
        )


def test_outputs_that_mean_nothing_are_refused():
    nodes = [helper.make_node("ArgMax", ["x"], [name], axis=1) for name in ("one", "two")]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])
    answers = [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", 1]) for name in ("one", "two")]
    with pytest.raises(UnsupportedModel, match=r"cannot be told: one \(int64\), two \(int64\)"):
        family.describe(model_of(nodes, [given], answers))


def test_a_row_whose_answer_hangs_on_others_is_refused(tried, plain):
    axis = numpy_helper.from_array(np.array([0]), "axis")
    nodes = [helper.make_node("ReduceMean", ["x", "axis"], ["mean"]), helper.make_node("Sub", ["x", "mean"], ["y"])]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3])
    with pytest.raises(UnsupportedModel, match="hangs on the rows beside it"):
        tried("onnx", model_of(nodes, [given], [answer], [axis]), plain)


def test_too_few_columns_are_told(tried, plain):
    with pytest.raises(Exception, match="takes 7 columns and the sample has 3"):
        tried("onnx", perceptron(width=7), plain)


# -- hostile files ---------------------------------------------------------------------------------------------------


def outside(path, *, where):
    """A graph whose numbers lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    place = tensor.external_data.add()
    place.key, place.value = "location", path
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3])
    add = helper.make_node("Add", ["x", "w"], ["y"])
    if where == "initializer":
        return model_of([add], [given], [answer], [tensor])
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    if where == "attribute":
        return model_of([constant, add], [given], [answer])
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [3])])
    truth = numpy_helper.from_array(np.array(True), "truth")
    choose = helper.make_node("If", ["truth"], ["w"], then_branch=branch, else_branch=branch)
    return model_of([choose, add], [given], [answer], [truth])


@pytest.mark.parametrize("where", ["initializer", "attribute", "branch"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../../secret.bin", "secret.bin"])
def test_a_graph_that_reads_other_files_is_refused_before_it_is_parsed(where, path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.ones(3, dtype=np.float32).tobytes())
    data = outside(path, where=where).SerializeToString()
    graph = tmp_path / "model.onnx"
    graph.write_bytes(data)
    with pytest.raises(UnsupportedModel, match="numbers in other files") as refused:
        family.read(graph)
    assert "one file" in str(refused.value.hint)
    with pytest.raises(UnsupportedModel, match="numbers in other files"):
        open_session(data)  # what serves a bundle, where the onnx package is not installed


def test_onnx_runtime_itself_would_read_the_file(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.arange(3, dtype=np.float32).tobytes())
    proto = outside("secret.bin", where="initializer")
    proto.graph.node[0].op_type = "MatMul"
    proto.graph.initializer[0].dims[:] = [3, 1]
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1
    data = proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    answer = onnxruntime.InferenceSession(data, options).run(None, {"x": np.ones((1, 3), np.float32)})
    assert answer[0].tolist() == [[3.0]]
    with pytest.raises(UnsupportedModel, match="numbers in other files"):
        open_session(data)


def test_bytes_that_are_no_graph_are_refused(tmp_path: Path):
    whole = perceptron().SerializeToString()
    for data in (b"", b"\x08\x08\x3a\x05hello", whole[:-7], b"\x0b" + whole, b"\xff" * 64, whole[: len(whole) // 2]):
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        with pytest.raises((UnreadableModel, UnsupportedModel)):
            family.read(path)
    with pytest.raises(UnsupportedModel, match=r"\.ort format"):
        check_wire(b"\x00\x00\x00\x00ORTM" + b"\x00" * 32)


def test_no_change_of_a_byte_brings_the_process_down():
    whole = bytearray(perceptron().SerializeToString())
    generator = np.random.default_rng(8)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for place in generator.integers(0, len(data), 3):
            data[place] = generator.integers(0, 256)
        try:
            open_file(bytes(data))
        except (UnreadableModel, UnsupportedModel):
            refused += 1
    assert refused > 50


def nested(depth):
    """The bytes of graphs within nodes within graphs: field 7 of a model, below it 1 (node), 5 (attribute), 6."""

    def field(number, inside):
        size, length = len(inside), b""
        while size > 0x7F:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + inside

    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))
    return b"\x08\x08" + field(7, graph)


def test_nested_beyond_measure_is_refused():
    check_wire(nested(3))
    with pytest.raises(UnreadableModel, match="nested too deeply"):
        check_wire(nested(70))


def test_functions_in_a_circle_are_refused():
    proto = perceptron(end="Relu")
    for name, other in (("One", "Two"), ("Two", "One")):
        call = helper.make_node(other, ["x"], ["y"], domain="mine")
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
        proto.functions.append(helper.make_function("mine", name, ["x"], ["y"], [call], opsets))
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    with pytest.raises((UnreadableModel, UnsupportedModel), match="in a circle"):
        family.describe(proto)


def test_millions_of_thresholds_are_walked_at_once():
    values = np.random.default_rng(9).normal(size=500_000)
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", nodes_values=values, nodes_modes=["LEAF"] * 100_000
    )
    data = helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString()
    start = time.process_time()
    check_wire(data)
    assert time.process_time() - start < 1.0


def test_several_numbers_are_named_after_their_outputs():
    output = Output(task="number", name="value")
    found = family.widen(perceptron(end="Relu", outputs=2), output, Answers(output, 1, values=np.zeros((1, 4))))
    assert found.names == ("value_0", "value_1", "value_2", "value_3")
    same = family.widen(perceptron(end="Relu", outputs=2), output, Answers(output, 1, values=np.zeros((1, 2))))
    assert same.names == ("y", "z")
