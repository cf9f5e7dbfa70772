"""Replies of ``/v1/predict``: answers and warnings as JSON, CSV or Arrow, with the headers that go before them."""

from collections.abc import Callable, Sequence

import msgspec

from aweigh.errors import Problem
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output
from aweigh.server.media import ARROW_STREAM, Kind
from aweigh.server.ulid import ulid
from aweigh.table import write_csv

Headers = list[tuple[bytes, bytes]]
Reply = tuple[Headers, bytes]

CSV_OUT = b"text/csv; charset=utf-8; header=present"

_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


class Replies:
    """How the answers of one model are written: what does not change from reply to reply is written beforehand."""

    def __init__(self, output: Output, *, name: str, version: str) -> None:
        self._output = output
        self._model = _encode({"name": name, "version": version})
        self._model_header = f"{name}@{version}".encode()

    def write(self, wanted: Kind, answers: Answers, warnings: Sequence[Problem]) -> Reply:
        """Headers and body of the reply."""
        if wanted == "json":
            return self._json(answers, warnings)
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

    def _json(self, answers: Answers, warnings: Sequence[Problem]) -> Reply:
        body = b'{"id":"%b","model":%b,"predictions":%b,"warnings":%b}' % (
            ulid().encode(),
            self._model,
            _encode(answers.documents()),
            _encode([one.document() for one in warnings]) if warnings else b"[]",
        )
        return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], body
