"""Personal columns are found in a labelled table of real forms, and near misses of each are not; figures are held."""

import random
import string
import sys
import uuid

import numpy as np
import pandas as pd
import pytest
from tests.partly import partly_slow

from aweigh.data import penguins_path
from aweigh.schema.infer import infer_columns
from aweigh.schema.personal import find_personal, kind_of_name
from aweigh.schema.personal_forms import (
    IBAN_LENGTHS,
    holds_one,
    is_card,
    is_email,
    is_iban,
    is_link,
    is_network,
    is_phone,
    is_ssn,
    luhn,
)
from aweigh.schema.personal_words import FIRST_NAMES
from aweigh.table.frame import frame_to_table

ROWS = 400
FIRST = sorted(FIRST_NAMES)
LAST = (
    "Müller Braund Cumings Futrelle García Rossi Dubois Nguyen O'Brien van-Dijk Kowalski Smith Jones Okafor Tanaka "
    "Silva Novak Jensen Haddad Ivanova Schmidt Lindqvist Papadopoulos Fernández Costa Weber Moreau Bianchi Singh Chen"
).split()


def iban(random):
    """Return an IBAN whose check digits are right."""
    country = random.choice(["DE", "FR", "GB", "ES", "NL", "IT", "PL", "CH"])
    body = "".join(random.choice(string.digits) for _ in range(IBAN_LENGTHS[country] - 4))
    if country in {"GB", "NL"}:
        body = "BANK" + body[4:]
    rest = int("".join(str(int(one, 36)) for one in body + country + "00")) % 97
    return f"{country}{98 - rest:02d}{body}"


def grouped(text, by=4, sep=" "):
    return sep.join(text[i : i + by] for i in range(0, len(text), by))


def card(random, *, right=True):
    """Return a card's number, or one that fails Luhn."""
    prefix, length = random.choice([("4", 16), ("51", 16), ("55", 16), ("37", 15), ("6011", 16), ("35", 16)])
    body = prefix + "".join(random.choice(string.digits) for _ in range(length - len(prefix) - 1))
    good = next(digit for digit in string.digits if luhn(body + digit))
    return body + (good if right else str((int(good) + random.randint(1, 9)) % 10))


def ssn(random):
    return (
        f"{random.choice([1, 123, 250, 665, 667, 899]):03d}-{random.randint(1, 99):02d}-{random.randint(1, 9999):04d}"
    )


def person(random):
    return f"{random.choice(FIRST).title()} {random.choice(LAST)}"


def phone_us(random):
    area, middle, last = random.randint(201, 989), random.randint(201, 989), random.randint(0, 9999)
    form = random.choice(["({}) {}-{:04d}", "{}-{}-{:04d}", "{}.{}.{:04d}", "1-{}-{}-{:04d}"])
    return form.format(area, middle, last)


def phone_e164(random):
    number = f"{random.choice(['1202555', '4930', '33612', '447911', '391055', '34612', '919876'])}"
    number += f"{random.randint(0, 999_999):06d}"
    return "+" + random.choice(
        [number[:13], f"{number[:2]} {number[2:5]} {number[5:13]}", f"{number[:2]}-{number[2:13]}"]
    )


def phone_national(random):
    return random.choice(
        [
            f"0{random.randint(1, 9)} " + " ".join(f"{random.randint(0, 99):02d}" for _ in range(4)),
            f"0{random.randint(30, 99)}/{random.randint(100_000, 9_999_999)}",
            f"(0{random.randint(20, 99)}) {random.randint(1000, 9999)} {random.randint(1000, 9999)}",
            f"0{random.randint(1500, 1799)} {random.randint(100_000, 9_999_999)}",
        ]
    )


def day(random, form="{:%Y-%m-%d}"):
    return form.format(pd.Timestamp("1940-01-01") + pd.Timedelta(days=random.randint(0, 28_000)))


PERSONAL = {
    "contact": lambda r: (
        f"{r.choice(FIRST)}.{r.choice(LAST).lower().replace(chr(39), '')}{r.randint(1, 99)}@mail.example.org".replace(
            "ü", "ue"
        )
        .replace("í", "i")
        .replace("á", "a")
    ),
    "reach_us": phone_us,
    "reach_abroad": phone_e164,
    "reach_home": phone_national,
    "account": iban,
    "account_spaced": lambda r: grouped(iban(r)),
    "paid_with": card,
    "paid_spaced": lambda r: grouped(card(r)),
    "paid_hyphens": lambda r: grouped(card(r), sep="-"),
    "paid_number": lambda r: int(card(r)),
    "papers": ssn,
    "seen_from": lambda r: ".".join(str(r.randint(1, 254)) for _ in range(4)),
    "seen_from_6": lambda r: f"2001:db8:{r.randint(1, 65535):x}::{r.randint(1, 65535):x}",
    "hardware": lambda r: ":".join(f"{r.randint(0, 255):02x}" for _ in range(6)),
    "page": lambda r: f"https://example.org/users/{r.choice(FIRST)}{r.randint(1, 9999)}",
    "feed": lambda r: f"ftp://{r.choice(FIRST)}{r.randint(1, 999)}:x@files.example.org/in",
    "who": person,
    "passenger": lambda r: f"{r.choice(LAST)}, Mr. {r.choice(FIRST).title()} {r.choice(FIRST).title()}",
    "Name": lambda r: f"{r.choice(LAST)} {r.choice('ABCDEF')}.",
    "first_name": lambda r: r.choice(FIRST),
    "Nachname": lambda r: r.choice(LAST) + r.choice(["", "-Berg", "son", "ska"]),
    "customerEmail": lambda r: f"{r.choice(FIRST)} at example {r.randint(1, 999)}",
    "home_address": lambda r: f"{r.randint(1, 400)} {r.choice(LAST)} Street",
    "Straße": lambda r: f"{r.choice(LAST)}weg {r.randint(1, 99)}",
    "date_of_birth": day,
    "Geburtsdatum": lambda r: day(r, "{:%d.%m.%Y}"),
    "phone_number": lambda r: r.randint(2_000_000_000, 9_999_999_999),
    "passport no": lambda r: f"{r.choice('CFGHJK')}{r.randint(0, 99_999_999):08d}",
    "customer_id": lambda r: r.randint(1, 10**6),
    "session": lambda r: str(uuid.UUID(int=r.getrandbits(128))),
    "record": lambda r: f"{r.choice('ABC')}-{r.randint(0, 10**9):09d}",
    "remarks": lambda r: (
        f"Call back {person(r)}" + r.choice(["", "", f" under {phone_e164(r)}", " or mail ana@example.org"])
    ),
}
"""Columns that are personal, by a name that does not always say so, and how a cell is made."""

HARMLESS = {
    "card_like": lambda r: card(r, right=False),
    "card_like_number": lambda r: int("4" + "".join(r.choice(string.digits) for _ in range(2))),
    "part": lambda r: f"{r.choice(['AK', 'BX', 'QT'])}-{r.randint(100, 140)}-{r.choice('XYZ')}",
    "sku": lambda r: f"{r.randint(100, 129)}/{r.randint(10, 11)}-2671",
    "version": lambda r: f"{r.randint(0, 9)}.{r.randint(0, 30)}.{r.randint(0, 12)}.{r.randint(0, 9)}",
    "sold_on": day,
    "sold_at": lambda r: day(r, "{:%d.%m.%Y %H:%M}"),
    "opened": lambda r: day(r, "{:%d/%m/%Y}"),
    "year_of_birth": lambda r: r.randint(1930, 2010),
    "price": lambda r: round(r.uniform(1, 5000), 2),
    "income": lambda r: r.randint(9_000, 400_000),
    "weight_g": lambda r: r.randint(2_700, 6_300),
    "latitude": lambda r: round(r.uniform(-90, 90), 6),
    "coordinates": lambda r: f"{r.uniform(-90, 90):.4f},{r.uniform(-180, 180):.4f}",
    "email": lambda r: r.choice(["yes", "no"]),
    "has_phone": lambda r: r.random() < 0.5,
    "telephone": lambda r: r.choice(["none", "yes", "registered"]),
    "contact_by": lambda r: r.choice(["cellular", "telephone", "mail"]),
    "address_type": lambda r: r.choice(["urban", "rural"]),
    "name_length": lambda r: r.randint(3, 40),
    "card_type": lambda r: r.choice(["visa", "amex"]),
    "city": lambda r: r.choice(["Paris", "Berlin", "Lima", "Oslo", "Rome", "Accra", "Quito"]),
    "product": lambda r: (
        f"{r.choice(['Anchor', 'Rope', 'Sail', 'Oar'])} {r.choice(['Small', 'Large'])} {r.choice(['Red', 'Blue'])}"
    ),
    "product_name": lambda r: (
        f"{r.choice(['Deluxe', 'Eco', 'Pro'])} {r.choice(['Anchor', 'Rope', 'Sail'])} {r.randint(1, 400)}"
    ),
    "review": lambda r: " ".join(
        r.choice("the sail was fine but rope tore after two days at sea".split()) for _ in range(12)
    ),
    "page_seen": lambda r: f"https://example.org/shop/{r.choice(['anchor', 'rope'])}/{r.randint(1, 40)}",
    "colour": lambda r: f"#{r.randint(0, 4095):03x}",
    "duration": lambda r: f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}",
    "iban_like": lambda r: "DE" + f"{r.randint(0, 99):02d}" + "".join(r.choice(string.digits) for _ in range(18)),
    "ssn_like": lambda r: f"000-{r.randint(10, 14)}-{r.randint(1, 40):04d}",
    "zip": lambda r: f"{r.randint(10_000, 10_060)}",
    "ratio": lambda r: f"{r.random():.9f}",
    "streetlights": lambda r: r.randint(0, 900),
    "visits": lambda r: r.randint(0, 40),
}
"""Columns that are not, near misses of each form and of each name among them."""


@pytest.fixture(scope="module")
def frame():
    made = random.Random(7)
    return pd.DataFrame({name: [make(made) for _ in range(ROWS)] for name, make in (PERSONAL | HARMLESS).items()})


def found_in(frame):
    _, table = infer_columns(frame_to_table(frame)[0])
    return find_personal(table)


def test_precision_and_recall_on_a_labelled_table(frame, record_property):
    found = found_in(frame)
    # What fails a checksum and is still different in every row is an identifier, and named so: no false alarm.
    alike = {name: one for name, one in found.items() if name in {"card_like", "iban_like"}}
    assert {one.kind for one in alike.values()} <= {"identifier"}
    wrong = found.keys() - PERSONAL.keys() - alike.keys()
    missed = PERSONAL.keys() - found.keys()
    right = len(PERSONAL) - len(missed)
    precision, recall = right / (right + len(wrong)), right / len(PERSONAL)
    record_property("precision", precision)
    record_property("recall", recall)
    # With -rP: what the page on personal data says.
    sys.stdout.write(
        f"precision {precision:.3f}, recall {recall:.3f}, {len(PERSONAL)} personal columns, {len(HARMLESS)} others\n"
    )
    assert (wrong, missed) == (set(), set())


@pytest.mark.parametrize("rows", partly_slow(25, 60, 200, slow=[1000]))
@pytest.mark.parametrize("seed", partly_slow(0, slow=[1, 2]))
def test_precision_and_recall_hold_on_tables_of_other_sizes(rows, seed):
    made = random.Random(1000 * rows + seed)
    frame = pd.DataFrame({name: [make(made) for _ in range(rows)] for name, make in (PERSONAL | HARMLESS).items()})
    found = found_in(frame).keys() - {"card_like", "iban_like"}
    assert len(found & PERSONAL.keys()) >= 0.9 * len(PERSONAL)
    assert len(found - PERSONAL.keys()) <= 1


KINDS = {
    "contact": "email", "reach_us": "phone", "reach_abroad": "phone", "reach_home": "phone", "account": "bank",
    "account_spaced": "bank", "paid_with": "card", "paid_number": "card", "papers": "national", "seen_from": "network",
    "hardware": "network", "page": "link", "who": "name", "passenger": "name", "date_of_birth": "birth",
    "customer_id": "identifier", "session": "identifier", "remarks": "text", "home_address": "address",
}  # fmt: skip


def test_what_is_found_is_called_by_its_kind(frame):
    found = found_in(frame)
    assert {name: found[name].kind for name in KINDS} == KINDS


def test_a_few_rows_are_enough_for_a_form_and_for_a_name(frame):
    found = found_in(frame.head(12))
    assert {"contact", "account", "paid_with", "papers", "Name", "date_of_birth"} <= found.keys()
    assert found.keys() - PERSONAL.keys() == set()


def test_a_column_that_repeats_its_people_is_found(frame):
    often = pd.concat([frame.head(60)] * 8, ignore_index=True)
    assert {"contact", "reach_abroad", "Name", "customer_id"} <= found_in(often).keys()


def test_half_the_cells_may_be_missing(frame):
    holes = frame[["contact", "account", "who"]].where(np.random.default_rng(0).random((ROWS, 3)) < 0.5, None)
    assert found_in(holes).keys() == {"contact", "account", "who"}


def test_the_penguins_have_no_personal_column():
    assert found_in(pd.read_csv(penguins_path())) == {}


def test_real_tables_of_measurements_have_none():
    """Columns of the tables that scikit-learn brings along: the names and the ranges are real."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

    for load in (load_breast_cancer, load_diabetes, load_iris, load_wine):
        assert found_in(load(as_frame=True).frame.rename(columns=str)) == {}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("FirstName", "name"), ("LAST_NAME", "name"), ("Prénom", "name"), ("apellido", "name"),
        ("patient-name", "name"), ("EMailAdresse", "email"), ("work_email", "email"), ("customer phone no", "phone"),
        ("Téléphone", "phone"),
        ("fecha de nacimiento", "birth"), ("DOB", "birth"), ("dateOfBirth", "birth"), ("codice_fiscale", "national"),
        ("Steuer-ID", "national"), ("IBAN", "bank"), ("client_ip", "network"), ("PassengerId", "identifier"),
        ("billing_address", "address"), ("species", None), ("bill_length_mm", None), ("brand name", None),
        ("address_type", None), ("phones_sold", None), ("ip_count", None), ("month", None), ("", None), ("名前", None),
    ],
)  # fmt: skip
def test_names_are_known_in_several_languages(name, kind):
    assert kind_of_name(name) == kind


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (is_email, ["a@b.co", "ana.maria+x@mail.example.org", "o'brien@example.ie"],
         ["a@b", "@ana", "a b@c.de", "a@b..de", "a@-b.de", "image@2x.png is here", "a@@b.de"]),
        (is_iban, ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "NO9386011117947"],
         ["DE88370400440532013000", "DE8937040044053201300", "XX89370400440532013000", "DE89", "", "١" * 22]),
        (is_card, ["4111111111111111", "5555 5555 5555 4444", "3782-822463-10005", "2223003122003222"],
         ["4111111111111112", "1234567812345670", "0000000000000000", "41111111", "9" * 16]),
        (is_ssn, ["123-45-6789", "899-01-0001"], ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567"]),
        (is_network, ["192.168.0.1", "8.8.8.200", "::1", "2001:db8::1", "00:1A:2b:3c:4d:5e"],
         ["1.2.3.4", "10.0.0.7", "256.1.1.300", "1.2.3", "12:30", "00:1A:2b:3c:4d"]),
        (is_link, ["https://x.org/~ana", "https://x.org/@ana", "http://ana:pw@x.org/", "https://x.org/a?user=ana&b=1"],
         ["https://x.org/", "https://x.org/shop/1", "x.org/~ana", "https://x.org/search?q=user"]),
        (is_phone, ["+1 202 555 0100", "+49 (0)30 1234567", "(202) 555-0100", "01 23 45 67 89", "00441632960001"],
         ["2026-01-31", "31.01.2026", "1234", "12.5", "1.2.3.4", "100-200", "5551234567", "2020 2021 2022"]),
    ],
    ids=["email", "iban", "card", "ssn", "network", "link", "phone"],
)  # fmt: skip
def test_each_form_has_its_near_misses(check, good, bad):
    assert [one for one in good if not check(one)] == []
    assert [one for one in bad if check(one)] == []


def test_text_holds_what_is_somewhere_in_it():
    assert holds_one("please write to ana@example.org, thanks")
    assert holds_one("his number: 4111 1111 1111 1111.")
    assert not holds_one("order 4111111111111112 of 2026-01-31 weighs 123-45 kg, see v1.2.3.4")
    for text in ("a" * 100_000, "1 " * 50_000, "+1" * 50_000, "a@" * 50_000, "DE12 " * 20_000):
        assert not holds_one(text)


def test_whole_numbers_beside_an_empty_cell_are_found_as_they_are_without():
    """One empty cell makes floats of them in pandas."""
    numbers = np.random.default_rng(1).permutation(ROWS)
    whole = pd.DataFrame(
        {
            "customer_id": 7_310_000 + numbers * 7,
            "phone": 4_930_000_000 + numbers * 131,
            "card": [int(card(random.Random(int(n)))) for n in numbers],
            "width": numbers % 40,
        }
    )
    gaps = whole.astype(float)
    gaps.loc[3] = np.nan
    assert kinds_in(gaps) == kinds_in(whole)
    assert set(kinds_in(whole)) == {"customer_id", "phone", "card"}
    halves = gaps + 0.5
    assert found_in(halves) == {}
    assert found_in(pd.DataFrame({"customer_id": np.arange(100.0) * 2.0**60})) == {}


def kinds_in(frame):
    return {name: one.kind for name, one in found_in(frame).items()}
