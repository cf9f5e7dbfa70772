"""No value of a personal column that is dropped or hashed is anywhere in a bundle; nothing else changes."""

import io
import json
import re

import msgspec
import numpy as np
import pandas as pd
import pytest

import aweigh
from aweigh.bundle.examples import load_examples
from aweigh.bundle.verify import verify
from aweigh.cli.pack import document
from aweigh.config import ColumnConfig, Config
from aweigh.errors import ConfigError, UnsupportedModel
from aweigh.models.parity import reason_of
from aweigh.packing import personal
from aweigh.packing.personal import (
    KEY_VARIABLE,
    Looked,
    Personal,
    held_by_model,
    keyed_hash,
    screen_for,
    stand_in,
)
from aweigh.profile import Profile, build_profile
from aweigh.schema.check import examine
from aweigh.schema.column import Column, Output, Schema
from aweigh.schema.infer import infer_columns
from aweigh.secret import Secret
from aweigh.table.frame import frame_to_table

KEY = "0123456789abcdef0123456789abcdef"[::-1]
ROWS = 160
MARK = "zqmark"


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(5)
    numbers = random.permutation(ROWS)
    return pd.DataFrame(
        {
            "email": [f"{MARK}{n}@example.org" for n in numbers],
            "agent": [f"{MARK}agent{n % 40}@example.org" for n in numbers],
            "customer_id": 7_310_000 + numbers * 7,
            "size": random.normal(size=ROWS).round(3),
            "colour": random.choice(["red", "blue"], ROWS),
            "answer": random.choice(["yes", "no"], ROWS),
        }
    )


@pytest.fixture(scope="module")
def model(frame):
    """A model that takes all columns and has learnt the agents, since it encodes them one by one."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    inputs = frame.drop(columns=["answer", "email"])
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["agent", "colour"]), (StandardScaler(), ["customer_id", "size"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(inputs, frame["answer"])


def packed(model, frame, folder, **said):
    config = Config(columns={name: ColumnConfig(personal=policy) for name, policy in said.items()})
    told = []
    made = aweigh.pack(
        model, frame, target="answer", name="orders", output=folder, config=config,
        tell=lambda step, text: told.append((step, text)),
    )  # fmt: skip
    return made, [text for step, text in told if step == "personal"]


@pytest.fixture(scope="module")
def dropped(model, frame, tmp_path_factory):
    return packed(model, frame, tmp_path_factory.mktemp("dropped"))


def documents(made):
    bundle = verify(made.path)
    names = [name for name in bundle.names if not name.startswith("model/")]
    return {name: bundle.read(name) for name in names}


def test_what_is_found_is_shown_and_recorded(dropped):
    made, told = dropped
    assert [one.split(":")[0] for one in told] == ["email", "agent", "customer_id"]
    assert "the model does not take it" in told[0]
    assert "dropped" in told[1]
    assert [(one["column"], one["policy"], one["used"]) for one in document(made)["personal"]] == [
        ("email", "drop", False), ("agent", "drop", True), ("customer_id", "drop", True),
    ]  # fmt: skip
    schema = aweigh.load(made.path).schema
    assert {one.name: one.personal for one in schema.columns} == {
        "agent": "drop", "customer_id": "drop", "size": None, "colour": None,
    }  # fmt: skip
    assert "## Personal data" in documents(made)["card.md"].decode()


def test_no_value_of_a_dropped_column_is_in_the_bundle(dropped, frame):
    made, _ = dropped
    for name, content in documents(made).items():
        assert MARK.encode() not in content, name
    numbers = set(map(str, frame["customer_id"]))
    for name in ("schema.json", "examples.json", "profile.json", "card.md"):
        assert not numbers & set(re.findall(r"\d{7}", documents(made)[name].decode())), name


def test_other_columns_are_told_as_ever(dropped, frame):
    made, _ = dropped
    schema = aweigh.load(made.path).schema
    assert (schema.column("size").minimum, schema.column("size").maximum) == (frame["size"].min(), frame["size"].max())
    assert schema.column("colour").categories == ("blue", "red")
    profile = msgspec.json.decode(documents(made)["profile.json"], type=Profile)
    assert profile.observed("size").quantiles
    assert profile.observed("customer_id").edges == ()
    assert profile.observed("agent").kind == "lengths"


def test_the_golden_rows_are_answered_by_the_original_and_by_the_bundle(dropped, model):
    made, _ = dropped
    served = aweigh.load(made.path)
    examples = load_examples(documents(made)["examples.json"])
    rows = pd.DataFrame(examples.rows)
    assert rows["agent"].unique().tolist() == ["person@example.org"]
    assert len(set(rows["customer_id"])) == 1
    assert len(set(rows["size"])) > 1
    assert [one["label"] for one in examples.predictions] == model.predict(rows).tolist()
    assert served.predict(rows)["answer"].tolist() == model.predict(rows).tolist()


def test_the_model_still_answers_the_real_rows_as_the_original_does(dropped, model, frame):
    made, _ = dropped
    inputs = frame[["agent", "customer_id", "size", "colour"]]
    assert aweigh.load(made.path).predict(inputs)["answer"].tolist() == model.predict(inputs).tolist()


def test_who_packs_is_told_that_the_model_itself_holds_values(dropped):
    made, _ = dropped
    assert any(note.startswith("agent is personal, and the model itself holds 40") for note in made.notes)


def test_what_is_kept_is_in_the_bundle_and_what_is_not_personal_too(model, frame, tmp_path):
    made, told = packed(model, frame, tmp_path, agent="keep", customer_id="no")
    assert [one.split(":")[0] for one in told] == ["email", "agent"]
    assert "aweigh.toml says so" in told[1]
    schema = aweigh.load(made.path).schema
    assert len(schema.column("agent").categories) == 40
    assert (schema.column("agent").personal, schema.column("customer_id").personal) == ("keep", None)
    assert schema.column("customer_id").minimum == frame["customer_id"].min()
    assert MARK.encode() in documents(made)["examples.json"]


def test_a_hashed_column_holds_what_only_the_key_makes_again(model, frame, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    made, _ = packed(model, frame, tmp_path, agent="hash")
    found = documents(made)
    assert all(MARK.encode() not in content and KEY.encode() not in content for content in found.values())
    shown = {row["agent"] for row in json.loads(found["examples.json"])["rows"]}
    assert len(shown) > 1
    assert shown <= {keyed_hash(Secret(KEY), "agent", one) for one in frame["agent"]}
    assert not shown & {keyed_hash(Secret(KEY + "x"), "agent", one) for one in frame["agent"]}


@pytest.mark.parametrize("key", [None, "short"])
def test_no_hash_is_made_without_a_key(model, frame, tmp_path, monkeypatch, key):
    if key is not None:
        monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        packed(model, frame, tmp_path, agent="hash")


@pytest.mark.slow
def test_a_model_that_has_no_answer_without_them_keeps_what_was_only_found(frame, tmp_path):
    """Its encoder refuses what it has not seen: a made-up value cannot stand in a golden row."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    inputs = frame[["agent", "size"]]
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["agent"]), remainder="passthrough"), LogisticRegression()
    ).fit(inputs, frame["answer"])
    made, told = packed(model, frame, tmp_path)
    assert "kept" in next(one for one in told if one.startswith("agent"))
    assert aweigh.load(made.path).schema.column("agent").categories is not None
    with pytest.raises(aweigh.AweighError) as caught:
        packed(model, frame, tmp_path, agent="drop")
    assert 'personal = "keep"' in caught.value.hint


@pytest.mark.slow
def test_only_what_the_model_needs_is_kept(frame, tmp_path):
    """Its encoder refuses agents that it has not seen; of the numbers it takes any."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    inputs = frame[["customer_id", "agent", "size"]]
    columns = make_column_transformer((OneHotEncoder(), ["agent"]), (StandardScaler(), ["customer_id", "size"]))
    made, told = packed(make_pipeline(columns, LogisticRegression()).fit(inputs, frame["answer"]), frame, tmp_path)
    schema = aweigh.load(made.path).schema
    assert (schema.column("agent").personal, schema.column("customer_id").personal) == ("keep", "drop")
    agent = next(one for one in told if one.startswith("agent"))
    assert "kept, since the model has no answer without its values" in agent
    assert "dropped" in next(one for one in told if one.startswith("customer_id"))
    assert not set(map(str, frame["customer_id"])) & set(
        re.findall(r"\d{7}", documents(made)["examples.json"].decode())
    )


@pytest.mark.slow
def test_a_personal_target_is_told_to_be_in_the_bundle(frame, tmp_path):
    from sklearn.linear_model import LinearRegression
    from sklearn.tree import DecisionTreeClassifier

    inputs = frame[["size"]].assign(agent=frame["agent"])
    told = []
    model = DecisionTreeClassifier(max_depth=2).fit(inputs[["size"]], inputs["agent"])
    made = aweigh.pack(
        model, inputs, target="agent", name="agents", output=tmp_path, tell=lambda step, text: told.append((step, text))
    )
    (line,) = [text for step, text in told if step == "personal"]
    assert line.endswith("it is what the model predicts: its classes are in the bundle")
    (told_of,) = document(made)["personal"]
    assert (told_of["policy"], told_of["becomes"]) == (None, made.personal[0].becomes)
    assert MARK.encode() in documents(made)["schema.json"]
    numbers = frame[["size", "customer_id"]]
    told.clear()
    aweigh.pack(
        LinearRegression().fit(numbers[["size"]], numbers["customer_id"]), numbers, target="customer_id", name="n",
        output=tmp_path, tell=lambda step, text: told.append((step, text)),
    )  # fmt: skip
    assert told[[step for step, _ in told].index("personal")][1].endswith("the answers are numbers like it")


# -- what the model itself holds, and what is said of it -------------------------------------------------------------


def test_texts_are_found_however_a_file_holds_them(monkeypatch):
    raw = {"name": ["Müller, Ana", 'Bo "the" Green', "Somebody Else"], "agent": ["nobody"]}
    content = io.BytesIO()
    np.save(content, np.array(raw["name"][:1]))
    files = [b"x" * 1000 + content.getvalue(), json.dumps({"kinds": raw["name"][1:2]}).encode()]
    found = held_by_model(raw, files)
    assert found == {"name": Looked(2, 3, 3), "agent": Looked(0, 1, 1)}
    assert held_by_model({"name": raw["name"][:1]}, [json.dumps(raw["name"][0]).encode()])["name"].held == 1
    assert held_by_model({"name": raw["name"][:1]}, [raw["name"][0].encode()])["name"].held == 1
    # Of a large model fewer are looked for, and it is said how many.
    monkeypatch.setattr(personal, "MOST_BYTES", 2 * 4 * 2 * sum(map(len, files)))
    assert held_by_model(raw, files)["name"].looked == 2
    monkeypatch.setattr(personal, "MOST_BYTES", 1)
    assert held_by_model(raw, files)["name"].looked == 1


def test_of_a_form_that_lost_nothing_is_told_that_a_library_quotes():
    """A way that fails on a cell says so in the library's words, and those are not the bundle's."""
    quoting = ValueError(f"could not convert string to float: {MARK}1@example.org")
    assert reason_of(quoting) == f"ValueError: {quoting}"
    assert reason_of(quoting, discreet=True) == "ValueError"
    ours = UnsupportedModel(f"column 'agent' holds {MARK!r}, and the model's own trees take 'numbers'")
    assert reason_of(ours, discreet=True) == "column ... holds ..., and the model's own trees take ..."
    because = UnsupportedModel(f"ONNX Runtime cannot load the graph: {quoting}")
    because.__cause__ = quoting
    assert reason_of(because, discreet=True) == "UnsupportedModel"


@pytest.mark.slow
def test_a_bundle_with_hidden_columns_holds_no_words_of_a_library(frame, tmp_path):
    """Nystroem has no converter to ONNX, and whoever says so might quote a cell."""
    from sklearn.compose import make_column_transformer
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    inputs = frame[["agent", "size"]]
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["agent"]), remainder="passthrough")
    model = make_pipeline(columns, Nystroem(n_components=5, random_state=0), LogisticRegression())
    model.fit(inputs, frame["answer"])
    reasons = []
    for said in ({}, {"agent": "keep"}):
        made, _ = packed(model, frame, tmp_path, **said)
        reasons.append([one.reason for one in made.manifest.proof.attempts if not one.agreed])
    assert reasons[0]
    assert not any(" " in one for one in reasons[0])
    assert any(" " in one for one in reasons[1])


# -- single columns --------------------------------------------------------------------------------------------------


def screened(frame, *, limits=None, **policies):
    columns, table = infer_columns(frame_to_table(frame)[0])
    columns = tuple(msgspec.structs.replace(one, **(limits or {})) for one in columns)
    schema = Schema(columns=columns, output=Output(task="number", name="y"))
    listed = [Personal(name, "dates of birth", "", policy, True, owner=True) for name, policy in policies.items()]
    screen = screen_for(listed, schema, key=Secret(KEY))
    marked = screen.schema(schema)
    return marked, screen.rows(marked, table), table


def test_dates_and_numbers_keep_their_type_and_their_gaps():
    frame = pd.DataFrame(
        {
            "born": pd.to_datetime(["1961-05-17", None, "1990-11-02"]),
            "id": pd.array([7_310_021, 7_310_035, None], dtype="Int64"),
            "income": [51_234.56, np.nan, 61_999.0],
            "name": ["Ana Brown", None, "Bo Green"],
        }
    )
    marked, shown, given = screened(frame, born="drop", id="drop", income="hash", name="hash")
    assert [one.minimum for one in marked.columns] == [None] * 4
    for name in frame.columns:
        assert shown[name].data.dtype == given[name].data.dtype
        assert shown[name].as_mask().tolist() == given[name].as_mask().tolist()
    assert str(marked.column("born").typical) in {"1961-01-01", "1990-01-01"}
    assert marked.column("id").typical == 7_000_000
    assert marked.column("income").typical == 60_000
    told = msgspec.json.encode(marked).decode()
    assert not any(one in told for one in ("05-17", "7310", "51234", "61999", "Brown"))


@pytest.mark.parametrize("dtype", ["category", "bool"])
def test_a_column_that_cannot_be_hidden_is_refused_when_the_owner_asks_for_it(dtype):
    frame = pd.DataFrame({"x": pd.Series([True, False] * 20).astype(dtype)})
    with pytest.raises(ConfigError, match=r"columns\.x\.personal"):
        screened(frame.astype(str).astype("category") if dtype == "category" else frame, x="drop")


def test_a_made_up_number_lies_within_the_owner_s_limits():
    column = Column(name="x", type="integer", dtype="int64", typical=77, lower_limit=75, upper_limit=79)
    assert stand_in(column, "identifiers") == 79


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"lower_limit": "1961-03-01"}, "1961-03-01"),
        ({"upper_limit": "1960-12-31"}, "1960-12-31"),
        ({"lower_limit": "1950-01-01", "upper_limit": "1970-01-01"}, "1961-01-01"),
    ],
)
def test_a_made_up_day_lies_within_the_owner_s_limits(limits, expected):
    column = Column(name="x", type="date", dtype="datetime64[us]", typical="1961-05-17", **limits)
    assert stand_in(column, "dates of birth") == expected


def test_a_personal_day_with_limits_can_be_shown():
    frame = pd.DataFrame({"born": pd.to_datetime(["1961-05-17", "1961-07-02", "1961-11-02"])})
    marked, shown, _ = screened(frame, born="drop", limits={"lower_limit": "1961-03-01"})
    assert not examine(marked, shown).bad.any()


def test_a_made_up_whole_number_lies_within_limits_that_are_none():
    column = Column(name="x", type="integer", dtype="int64", typical=77, lower_limit=78.5, upper_limit=85.5)
    assert stand_in(column, "identifiers") == 80
    assert stand_in(msgspec.structs.replace(column, typical=7), "identifiers") == 79
    assert stand_in(msgspec.structs.replace(column, typical=99), "identifiers") == 85


def test_the_profile_of_a_hidden_column_says_only_how_many_are_missing():
    frame = pd.DataFrame({"born": pd.to_datetime(["1961-05-17", None] * 30)})
    marked, _, table = screened(frame, born="drop")
    from aweigh.schema.answers import Answers

    answers = Answers(marked.output, 60, values=np.zeros((60, 1)))
    found = build_profile(marked, table, answers).observed("born")
    assert (found.missing, found.counts, found.edges, found.quantiles) == (30, (), (), ())
