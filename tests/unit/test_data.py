"""The data that travels with the package is whole and reads as its README says."""

import csv
from collections import Counter

from aweigh.data import penguins_path


def test_penguins_have_their_usual_columns_and_counts():
    with penguins_path().open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "species", "island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex", "year",
    ]  # fmt: skip
    assert Counter(row["species"] for row in rows) == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    missing = Counter(column for row in rows for column, cell in row.items() if cell == "")
    assert missing == {"sex": 11, "bill_length_mm": 2, "bill_depth_mm": 2, "flipper_length_mm": 2, "body_mass_g": 2}


def test_the_source_and_licence_travel_with_the_data():
    readme = penguins_path().with_name("README.md").read_text(encoding="utf-8")
    assert "10.1371/journal.pone.0090081" in readme
    assert "CC0" in readme
