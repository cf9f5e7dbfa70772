"""Where a served answer is most likely to be another: odd names, odd types, ties, columns in which nothing happens."""

# ruff: noqa: E501  a case a line: it reads as a table

import numpy as np
import pandas as pd
import sklearn.ensemble as ens
import sklearn.impute as imp
import sklearn.linear_model as lm
import sklearn.neighbors as nn
import sklearn.pipeline as pipe
import sklearn.preprocessing as pre
import sklearn.tree as tree
from sklearn.compose import make_column_selector, make_column_transformer

from suite.case import Case
from suite.data import mixed
from suite.preparing import scaled

TEXT = ["plan", "city"]
BIG = 2**53


def _one_hot(estimator):
    """One-hot columns of everything that is not a real number, whatever it is."""
    return pipe.make_pipeline(
        make_column_transformer(
            (pre.OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude=["float"])),
            remainder="passthrough",
            sparse_threshold=0,
        ),
        estimator,
    )


def grid(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Few whole numbers: neighbours, distances, votes and leaves tie all the time."""
    g = np.random.default_rng(seed)
    return pd.DataFrame(g.integers(0, 4 + int(4 * drift), (rows, 3)), columns=["a", "b", "c"])


def truths(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Booleans, as they are, with missing ones among them, and as words; codes as numbers with and without gaps."""
    g = np.random.default_rng(seed)
    frame = pd.DataFrame({"plain": g.random(rows) < 0.5, "word": g.choice(["True", "False"], rows)})
    gappy = (g.random(rows) < 0.5).astype(object)
    gappy[g.random(rows) < 0.2] = np.nan
    frame["gappy"] = pd.Series(gappy, dtype=object)
    codes = g.integers(1, 5, rows).astype(float)
    codes[g.random(rows) < 0.2] = np.nan
    return frame.assign(code=codes, digits=g.choice(["1", "2", "3.0", "nan"], rows), amount=g.normal(size=rows))


def identities(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Whole numbers that doubles cannot tell apart."""
    g = np.random.default_rng(seed)
    return pd.DataFrame({"account": BIG + g.integers(0, 6, rows), "size": g.normal(drift, 1, rows)})


def named(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """The mixed table under names that no program would choose, some of them alike once they are cleaned."""
    frame = mixed(rows, seed, drift)
    names = ["Alter (Jahre)", "income.net", "income net", "größe", "a'b\"c", "plan: x/y", "город"]
    return frame.set_axis(names, axis=1)


def still(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """A constant, an empty column, a column that is nearly empty, and one of numbers."""
    g = np.random.default_rng(seed)
    rare = np.full(rows, np.nan)
    rare[: max(rows // 50, 3)] = g.normal(size=max(rows // 50, 3))
    return pd.DataFrame(
        {"same": np.full(rows, 3.0), "rare": rare, "amount": g.normal(drift, 1, rows), "kind": ["x"] * rows}
    )


def times(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Days as text, as people keep them in CSV files, and a number."""
    g = np.random.default_rng(seed)
    days = np.datetime64("2024-01-01") + g.integers(0, 20, rows)
    return pd.DataFrame({"day": pd.Series(np.datetime_as_string(days), dtype="str"), "amount": g.normal(size=rows)})


def tiny(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Numbers as small and as large as they come, and zeros of both signs."""
    g = np.random.default_rng(seed)
    small = g.choice([0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e-40, 1e-8], rows)
    return pd.DataFrame(
        {"small": small, "large": g.choice([1e15, 1e15 + 0.125, -1e15, 1e30], rows), "usual": g.normal(size=rows)}
    )


def letters(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Categories that look alike: spaces, cases, accents in one and in two characters, words for nothing, none at all."""
    g = np.random.default_rng(seed)
    alike = ["Zürich", "Zu\u0308rich", "zürich", "Zürich ", "", " ", "nan", "None", "NA", "null", "0", "x" * 400]
    return pd.DataFrame({"alike": g.choice(np.array(alike, dtype=object), rows), "amount": g.normal(size=rows)})


def void(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """A number, a column of numbers and one of text without any value."""
    g = np.random.default_rng(seed)
    none = pd.Series([None] * rows, dtype=object)
    return pd.DataFrame({"amount": g.normal(drift, 1, rows), "empty": np.full(rows, np.nan), "blank": none})


def shuffled_columns(model, frame, y):
    """Fitted on the columns in another order than the sample's."""
    return model.fit(frame[list(reversed(frame.columns))], y)


def _empty_dropped(model, frame, y):
    return _one_hot(ens.HistGradientBoostingClassifier(max_iter=5, random_state=0)).fit(frame, y)


# fmt: off
odd = [
    Case("ties: RandomForestClassifier", grid, "text", lambda: ens.RandomForestClassifier(10, random_state=0)),
    Case("ties: RandomForestClassifier, leaves of thirds", grid, "two", lambda: ens.RandomForestClassifier(12, min_samples_leaf=3, random_state=0)),
    Case("ties: ExtraTreesClassifier", grid, "integers", lambda: ens.ExtraTreesClassifier(10, max_depth=3, random_state=0)),
    Case("ties: KNeighborsClassifier", grid, "text", lambda: nn.KNeighborsClassifier(4)),
    Case("ties: KNeighborsRegressor", grid, "number", lambda: nn.KNeighborsRegressor(3)),
    Case("ties: AdaBoostClassifier", grid, "text", lambda: ens.AdaBoostClassifier(n_estimators=6, random_state=0)),
    Case("ties: BaggingClassifier", grid, "two", lambda: ens.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=2), 6, random_state=0)),
    Case("booleans, codes and digits", truths, "two", lambda: _one_hot(ens.HistGradientBoostingClassifier(max_iter=8, random_state=0))),
    Case("whole numbers beyond 2^53", identities, "two", lambda: _one_hot(lm.LogisticRegression())),
    Case("whole numbers beyond 2^53, trees", identities, "two", lambda: tree.DecisionTreeClassifier(random_state=0)),
    Case("names that nobody would choose", named, "text", lambda: _one_hot(ens.HistGradientBoostingClassifier(max_iter=8, random_state=0))),
    Case("columns in another order", mixed, "two", lambda: _one_hot(ens.HistGradientBoostingClassifier(max_iter=8, random_state=0)), fit=shuffled_columns),
    Case("columns in which nothing happens", still, "two", lambda: None, fit=_empty_dropped),
    Case("columns without any value", void, "two", lambda: pipe.make_pipeline(make_column_transformer((imp.SimpleImputer(), ["amount", "empty"]), (pre.OneHotEncoder(), ["blank"])), lm.LogisticRegression()), slow=True),
    Case("columns without any value, kept", void, "two", lambda: pipe.make_pipeline(make_column_transformer((imp.SimpleImputer(keep_empty_features=True), ["amount", "empty"])), lm.LogisticRegression())),
    Case("a sample of one row", mixed, "two", lambda: _one_hot(ens.HistGradientBoostingClassifier(max_iter=8, random_state=0)), shown=1),
    Case("days as text", times, "two", lambda: _one_hot(lm.LogisticRegression())),
    Case("denormals, zeros of both signs, 1e30", tiny, "two", lambda: tree.DecisionTreeClassifier(random_state=0)),
    Case("denormals behind a scaler", tiny, "number", lambda: scaled(lm.Ridge())),
    Case("text that looks alike", letters, "text", lambda: _one_hot(lm.LogisticRegression())),
    Case("two classes of one row each", grid, "two", lambda: lm.LogisticRegression(), rows=12),
]
# fmt: on
