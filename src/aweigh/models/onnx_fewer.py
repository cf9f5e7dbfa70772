"""Fewer nodes for the same answers: what a converter draws in many small steps, drawn in few.

For one row a node of ONNX Runtime costs half a microsecond, however little it does: a pipeline of imputers, encoders
and a forest spent more on 50 of them than on its trees. Each rule below leaves every answer as it is to the last bit;
above all, a rounding to single precision is no detour that could be cut short. The rules know nothing of models.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aweigh.models.onnx_net import Net, holds_graphs, runs_from_zero

if TYPE_CHECKING:
    import onnx

Rule = Callable[[Net, "onnx.NodeProto"], bool]
"""Changes the net around a node; whether it did."""

Places = NDArray[Any]
Numbers = NDArray[Any]
INT64 = 7
NEVER_NEGATIVE = ("Abs", "Exp", "Sigmoid", "Softmax")


def draw_fewer(proto: "onnx.ModelProto") -> None:
    """Rewrites the graph in place until no rule applies, and leaves out what serves no output."""
    if holds_graphs(proto):
        return
    net = Net(proto)
    simplify(net)
    net.write()


def simplify(net: Net) -> None:
    """Applies the rules until none applies."""
    changed = True
    while changed:
        changed = False
        for node in net.nodes:
            while net.stands(node) and any(rule(net, node) for rule in RULES.get(node.op_type, ())):
                changed = True


def _identity(net: Net, node: "onnx.NodeProto") -> bool:
    return net.bypass(node, node.input[0])


# -- types -----------------------------------------------------------------------------------------------------------


def _cast_to_the_same(net: Net, node: "onnx.NodeProto") -> bool:
    return net.element(node.input[0]) == _attribute(node, "to") and net.bypass(node, node.input[0])


def _cast_of_widened(net: Net, node: "onnx.NodeProto") -> bool:
    """A cast of what was cast to a type that holds every value of its own: only the second matters."""
    inner = net.maker(node.input[0], "Cast")
    if inner is None or not _holds_all(_attribute(inner, "to"), net.element(inner.input[0])):
        return False
    net.take(node, [inner.input[0]])
    return True


def _holds_all(wide: int, narrow: int) -> bool:
    """Whether every value of ``narrow`` is one of ``wide``; not so whole numbers of 64 bits among doubles."""
    from onnx import TensorProto

    numbers = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64}
    wider: dict[int, set[Any]] = {
        TensorProto.BOOL: numbers,
        TensorProto.FLOAT: {TensorProto.DOUBLE},
        TensorProto.INT32: {TensorProto.DOUBLE, TensorProto.INT64},
    }
    return wide in wider.get(narrow, ())


def _narrowed_at_once(net: Net, node: "onnx.NodeProto") -> bool:
    """A cast to single precision of what was reckoned in double of single numbers: reckoned in single.

    Both are the same bits for one operation of arithmetic, as a double holds more than twice a single's digits: S. A.
    Figueroa, "When is double rounding innocuous?" (SIGNUM Newsletter 30, 1995).
    """
    from onnx import TensorProto

    made = net.maker(node.input[0], "Add", "Sub", "Mul", "Div")
    if _attribute(node, "to") != TensorProto.FLOAT or made is None or not net.taken_once(node.input[0]):
        return False
    inputs = [_as_single(net, name) for name in made.input]
    if None in inputs or not any(isinstance(one, str) for one in inputs):
        return False
    names = [one if isinstance(one, str) else net.hold(node.output[0], one) for one in inputs if one is not None]
    net.redraw(node, made.op_type, names)
    return True


def _as_single(net: Net, name: str) -> str | Numbers | None:
    """What a value in double precision was before it was widened, or the constant that loses nothing in single."""
    from onnx import TensorProto

    held = net.constant(name)
    if held is not None:
        with np.errstate(over="ignore"):
            single = held.astype(np.float32)
        return single if held.dtype == np.float64 and (single == held).all() else None
    cast = net.maker(name, "Cast")
    if cast is None or net.element(name) != TensorProto.DOUBLE or net.element(cast.input[0]) != TensorProto.FLOAT:
        return None
    return str(cast.input[0])


def _cast_of_looked_up(net: Net, node: "onnx.NodeProto") -> bool:
    """A cast of whole numbers out of a table: the table is cast instead."""
    from onnx import helper

    lookup = net.maker(node.input[0], "Gather", "ArrayFeatureExtractor")
    table = None if lookup is None else net.constant(lookup.input[0])
    if lookup is None or table is None or table.dtype.kind not in "iuf" or not net.taken_once(node.input[0]):
        return False
    cast = table.astype(helper.tensor_dtype_to_np_dtype(_attribute(node, "to")))
    if cast.dtype.kind not in "iuf" or not (cast.astype(table.dtype) == table).all() or (table != np.rint(table)).any():
        return False
    held = net.hold(node.output[0], cast)
    if lookup.op_type == "Gather":
        net.redraw(node, "Gather", [held, lookup.input[1]], axis=_attribute(lookup, "axis"))
    else:
        net.redraw(node, "ArrayFeatureExtractor", [held, lookup.input[1]])
        node.domain = lookup.domain
    return True


# -- columns side by side ----------------------------------------------------------------------------------------------


def _columns_picked(net: Net, node: "onnx.NodeProto") -> bool:
    """An ArrayFeatureExtractor of a matrix is a Gather of columns."""
    places = net.constant(node.input[1])
    if net.rank(node.input[0]) != 2 or places is None:
        return False
    net.redraw(node, "Gather", [node.input[0], net.hold(node.output[0], places.ravel())], axis=1)
    return True


def _pick_of_picked(net: Net, node: "onnx.NodeProto") -> bool:
    """Columns of columns of a matrix are columns of the matrix; all of them in order are the matrix."""
    picked = _picked(net, node)
    if picked is None:
        return False
    source, places = picked
    if places.ndim == 1 and 0 < len(places) == net.width(source) and runs_from_zero(places):
        return net.bypass(node, source)
    before = _picked(net, net.maker(source, "Gather"))
    if before is None or before[1].ndim != 1:
        return False
    net.take(node, [before[0], net.hold(node.output[0], before[1][places])])
    return True


def _picked(net: Net, node: "onnx.NodeProto | None") -> tuple[str, Places] | None:
    """The matrix that a Gather takes columns of, and which; None where it does something else."""
    if node is None:
        return None
    places = net.constant(node.input[1])
    if _attribute(node, "axis") != 1 or places is None or net.rank(node.input[0]) != 2 or (places < 0).any():
        return None
    return node.input[0], places


def _concat_of_one(net: Net, node: "onnx.NodeProto") -> bool:
    return len(node.input) == 1 and net.bypass(node, node.input[0])


def _concat_of_concats(net: Net, node: "onnx.NodeProto") -> bool:
    """Matrices side by side of which some are matrices side by side."""
    inputs: list[str] = []
    for name in node.input:
        inner = net.maker(name, "Concat") if net.taken_once(name) else None
        same = inner is not None and _attribute(inner, "axis") == _attribute(node, "axis") == 1
        inputs += inner.input if inner is not None and same else [name]
    if len(inputs) == len(node.input):
        return False
    net.take(node, inputs)
    return True


def _concat_of_casts(net: Net, node: "onnx.NodeProto") -> bool:
    """Casts side by side that are one cast of what stands side by side."""
    casts = [net.maker(name, "Cast") for name in node.input]
    inside = [one.input[0] for one in casts if one is not None]
    if _attribute(node, "axis") != 1 or len(inside) < max(2, len(casts)):
        return False
    kinds = {(_attribute(one, "to"), net.element(one.input[0])) for one in casts if one is not None}
    if len(kinds) != 1 or 0 in next(iter(kinds)) or not all(net.taken_once(name) for name in node.input):
        return False
    to, element = kinds.pop()
    width = sum(net.width(name) for name in inside) if all(net.width(name) for name in inside) else 0
    beside = net.draw(node.output[0], "Concat", inside, element=element, width=width, axis=1)
    net.redraw(node, "Cast", [beside], to=to)
    return True


def _concat_of_picks(net: Net, node: "onnx.NodeProto") -> bool:
    """Columns of one matrix that stand side by side are picked at once."""
    if _attribute(node, "axis") != 1:
        return False
    inputs: list[str] = []
    for source, some in groupby(node.input, partial(_source, net)):
        names = list(some)
        if source is None or len(names) == 1:
            inputs += names
            continue
        places = np.concatenate([_places(net, name) for name in names])
        held = net.hold(node.output[0], places)
        element = net.element(source)
        inputs.append(net.draw(node.output[0], "Gather", [source, held], element=element, width=len(places), axis=1))
    if len(inputs) == len(node.input):
        return False
    net.take(node, inputs)
    return True


def _source(net: Net, name: str) -> str | None:
    """The matrix that a value is columns of."""
    picked = _picked(net, net.maker(name, "Gather"))
    return None if picked is None or picked[1].ndim != 1 else picked[0]


def _places(net: Net, name: str) -> Places:
    picked = _picked(net, net.maker(name, "Gather"))
    return np.zeros(0, np.int64) if picked is None else picked[1]


# -- labels ----------------------------------------------------------------------------------------------------------


def _flat_lookup(net: Net, node: "onnx.NodeProto") -> bool:
    """A lookup in a list laid flat, or the place of each row's largest: as a vector from the start."""
    if not _is_flat(net, node):
        return False
    name = node.input[0]
    largest = net.maker(name, "ArgMax")
    if largest is not None and _rows_largest(net, largest) and _attribute(largest, "keepdims", 1) == 1:
        last = _attribute(largest, "select_last_index", 0)
        net.redraw(node, "ArgMax", [largest.input[0]], axis=1, keepdims=0, select_last_index=last)
        return True
    lookup = net.maker(name, "ArrayFeatureExtractor")
    if lookup is None or net.rank(lookup.input[0]) != 1 or net.constant(lookup.input[0]) is None:
        return False
    shape = node.input[1]
    places = net.draw(node.output[0], "Reshape", [lookup.input[1], shape], element=INT64, width=None)
    net.redraw(node, "Gather", [lookup.input[0], places], axis=0)
    return True


def _is_flat(net: Net, node: "onnx.NodeProto") -> bool:
    shape = net.constant(node.input[1])
    return shape is not None and shape.tolist() == [-1]


def _rows_largest(net: Net, node: "onnx.NodeProto") -> bool:
    return net.rank(node.input[0]) == 2 and _attribute(node, "axis", 0) in {1, -1}


def _name_of_place(net: Net, node: "onnx.NodeProto") -> bool:
    """A list of 0, 1, 2... gives for the place of a row's largest that place."""
    largest, names = net.maker(node.input[1], "ArgMax"), net.constant(node.input[0])
    if largest is None or names is None or not _rows_largest(net, largest):
        return False
    known = names.dtype == np.int64 and runs_from_zero(names) and len(names) == net.width(largest.input[0])
    return known and net.bypass(node, node.input[1])


def _abs_of_positive(net: Net, node: "onnx.NodeProto") -> bool:
    """What is never below zero is its own absolute value."""
    return net.maker(node.input[0], *NEVER_NEGATIVE) is not None and net.bypass(node, node.input[0])


def _attribute(node: "onnx.NodeProto", name: str, default: int = 0) -> int:
    """A whole number among the node's attributes."""
    return next((int(one.i) for one in node.attribute if one.name == name), default)


RULES: Mapping[str, Sequence[Rule]] = {
    "Abs": (_abs_of_positive,),
    "ArrayFeatureExtractor": (_columns_picked,),
    "Cast": (_cast_to_the_same, _cast_of_widened, _narrowed_at_once, _cast_of_looked_up),
    "Concat": (_concat_of_one, _concat_of_concats, _concat_of_picks, _concat_of_casts),
    "Identity": (_identity,),
    "Gather": (_pick_of_picked, _name_of_place),
    "Reshape": (_flat_lookup,),
}
