"""A file scored in several runs is byte for byte the file of one run, wherever each of them broke off."""

import io

import pandas as pd
import pytest
from tests.partly import partly_slow

from aweigh import load
from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.runtime import rows_out
from aweigh.runtime.score import ScoreOptions, score
from aweigh.runtime.score_on import HAS_FOOTER, NotTheSame, Sofar, Streams, score_on

PART_ROWS = 50


class Counting:
    """A predictor that counts the rows it is asked for."""

    def __init__(self, predictor) -> None:
        self._predictor = predictor
        self.rows = 0

    def __getattr__(self, name):
        return getattr(self._predictor, name)

    def predict(self, table):
        self.rows += table.rows
        return self._predictor.predict(table)


class Broken(Exception):
    pass


@pytest.fixture(scope="module")
def predictor(penguins):
    return load(penguins.path).predictor


@pytest.fixture(scope="module")
def frame():
    """Return rows with some that are bad, some missing, cells in quotes, and columns of many types beside."""
    found = pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]]
    found["note"] = [f'"{i}", {chr(955)}' if i % 7 else None for i in range(len(found))]
    found["kind"] = pd.Categorical([f"k{i // 60}" for i in range(len(found))])
    found["moment"] = pd.date_range("2024-01-01", periods=len(found), freq="h")
    found["flag"] = [bool(i % 3) for i in range(len(found))]
    found.loc[[3, 60, 61, 200, 343], "island"] = None
    return found


def with_bad(frame, name):
    if name.endswith((".parquet", ".arrow")):
        return frame
    found = frame.astype({"bill_length_mm": object})
    found.loc[[3, 120, 121, 340], "bill_length_mm"] = "long"
    return found


def write_jsonl(frame, path):
    lines = frame.to_json(orient="records", lines=True, date_format="iso").splitlines()
    lines[130] = "[1]"
    path.write_text("\n".join(lines))


WRITE = {
    "in.csv": lambda frame, path: frame.to_csv(path, index=False),
    "mark.csv": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n"),
    "in.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "in.parquet": lambda frame, path: frame.to_parquet(path, index=False, row_group_size=70),
    "in.arrow": lambda frame, path: frame.to_feather(path, compression="zstd"),
    "in.json": lambda frame, path: frame.to_json(path, orient="records", date_format="iso"),
    "in.jsonl": write_jsonl,
}


def options_for(kind, bad_path):
    return ScoreOptions(ignore_extra=True, force=True, kind=kind, bad_path=bad_path, chunk_rows=PART_ROWS)


def in_runs(predictor, source, kind, stops):
    """Score in runs that break off after so many parts each; what comes of it, and what is told of bad rows.

    A run that broke off leaves some bytes more than it has told of, as a killed one would.
    """
    done, kept, parts = Sofar(), {"out": b"", "bad": b"", "log": b""}, 0
    for stop in (*stops, None):
        has_footer = kind in HAS_FOOTER
        held = {name: io.BytesIO(b"" if name == "out" and has_footer else content) for name, content in kept.items()}
        for stream in held.values():
            stream.seek(0, io.SEEK_END)
        parts = 0

        def on_part(sofar, _total, *, held=held, stop=stop):
            nonlocal done, kept, parts
            parts += 1
            done, kept = sofar, {name: stream.getvalue()[: stream.tell()] for name, stream in held.items()}
            if parts == stop:
                raise Broken

        streams = Streams(held["out"], held["bad"], held["log"] if has_footer else None)
        try:
            last = score_on(predictor, source, streams, options=options_for(kind, None), done=done, on_part=on_part)
        except Broken:
            continue
        return last, held["out"].getvalue(), held["bad"].getvalue()
    raise AssertionError


@pytest.mark.parametrize("stops", partly_slow((2, 1, 3), (1,) * 6, slow=[(1,), (6,)]), ids=str)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("name", WRITE)
def test_several_runs_write_the_bytes_of_one(name, kind, stops, predictor, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_out, "GROUP_BYTES", 12_000)
    source, out, bad = tmp_path / name, tmp_path / "out", tmp_path / "bad"
    WRITE[name](with_bad(frame, name), source)
    scored = score(predictor, source, out, options=options_for(kind, bad))
    counting = Counting(predictor)
    last, answers, told = in_runs(counting, source, kind, stops)
    assert answers == out.read_bytes()
    assert told == (bad.read_bytes() if scored.bad else b"")
    assert (last.rows, last.bad, last.problems) == (344, scored.bad, scored.problems)
    assert counting.rows == scored.good, "the model was asked again for what was done"


def test_what_does_not_fit_is_not_gone_on_with(predictor, frame, tmp_path):
    source = tmp_path / "in.csv"
    frame.to_csv(source, index=False)
    for rows, kind, log in ((70, "csv", None), (1000, "csv", None), (50, "parquet", b"no log at all")):
        streams = Streams(io.BytesIO(), io.BytesIO(), io.BytesIO(log) if log else None)
        if streams.log is not None:
            streams.log.seek(0, io.SEEK_END)
        with pytest.raises(NotTheSame):
            score_on(
                predictor, source, streams, options=options_for(kind, None), done=Sofar(rows), on_part=lambda *_: None
            )
