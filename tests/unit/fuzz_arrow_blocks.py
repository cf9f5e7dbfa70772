"""Damages Arrow streams that are read in blocks: what the patient reader says of each, the quick one must say.

Run as a program, with the number of streams: it prints what came of them, and ends with a traceback or a signal when
something else did.
"""

import faulthandler
import io
import random
import sys
from collections import Counter

import pyarrow as pa
from fuzz_arrow import damaged

from aweigh.errors import DataError
from aweigh.schema import Column, Output, Schema
from aweigh.schema.check import check
from aweigh.schema.decode_arrow import compile_arrow
from aweigh.table import Table
from aweigh.table.arrow import read_arrow
from aweigh.table.blocks import Blocks

LONG = ["a", None, "é", "longer than twelve", ""]
TABLE = pa.table(
    {
        "kind": pa.array(["x", None, "y", "x", "zz"] * 3).dictionary_encode(),
        "text": pa.array(["a", None, "é", "zz", ""] * 3),
        "large": pa.array(LONG * 3, pa.large_string()),
        "view": pa.array(LONG * 3, pa.string_view()),
        "number": pa.array([1.5, None, 2, 3, 4] * 3),
        "single": pa.array([1.5, None, 2, 3, 4] * 3, pa.float32()),
        "integer": pa.array([1, None, 3, 4, 5] * 3, pa.int16()),
        "flag": pa.array([True, None, False, True, True] * 3),
        "moment": pa.array([1_600_000_000_000] * 15, pa.timestamp("ms", "UTC")),
    }
)
TYPES = {"number": "number", "single": "number", "integer": "integer", "flag": "boolean", "moment": "datetime"}
SCHEMA = Schema(
    columns=tuple(
        Column(name=name, type=TYPES.get(name, "text"), dtype="float32" if name == "single" else "str", nullable=True)
        for name in TABLE.column_names
    ),
    output=Output(task="number", name="y"),
)
MAX_ROWS = 1000


def written(new) -> bytes:
    out = io.BytesIO()
    with new(out, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=10)
    return out.getvalue()


def told(read, body: bytes) -> object:
    try:
        table = read(body)
    except DataError as error:
        return type(error), str(error)
    assert isinstance(table, Table)
    # Not the cells themselves: NaN is unlike itself.
    return [(name, repr(values.cells()), str(values.data.dtype)) for name, values in table.columns.items()]


def main() -> None:
    faulthandler.enable()
    chance = random.Random(20260131)
    seeds = [written(pa.ipc.new_stream), written(pa.ipc.new_file)]
    quick = compile_arrow(SCHEMA, max_rows=MAX_ROWS)
    came: Counter[str] = Counter()
    count = int(sys.argv[1])
    for _ in range(count):
        body = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            damaged(body, chance)
        said = told(quick, bytes(body))
        assert said == told(lambda body: check(SCHEMA, read_arrow(body, max_rows=MAX_ROWS)), bytes(body)), body
        if isinstance(said, tuple):
            came[said[0].__name__] += 1
        else:
            came["in blocks" if isinstance(quick(bytes(body)).columns, Blocks) else "patiently"] += 1
    sys.stdout.write(f"{count} streams: {dict(came)}\n")


if __name__ == "__main__":
    main()
