"""What a notebook uses: a bundle by its path, asked with rows or a DataFrame."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from aweigh.bundle.policy import policy_at, policy_of
from aweigh.bundle.trust import read_trust
from aweigh.bundle.verify import verify
from aweigh.errors import UsageError
from aweigh.runtime.load import load
from aweigh.runtime.predictor import Predictor
from aweigh.schema.check import check, check_rows

if TYPE_CHECKING:
    import pandas as pd

    from aweigh.schema import Schema
    from aweigh.table import Table


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A loaded bundle. It gives the very answers that the server gives."""

    predictor: Predictor

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.predictor.manifest.name

    @property
    def version(self) -> str:
        """The bundle's digest as people see it: 12 hex digits."""
        return self.predictor.version

    @property
    def schema(self) -> "Schema":
        """What the model takes and what it answers."""
        return self.predictor.schema

    @overload
    def predict(self, rows: "pd.DataFrame") -> "pd.DataFrame": ...
    @overload
    def predict(self, rows: Sequence[Mapping[str, object]] | Mapping[str, object]) -> list[dict[str, object]]: ...

    def predict(self, rows: object) -> object:
        """Answers for rows.

        A list of dicts (or one dict) gives a list of documents, as ``POST /v1/predict`` does. A DataFrame gives a
        DataFrame with the same index: a column for the answer, and one for each probability.

        Raises:
            InvalidRows: any cell, column or row that the schema refuses, all of them listed; or rows outside what the
                model has seen, where the bundle (or ``AWEIGH_DOMAIN``) refuses those.
            UsageError: neither rows nor a DataFrame.
        """
        if isinstance(rows, Mapping):
            return self._predict_rows([rows])
        if hasattr(rows, "columns") and hasattr(rows, "index"):
            return self._predict_frame(rows)  # type: ignore[arg-type]
        if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
            wrong = next((i for i, row in enumerate(rows) if not isinstance(row, Mapping)), None)
            if wrong is None:
                return self._predict_rows(rows)
            raise UsageError(
                f"Row {wrong} is a {type(rows[wrong]).__name__}.", hint="each row is a dict {column: value}"
            )
        raise UsageError(f"predict() was given a {type(rows).__name__}.", hint="give a list of dicts or a DataFrame")

    def _predict_rows(self, rows: "Sequence[Mapping[str, object]]") -> list[dict[str, object]]:
        return self.predictor.predict(self._within(check_rows(self.schema, rows))).documents()

    def _within(self, table: "Table") -> "Table":
        refuse = self.predictor.domain.compile_refusal()
        if refuse is not None:
            refuse(table)
        return table

    def _predict_frame(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        import pandas as pd

        from aweigh.table.frame import frame_to_table

        table, _ = frame_to_table(frame)
        names, cells = self.predictor.predict(self._within(check(self.schema, table))).flat()
        return pd.DataFrame(cells, columns=names, index=frame.index)


def load_model(path: os.PathLike[str] | str, *, trust: Path | str | None = None, threads: int = 1) -> Model:
    """Verifies a bundle, named by its path or as what ``aweigh.pack`` gave, and loads it.

    >>> aweigh.load("penguins-3f9c0a77b1d2.aweigh").predict({"island": "Biscoe"})  # doctest: +SKIP

    ``trust`` is a policy, a public key or a folder of them: whose signature it must bear (default: what
    ``AWEIGH_TRUST`` names). A bundle that runs its owner's Python needs one in any case, without a policy your own.
    ``threads`` is how many a call may use.

    Raises:
        DamagedBundle: a byte is not what the manifest says.
        UntrustedBundle: the signatures that are needed are not there.
        ConfigError: the policy says something that cannot be.
        MissingExtra: the library that serves it is not installed.
    """
    policy = policy_of(os.environ) if trust is None else read_trust(policy_at(trust, where="trust"))
    domain = os.environ.get("AWEIGH_DOMAIN", "")
    return Model(load(verify(path, trust=policy, to_load=True), threads=threads, domain=domain))
