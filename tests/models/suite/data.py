"""Tables to train on and to ask about: every kind of column, by a seed, and every kind of label.

Each function gives a DataFrame of ``rows`` rows; another seed gives other rows of the same world. ``drift`` moves and
widens that world, for rows that a model has to answer without having seen their like.
"""

import numpy as np
import pandas as pd

CITIES = np.array(["Zürich", "São Paulo", "Köln", "København", "Łódź", "Paris", "New York", "東京"], dtype=object)
PLANS = np.array(["basic", "plus", "pro"], dtype=object)
WORDS = (
    "refund invoice payment late delivery broken screen battery charge great love terrible café naïve déjà-vu it's "
    "don't e-mail 24/7 size-XL price: £20 100% U.S.A. ÉCOLE straße co-op"
).split()


def _money(generator: np.random.Generator, rows: int, drift: float) -> np.ndarray:
    return np.round(generator.lognormal(9.5 + drift, 1.2, rows), 2)


def _holes(generator: np.random.Generator, cells: np.ndarray, share: float) -> np.ndarray:
    cells = cells.astype(object if cells.dtype == object else float)
    cells[generator.random(len(cells)) < share] = None if cells.dtype == object else np.nan
    return cells


def numbers(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Whole numbers, fractions, money, yes/no and single precision, nothing missing."""
    g = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": g.integers(18, 90 + int(20 * drift), rows),
            "income": _money(g, rows, drift),
            "score": g.normal(drift, 1 + drift, rows),
            "ratio": g.gamma(2.0, 1.0 + drift, rows).astype(np.float32),
            "member": g.random(rows) < 0.4,
        }
    )


def floats(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Four columns of doubles of size one, for models that would not stand others."""
    g = np.random.default_rng(seed)
    return pd.DataFrame(g.normal(drift, 1 + drift, (rows, 4)), columns=["a", "b", "c", "d"])


def positive(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Counts and amounts, none below zero."""
    g = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "visits": g.poisson(4 + 4 * drift, rows),
            "amount": np.round(g.gamma(2.0, 3.0 + drift, rows), 2),
            "share": g.random(rows),
            "hours": g.exponential(2.0 + drift, rows),
        }
    )


def gaps(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """The numbers with missing ones among the fractions, the money and the whole numbers."""
    g = np.random.default_rng(seed + 1)
    frame = numbers(rows, seed, drift)
    for name, share in (("age", 0.1), ("income", 0.1), ("score", 0.2)):
        frame[name] = _holes(g, frame[name].to_numpy(), share)
    return frame


def mixed(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Numbers and text of both kinds, with missing values in both."""
    g = np.random.default_rng(seed + 2)
    frame = gaps(rows, seed, drift)
    frame["plan"] = g.choice(PLANS, rows)
    frame["city"] = pd.Series(_holes(g, g.choice(CITIES, rows), 0.1), dtype="str")
    return frame


def complete(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """The mixed table without missing text."""
    frame = mixed(rows, seed, drift)
    return frame.assign(city=frame["city"].fillna("nowhere"))


def coded(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Numbers, two of them codes of kinds, one with gaps."""
    g = np.random.default_rng(seed)
    codes = g.integers(1, 9, rows).astype(float)
    codes[g.random(rows) < 0.15] = np.nan
    return gaps(rows, seed, drift).assign(shop=g.integers(100, 106, rows), code=codes)


def words(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Two columns of text with few kinds, one with missing cells, and a number of kinds written as whole numbers."""
    g = np.random.default_rng(seed)
    frame = pd.DataFrame({"plan": g.choice(PLANS, rows), "zone": g.integers(1, 6, rows)})
    frame["city"] = pd.Series(_holes(g, g.choice(CITIES, rows), 0.1), dtype="str")
    return frame


def kinds(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """Two columns of text with few kinds, nothing missing."""
    g = np.random.default_rng(seed)
    return pd.DataFrame({"plan": g.choice(PLANS, rows), "city": g.choice(CITIES, rows)})


def categorical(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """The mixed table with pandas' own categories for its text."""
    frame = mixed(rows, seed, drift)
    frame["plan"] = pd.Categorical(frame["plan"], categories=list(PLANS))
    frame["city"] = pd.Categorical(frame["city"], categories=sorted(CITIES))
    return frame


def objects(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """The mixed table as a program that appends to lists makes it: text in objects, None where missing."""
    frame = mixed(rows, seed, drift)
    for name in ("plan", "city"):
        cells = frame[name].to_numpy(dtype=object)
        frame[name] = pd.Series([None if cell != cell else cell for cell in cells], dtype=object)  # noqa: PLR0124  NaN
    return frame


def documents(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """One column of free text: sentences of one to twelve words with accents and punctuation."""
    g = np.random.default_rng(seed)
    texts = []
    for length in g.integers(1, 13, rows):
        text = " ".join(g.choice(WORDS, length))
        texts.append(text.upper() if g.random() < 0.1 else text)
    return pd.DataFrame({"text": texts})


def plain_documents(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """One column of free text in small letters of the alphabet."""
    g = np.random.default_rng(seed)
    known = [word for word in WORDS if word.isascii() and word.isalpha() and word.islower()]
    return pd.DataFrame({"text": [" ".join(g.choice(known, length)) for length in g.integers(2, 13, rows)]})


def one(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """A single column of numbers."""
    return floats(rows, seed, drift)[["a"]]


def wide(rows: int, seed: int, drift: float = 0.0) -> pd.DataFrame:
    """A thousand columns."""
    g = np.random.default_rng(seed)
    return pd.DataFrame(g.normal(drift, 1, (rows, 1000)), columns=[f"x{i}" for i in range(1000)])


def _hash(frame: pd.DataFrame) -> np.ndarray:
    """A number of about -2 to 2 for each row that its cells decide, whatever they are."""
    total = np.zeros(len(frame))
    for i, name in enumerate(list(frame.columns)[:12]):
        cells = frame[name]
        if cells.dtype.kind in "iufb":
            one = cells.to_numpy(dtype=float)
            one = np.where(np.isnan(one), np.nanmedian(one) if not np.isnan(one).all() else 0.0, one)
            spread = one.std() or 1.0
            total += (-1) ** i * (one - one.mean()) / spread
        else:
            text = cells.astype(object).map(lambda cell: str(cell), na_action=None)
            total += text.map(lambda cell: (sum(map(ord, cell)) % 7 - 3) / 3.0).to_numpy(dtype=float)
    noise = np.random.default_rng(len(frame)).normal(0, 0.4, len(frame))
    return total / np.sqrt(min(12, frame.shape[1])) + noise


def target(kind: str, frame: pd.DataFrame) -> np.ndarray:
    """What is to be learnt from a table: labels of some type, one number or several."""
    level = _hash(frame)
    three = np.digitize(level, np.quantile(level, [0.4, 0.7]))
    if kind == "text":
        return np.array(["high", "low", "mid"], dtype=object)[three]
    if kind == "integers":
        return np.array([3, 1, 7])[three]
    if kind == "yes/no":
        return three > 0
    if kind == "signs":
        return np.where(three > 0, 1, -1)
    if kind == "floats":
        return np.array([0.0, 2.0, 1.0])[three]
    if kind == "two":
        return np.array(["good", "bad"], dtype=object)[(three > 0).astype(int)]
    if kind == "number":
        return np.round(1000 + 100 * level, 2)
    if kind == "count":
        return np.random.default_rng(1).poisson(np.exp(np.clip(level, -2, 2)))
    if kind == "positive":
        return np.exp(np.clip(level, -2, 2))
    if kind == "numbers":
        return np.column_stack([level, level**2, -level])
    raise ValueError(kind)
