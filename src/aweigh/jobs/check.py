"""A look at the head of a file that was posted: what can be seen there is refused at once, not minutes later."""

import zlib
from pathlib import Path
from typing import cast

import msgspec

from aweigh.errors import AweighError, DataError, MalformedBody, UsageError
from aweigh.jobs.failing import in_http
from aweigh.jobs.job import Wish
from aweigh.runtime.rows_in import Rows, open_rows
from aweigh.runtime.rows_out import OutKind
from aweigh.runtime.score_plan import Wish as Carried
from aweigh.runtime.score_plan import plan_rows, plan_table
from aweigh.runtime.typed_head import check_typed
from aweigh.schema import Schema
from aweigh.table.files import HEAD_BYTES, FileKind, kind_of, open_bytes, suffix_kind

HEAD_ROWS = 100
MAX_WHOLE_BYTES = 16 * 2**20
"""A JSON document is read whole or not at all: a larger one is left to the worker."""

OUTPUT_OF: dict[FileKind, OutKind] = {
    "csv": "csv", "json": "jsonl", "jsonl": "jsonl", "parquet": "parquet", "arrow": "arrow",
}  # fmt: skip


def check_head(schema: Schema, path: Path, wish: Wish, *, named: bool) -> Wish:
    """The wish, its output that of the file's own kind if none was ``named``.

    Raises:
        DataError: the file is not of its kind, is empty, or its columns are not those that the model has or that are
            to be kept.
    """
    try:
        with open_bytes(path) as file:
            kind = kind_of(file.peek(HEAD_BYTES), named=suffix_kind(path))
            # Packed, it may be a thousand times as large, and this is the server's own memory.
            small = kind == "json" and len(file.read(MAX_WHOLE_BYTES + 1)) <= MAX_WHOLE_BYTES
            if kind in {"parquet", "arrow"}:
                # pyarrow, which reads the rows, costs more memory than the server itself: that is the worker's.
                check_typed(schema, file, kind, wish=Carried(wish.keep, wish.ignore_extra))
        if not named:
            wish = msgspec.structs.replace(wish, output=OUTPUT_OF[kind])
        if kind in {"csv", "jsonl"} or small:
            _check(schema, path, wish)
    except (OSError, EOFError, zlib.error) as error:
        raise MalformedBody("The gzip file is damaged.", hint="pack it anew") from error
    except UsageError as error:
        raise DataError(error.message, hint=in_http(error.hint)) from error
    except AweighError as error:
        error.hint = in_http(error.hint)
        raise
    return wish


def _check(schema: Schema, path: Path, wish: Wish) -> None:
    carried = Carried(wish.keep, wish.ignore_extra)
    with open_rows(path, chunk_rows=HEAD_ROWS, charset=wish.charset, delimiter=wish.delimiter) as rows_in:
        part = next(rows_in.parts)
        if rows_in.names is not None:
            plan_table(schema, rows_in.names, text=rows_in.kind == "csv", known=rows_in.known, wish=carried)
        else:
            plan_rows(schema, cast("Rows", part.given), part.unread, wish=carried)
