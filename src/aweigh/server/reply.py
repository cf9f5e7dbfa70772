"""Replies of ``/v1/predict``: answers and warnings as JSON, CSV or Arrow, with the headers that go before them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import starmap

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.errors import Problem
from aweigh.schema.answers import Answers, class_key
from aweigh.schema.column import Output
from aweigh.server.media import ARROW_STREAM, Kind
from aweigh.server.ulid import ulid
from aweigh.table import write_csv
from aweigh.table.distinct import one_of_equals

Headers = list[tuple[bytes, bytes]]
Reply = tuple[Headers, bytes]

FEW_ROWS = 4
"""Up to here rows are made one by one."""

MANY_ROWS, MOST_NUMBERS = 256, 4
"""From so many rows on, of at most so many numbers each, it is seen whether many are answered alike: trees give few
answers, a forest of 100 for two classes at most 101."""

TRIED, FEW_ALIKE = 64, 8
"""Where of the first so many not even so many repeat another's, all are taken to be different."""

JSON_OUT = (b"content-type", b"application/json")
CSV_OUT = b"text/csv; charset=utf-8; header=present"

_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


def compile_documents(output: Output) -> Callable[[Answers], Sequence[object]]:
    """A function from answers to what ``Answers.documents`` says of them, as msgspec writes it quickest.

    That is as objects of a class made for this output; where it has names that msgspec does not take (a quote, two
    classes of one name), as the documents themselves.
    """
    try:
        if output.task == "class" and output.probabilities:
            return _class_documents(output)
        if output.task in {"numbers", "transform"}:
            return _value_documents(output.names)
        if output.task == "number":
            return _number_documents()
    except ValueError:
        pass
    return Answers.documents


def _class_documents(output: Output) -> Callable[[Answers], Sequence[object]]:
    label_of = output.classes.__getitem__
    labels: NDArray[np.object_] = np.empty(len(output.classes), dtype=object)
    labels[:] = output.classes
    chances = _struct([class_key(one) for one in output.classes])
    document = msgspec.defstruct("Document", ["label", "probabilities"], gc=False)

    def documents(answers: Answers) -> Sequence[object]:
        if answers.index is None or answers.probabilities is None:
            return answers.documents()
        few = answers.rows <= FEW_ROWS
        names = map(label_of, answers.index.tolist()) if few else labels[answers.index].tolist()
        return list(map(document, names, _objects(chances, answers.probabilities)))

    return documents


def _value_documents(names: tuple[str, ...]) -> Callable[[Answers], Sequence[object]]:
    numbers = _struct(names)
    document = msgspec.defstruct("Document", ["values"], gc=False)

    def documents(answers: Answers) -> Sequence[object]:
        if answers.values is None:
            return answers.documents()
        return list(map(document, _objects(numbers, answers.values)))  # what is not finite is written null

    return documents


def _number_documents() -> Callable[[Answers], Sequence[object]]:
    document = msgspec.defstruct("Document", ["value"], gc=False)

    def documents(answers: Answers) -> Sequence[object]:
        if answers.values is None:
            return answers.documents()
        return list(map(document, answers.values[:, 0].tolist()))

    return documents


def _objects(make: Callable[..., object], numbers: NDArray[np.float64]) -> Iterable[object]:
    """An object of each row: by row, or where there are many by column, which makes no list a row."""
    if len(numbers) <= FEW_ROWS:
        return starmap(make, numbers.tolist())
    return map(make, *numbers.T.tolist())


def _struct(names: Sequence[str]) -> Callable[..., object]:
    """A class of objects with such fields in this order.

    Raises:
        ValueError: msgspec does not take the names.
    """
    if len(set(names)) < len(names):
        msg = "two fields of one name"
        raise ValueError(msg)
    fields = [(f"f{i}", object, msgspec.field(name=name)) for i, name in enumerate(names)]
    return msgspec.defstruct("Fields", fields, gc=False)


class Replies:
    """How the answers of one model are written: what does not change from reply to reply is written beforehand."""

    def __init__(self, output: Output, *, name: str, version: str) -> None:
        self._documents = compile_documents(output)
        self._model = _encode({"name": name, "version": version})
        self._model_header = f"{name}@{version}".encode()

    def write(self, wanted: Kind, answers: Answers, warnings: Sequence[Problem]) -> Reply:
        """Headers and body of the reply."""
        if wanted == "json":
            body = self.json(answers, warnings)
            return [JSON_OUT, (b"content-length", b"%d" % len(body))], body
        if wanted == "csv":
            media, body = CSV_OUT, write_csv(*answers.flat()).encode()
        else:
            from aweigh.table.arrow_write import write_arrow

            columns = answers.columns()
            media, body = ARROW_STREAM.encode(), write_arrow(list(columns), list(columns.values()))
        headers = [
            (b"content-type", media),
            (b"content-length", b"%d" % len(body)),
            (b"x-aweigh-id", ulid().encode()),
            (b"x-aweigh-model", self._model_header),
            (b"x-aweigh-warnings", b"%d" % len(warnings)),
        ]
        return headers, body

    def json(self, answers: Answers, warnings: Sequence[Problem]) -> bytes:
        """The body of a reply in JSON."""
        return b'{"id":"%b","model":%b,"predictions":%b,"warnings":%b}' % (
            ulid().encode(),
            self._model,
            _encode(self._documents(answers)) if answers.rows < MANY_ROWS else self._written(answers),
            _encode([one.document() for one in warnings]) if warnings else b"[]",
        )

    def _written(self, answers: Answers) -> bytes:
        """The answers to many rows as a list in JSON; what is said of many of them is written once."""
        found = _alike(answers)
        if found is None:
            return _encode(self._documents(answers))
        heads, chosen = found
        texts: NDArray[np.object_] = np.empty(answers.rows, dtype=object)
        texts[heads] = [_encode(one) for one in self._documents(answers.take(heads))]
        return b"[%b]" % b",".join(texts.take(chosen).tolist())


def _alike(answers: Answers) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Rows of which each says what many do, and for each row which of those; None where few are answered alike."""
    numbers = answers.values if answers.probabilities is None else answers.probabilities
    if numbers is None or numbers.shape[1] > MOST_NUMBERS:
        return None
    if len(set(numbers[:TRIED, 0].tolist())) > TRIED - FEW_ALIKE:
        return None
    columns = [np.ascontiguousarray(one).view(np.uint64) for one in numbers.T]
    return one_of_equals(columns if answers.index is None else [*columns, answers.index.view(np.uint64)])
