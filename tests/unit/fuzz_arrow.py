"""Damages Arrow streams in thousands of ways and reads each: only our own errors may come of it, and no crash.

Run as a program, with the number of streams: it prints what came of them, and ends with a traceback or a signal when
something else did.
"""

import datetime as dt
import decimal
import faulthandler
import io
import random
import sys
from collections import Counter

import pyarrow as pa

from aweigh.errors import DataError
from aweigh.table.arrow import read_arrow

TABLE = pa.table(
    {
        "kind": pa.array(["x", None, "y", "x", "zz"]).dictionary_encode(),
        "code": pa.array([5, 6, 5, 5, 5]).dictionary_encode(),
        "text": ["a", None, "é", "zz", ""],
        "large": pa.array(["a", None, "é", "zz", ""], pa.large_string()),
        "view": pa.array(["a", None, "é", "longer than twelve", ""], pa.string_view()),
        "null": pa.nulls(5),
        "number": [1.5, None, 2, 3, 4],
        "integer": pa.array([1, None, 3, 4, 5], pa.int16()),
        "flag": [True, None, False, True, True],
        "moment": pa.array([1_600_000_000_000] * 5, pa.timestamp("ms", "UTC")),
        "day": [dt.date(2020, 1, 1)] * 5,
        "price": [decimal.Decimal("1.5")] * 5,
    }
)
LENGTHS = (0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**32)


def written(new) -> bytes:
    out = io.BytesIO()
    with new(out, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=3)
    return out.getvalue()


def damaged(body: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(body) or 1)
    way = chance.random()
    if way < 0.5:
        body[at : at + 1] = bytes([chance.randrange(256)])
    elif way < 0.8:
        size = chance.choice((4, 8))
        number = chance.choice((*LENGTHS, chance.randrange(-1000, 1000))) & (1 << 8 * size) - 1
        body[at : at + size] = number.to_bytes(size, "little")
    elif way < 0.9:
        del body[at : at + chance.randrange(1, 9)]
    else:
        del body[at + 1 :]


def main() -> None:
    faulthandler.enable()
    chance = random.Random(20260131)
    seeds = [written(pa.ipc.new_stream), written(pa.ipc.new_file)]
    came: Counter[str] = Counter()
    count = int(sys.argv[1])
    for _ in range(count):
        body = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            damaged(body, chance)
        try:
            table = read_arrow(bytes(body), max_rows=1000)
        except DataError as error:
            came[type(error).__name__] += 1
        else:
            assert all(len(values.cells()) == table.rows for values in table.columns.values())
            came["read"] += 1
    sys.stdout.write(f"{count} streams: {dict(came)}\n")


if __name__ == "__main__":
    main()
