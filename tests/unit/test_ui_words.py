"""Words and figures as people read them, and the colours that they are written in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.errors import ConfigError
from aweigh.schema import Column
from aweigh.ui.words import exact, figure, human, label_of, listing, percent, plain, range_text, split_unit, unit_of
from aweigh.wire import palette

NARROW = "\u202f"


@pytest.mark.parametrize(
    ("name", "label", "unit"),
    [
        ("bill_length_mm", "Bill length", "mm"),
        ("body_mass_g", "Body mass", "g"),
        ("sepal length (cm)", "Sepal length", "cm"),
        ("oven_temp_c", "Oven temp", "°C"),
        ("discount_pct", "Discount", "%"),
        ("vitamin_c", "Vitamin c", None),
        ("size_m", "Size m", None),
        ("hours", "Hours", None),
        ("meanBMI", "Mean BMI", None),
        ("MONTHLY_CHARGE_USD", "Monthly charge", "USD"),
        ("AGE", "AGE", None),
        ("é_ß", "É ß", None),
    ],
)
def test_a_columns_name_is_made_human_and_its_unit_found(name, label, unit):
    assert split_unit(name) == (label, unit)


def test_text_has_no_unit_and_the_owner_is_believed():
    text = Column(name="notes_mm", type="text", dtype="str")
    assert (label_of(text), unit_of(text)) == ("Notes mm", None)
    told = Column(name="bl_mm", type="number", dtype="float64", title="Bill", unit="millimetres")
    assert (label_of(told), unit_of(told)) == ("Bill", "millimetres")
    described = Column(name="bl", type="number", dtype="float64", description="Length of the bill.")
    assert label_of(described) == "Length of the bill"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4207.31, "4,207"),
        (0.034129, "0.03413"),
        (12.0, "12"),
        (-3.25, "\u22123.25"),
        (0.0, "0"),
        (2.9e-8, "2.9 × 10\u207b\u2078"),
        (1.5e20, "1.5 × 10\u00b2\u2070"),
        (float("nan"), "no number"),
    ],
)
def test_a_number_gets_the_digits_that_it_deserves(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(2008, None, "2008"), (12500, None, "12,500"), (44.5, 1, "44.5"), (44.55, 1, "44.55"), (3.0, None, "3")],
)
def test_a_cell_is_written_with_every_digit_it_has(value, decimals, text):
    assert exact(value, decimals=decimals) == text


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [(1.0, 0, "100"), (0.0, 0, "0"), (0.9999, 0, ">99"), (0.0001, 0, "<1"), (0.5051, 1, "50.5"), (0.98, 0, "98")],
)
def test_a_share_is_whole_only_when_it_is(share, decimals, text):
    assert percent(share, decimals=decimals) == f"{text}{NARROW}%"


@given(st.floats(0, 1))
def test_a_share_that_is_neither_none_nor_all_never_reads_so(share):
    said = percent(share).removesuffix(f"{NARROW}%")
    assert (said == "100") == (share == 1.0)
    assert (said == "0") == (share == 0.0)


def test_names_in_a_sentence():
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(list("abcdef")) == "a, b, c and 3 more"


def test_markdown_in_a_name_stays_text():
    assert plain("a *b* [c](d) :red[e] $x$ <i>") == r"a \*b\* \[c\](d) \:red\[e\] \$x\$ \<i>"
    assert plain("_a_b_ &lt; http://x 1) - ~~c~~") == r"\_a_b\_ \&lt; http\://x 1) - \~\~c\~\~"
    for text in ("Bill length (mm), 1.5 %", "Hard to tell: a or b", "a_b", "x < 3 & y > 4", "2 - 3"):
        assert plain(text) == text
    assert plain("# no heading\nno second line") == r"\# no heading no second line"


def test_an_observed_range_in_words():
    column = Column(name="x", type="number", dtype="float64", minimum=32.1, maximum=59.6, decimals=1)
    assert range_text(column) == "32.1 to 59.6"
    assert range_text(Column(name="x", type="number", dtype="float64")) is None
    days = Column(name="d", type="date", dtype="datetime64[us]", minimum="2020-01-01", maximum="2020-02-01")
    assert range_text(days) == "2020-01-01 to 2020-02-01"


def test_an_empty_name_is_still_a_name():
    assert human("_") == "_"


@given(st.integers(0, 0xFFFFFF))
def test_any_accent_is_readable_in_both_themes(number):
    accent = f"#{number:06x}"
    for theme in (palette.light(accent), palette.dark(accent)):
        for ground in (theme.ground, theme.panel, theme.tint):
            assert palette.contrast(theme.accent, ground) >= palette.READABLE, (accent, theme)
        assert palette.contrast(theme.on_accent, theme.accent) >= palette.READABLE, (accent, theme)


@pytest.mark.parametrize("theme", [palette.light(), palette.dark()])
def test_the_greys_and_the_warnings_are_readable(theme):
    for text in (theme.text, theme.quiet):
        for ground in (theme.ground, theme.panel):
            assert palette.contrast(text, ground) >= palette.READABLE
    assert palette.contrast(theme.amber, theme.amber_ground) >= palette.READABLE
    assert palette.contrast(theme.red, theme.red_ground) >= palette.READABLE
    assert palette.contrast(theme.edge, theme.ground) >= 3  # what bounds an input (WCAG 1.4.11)


def test_contrast_is_wcags():
    assert palette.contrast("#000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


def test_what_is_no_colour_is_refused():
    with pytest.raises(ConfigError, match="no colour"):
        palette.light("red; }")
