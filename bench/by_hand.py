"""Score a file as one would by hand: ``by_hand.py pandas|pyarrow MODEL DATA OUT``, in parts, in constant memory.

Reading, the model's own ``predict`` and ``predict_proba``, and writing; no checks, no bad rows, nothing else.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS = 100_000


def answered(model: Any, frame: Any) -> Any:
    """The frame with the answers beside its columns."""
    probabilities = model.predict_proba(frame)
    more = {f"probability_{one}": probabilities[:, i] for i, one in enumerate(model.classes_)}
    return frame.assign(label=model.classes_[probabilities.argmax(axis=1)], **more)


def with_pandas(model: Any, data: Path, out: Path) -> None:
    """CSV to CSV, as the first answer on any forum has it."""
    import pandas as pd

    with out.open("w", encoding="utf-8") as sink:
        for i, frame in enumerate(pd.read_csv(data, chunksize=ROWS)):
            answered(model, frame).to_csv(sink, index=False, header=i == 0)


def with_pyarrow(model: Any, data: Path, out: Path) -> None:
    """CSV or Parquet with the fastest reader and writer that there is."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    writer: Any = None
    for frame in _frames(data):
        table = pa.Table.from_pandas(answered(model, frame), preserve_index=False)
        if writer is None:
            make = pyarrow.csv.CSVWriter if data.suffix == ".csv" else pyarrow.parquet.ParquetWriter
            writer = make(out, table.schema)
        writer.write_table(table)
    writer.close()


def _frames(data: Path) -> Iterator[Any]:
    import pyarrow.csv
    import pyarrow.parquet

    if data.suffix == ".csv":
        # Blocks of about as many rows as pandas' chunks.
        options = pyarrow.csv.ReadOptions(block_size=16 * 2**20)
        texts = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
        batches = iter(pyarrow.csv.open_csv(data, read_options=options, convert_options=texts))
    else:
        batches = pyarrow.parquet.ParquetFile(data).iter_batches(ROWS)
    for batch in batches:
        yield batch.to_pandas()


if __name__ == "__main__":
    import joblib

    way, model_path, data_path, out_path = sys.argv[1:]
    score = {"pandas": with_pandas, "pyarrow": with_pyarrow}[way]
    score(joblib.load(model_path), Path(data_path), Path(out_path))
