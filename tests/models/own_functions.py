"""Functions as users write them, packed by their names: a number, a class, probabilities, several numbers."""

import numpy as np
import pandas as pd


def price(homes: pd.DataFrame) -> pd.Series:
    """A number for each row."""
    return 1000 + 0.01 * homes["income"].fillna(0) + 12.5 * homes["score"].fillna(0) - 3 * homes["member"].astype(int)


def size(homes: pd.DataFrame) -> np.ndarray:
    """A class of text for each row."""
    return np.where(homes["plan"].eq("pro") | (homes["age"].fillna(50) > 60), "large", "small")


size.classes = ["large", "small"]


def likely(homes: pd.DataFrame) -> pd.DataFrame:
    """The probability of each class."""
    share = 1 / (1 + np.exp(-homes["score"].fillna(0.0)))
    return pd.DataFrame({"yes": share, "no": 1 - share})


likely.classes = ["no", "yes"]


def several(homes: pd.DataFrame) -> pd.DataFrame:
    """Two numbers, one of them of the town's name."""
    return pd.DataFrame({"half": homes["ratio"] / 2, "letters": homes["city"].fillna("").str.len()})
