"""Answers as bytes of a fixed size, one piece a row, for a cache: the very bits go in and come out.

A piece holds numbers only. There is nothing in it to parse or to run; one that cannot be an answer of this model, of
another size or with a class that the model does not have, is refused.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.schema.answers import Answers
from aweigh.schema.column import Output


class RowForm:
    """How an answer of one model's output is laid out: little-endian, packed, ``size_bytes`` a row."""

    def __init__(self, output: Output) -> None:
        self._output = output
        fields: list[Any]
        if output.task == "class":
            fields = [("index", "<i8")]
            if output.probabilities:
                fields.append(("probabilities", "<f8", (len(output.classes),)))
        elif output.task == "cluster":
            fields = [("cluster", "<i8")]
        elif output.task == "outlier":
            fields = [("outlier", "u1")]
            if output.scores:
                fields.append(("scores", "<f8"))
        else:
            fields = [("values", "<f8", (1 if output.task == "number" else len(output.names),))]
        self._dtype = np.dtype(fields)
        self.size_bytes = self._dtype.itemsize

    @property
    def layout(self) -> str:
        """The layout in words: two that differ are never the same."""
        return f"{self._output.task} {self._dtype.descr}"

    def dump(self, answers: Answers) -> list[bytes]:
        """Each row's answer as bytes.

        Raises:
            ValueError: the answers are not of this output.
        """
        packed: NDArray[Any] = np.empty(answers.rows, dtype=self._dtype)
        for name in self._dtype.names or ():
            part = getattr(answers, name)
            if part is None or part.shape != packed[name].shape:
                msg = f"answers without {name}, or of another shape"
                raise ValueError(msg)
            packed[name] = part
        whole, size = packed.tobytes(), self.size_bytes
        return [whole[i : i + size] for i in range(0, len(whole), size)]

    def load(self, pieces: Sequence[bytes]) -> Answers:
        """The answers of rows, one piece each.

        Raises:
            ValueError: a piece that is no answer of this output.
        """
        whole = b"".join(pieces)
        if any(len(piece) != self.size_bytes for piece in pieces):
            msg = "an answer of another size"
            raise ValueError(msg)
        packed = np.frombuffer(whole, dtype=self._dtype)
        parts: dict[str, Any] = {name: np.ascontiguousarray(packed[name]) for name in self._dtype.names or ()}
        if "index" in parts and not ((parts["index"] >= 0) & (parts["index"] < len(self._output.classes))).all():
            msg = "a class that the model does not have"
            raise ValueError(msg)
        if "outlier" in parts:
            if (parts["outlier"] > 1).any():
                msg = "a flag that is neither true nor false"
                raise ValueError(msg)
            parts["outlier"] = parts["outlier"].astype(bool)
        return Answers(self._output, len(pieces), **parts)

    def is_sound(self, piece: bytes) -> bool:
        """Whether the bytes can be an answer of this output."""
        try:
            self.load([piece])
        except ValueError:
            return False
        return True
