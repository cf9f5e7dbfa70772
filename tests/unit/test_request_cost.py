"""What a one-row request costs the server does not grow by accident: counted in instructions, never in seconds.

`request_cost.json` holds what was accepted last, for each Python. Where a count has changed by more than the tolerance,
up or down, this fails and says in which functions; `make accept-cost` writes the new counts, to be committed with the
reason.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aweigh import pack

ROOT = Path(__file__).parents[2]
ACCEPTED = Path(__file__).with_name("request_cost.json")
ACCEPT = "make accept-cost"
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TOLERANCE = {"opcodes": 0.02, "calls": 0.03}
SHOWN = 12
IN_TWO = ", head and body apart"
WORDS = {"opcodes": "instructions of the interpreter", "calls": "calls into C"}


def numbers():
    """Model A in small: 30 numbers, scaler and logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(200, 30)).round(4), columns=[f"x{i}" for i in range(30)])
    target = (frame["x0"] + frame["x1"] > 0).astype(int)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, target), frame, target


def mixed():
    """Model C in small: 4 texts and 6 numbers with missing values, imputers, one-hot, a forest of 10."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(1)
    frame = pd.DataFrame({f"t{i}": random.choice(["a", "b", "c"], 200) for i in range(4)}).astype(object)
    for i in range(6):
        frame[f"x{i}"] = random.normal(i, 1 + i, 200).round(4)
    target = ((frame["t0"] == "a") + frame["x0"] > 0.5).astype(int)
    for name in ("t0", "t1", "x1", "x4"):
        frame.loc[random.choice(200, 8, replace=False), name] = np.nan
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    reals = make_pipeline(SimpleImputer(), StandardScaler())
    prepare = ColumnTransformer([("cat", texts, list(frame)[:4]), ("num", reals, list(frame)[4:])])
    forest = RandomForestClassifier(10, max_depth=6, random_state=0)
    return make_pipeline(prepare, forest).fit(frame, target), frame, target


def related():
    """Model R: 8 numbers and 2 texts that hang together, so that each row is looked at for unlikely combinations."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    random = np.random.default_rng(2)
    common = random.normal(size=400)
    frame = pd.DataFrame({f"x{i}": (common + 0.4 * random.normal(size=400)).round(4) for i in range(8)})
    for i in range(2):
        frame[f"t{i}"] = np.where(common + 0.4 * random.normal(size=400) > 0, "high", "low")
    target = (common > 0.2).astype(int)
    prepare = ColumnTransformer([("cat", OneHotEncoder(), ["t0", "t1"])], remainder="passthrough")
    return make_pipeline(prepare, LogisticRegression()).fit(frame, target), frame, target


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Return what is counted in a process that nobody else traces, neither coverage nor a debugger."""
    folder = tmp_path_factory.mktemp("cost")
    arguments = []
    for letter, (model, frame, target) in {"A": numbers(), "C": mixed(), "R": related()}.items():
        packed = pack(model, frame.assign(y=target), target="y", name=letter.lower(), output=folder)
        rows = frame.dropna()[:8].to_dict("records")
        bodies = folder / f"{letter}.json"
        bodies.write_text(json.dumps([json.dumps({"rows": [row]}) for row in rows]))
        arguments.append(f"{letter}={packed.path},{bodies}")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTHON"))}
    env |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "bench.opcodes", *arguments]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def changes(name, now, before):
    """Return a sentence for each count that is no longer what was accepted, and where it changed most."""
    found = []
    for kind, tolerance in TOLERANCE.items():
        new, old = now[name][kind], before[name][kind]
        if abs(new - old) <= old * tolerance:
            continue
        floor, old_floor = now["floor"][kind], before["floor"][kind]
        found.append(
            f"model {name}: {new:,} {WORDS[kind]} a request, {new / old - 1:+.1%} to the {old:,} that were accepted "
            f"({tolerance:.0%} are let pass); to the floor {new / floor:.2f} x, was {old / old_floor:.2f} x"
        )
    if not found:
        return []
    was, is_now = before[name]["where"], now[name]["where"]
    changed = {place: is_now.get(place, 0) - was.get(place, 0) for place in was.keys() | is_now.keys()}
    most = sorted(filter(changed.get, changed), key=lambda place: (-abs(changed[place]), place))[:SHOWN]
    found += [f"    {place}: {was.get(place, 0)} -> {is_now.get(place, 0)} instructions" for place in most]
    return [*found, f"    if that is meant: {ACCEPT}, and commit {ACCEPTED.name} with the reason"]


def test_a_one_row_request_costs_what_was_accepted(counted):
    accepted = json.loads(ACCEPTED.read_text()) if ACCEPTED.exists() else {}
    if os.environ.get("ACCEPT_COST") == "1":
        accepted = dict(sorted((accepted | {PYTHON: counted}).items()))
        ACCEPTED.write_text(json.dumps(accepted, indent=1) + "\n")
    if PYTHON not in accepted:
        reason = f"nothing was accepted yet for Python {PYTHON}: {ACCEPT}"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    before = accepted[PYTHON]
    unknown = sorted(counted.keys() - before.keys())
    told = [f"nothing was accepted yet of {', '.join(unknown)} for Python {PYTHON}: {ACCEPT}"] if unknown else []
    known = [name for name in counted if name != "floor" and name in before]
    told += [line for name in known for line in changes(name, counted, before)]
    assert not told, "\n".join(["", *told])


def test_what_is_counted_is_the_road_and_not_another(counted):
    """Not the queue of slow models, not the patient reader, not the router; and all of it, down to the write."""
    assert counted.keys() == {"floor"} | {f"{name}{pieces}" for name in "ACR" for pieces in ("", IN_TWO)}
    assert "aweigh.schema.combination:Distance.rows_beyond" in counted["R"]["where"]
    for name in counted.keys() - {"floor"}:
        where = " ".join(counted[name]["where"])
        assert "aweigh.server.protocol:" in where or "aweigh.server.lane:" in where
        assert "aweigh.schema.decode" in where
        assert "aweigh.server.desk" not in where
        assert "check_rows" not in where
        assert "starlette.routing" not in where
    assert "bench.floor:predict" in counted["floor"]["where"]


def test_what_has_grown_is_named():
    def one(opcodes, where):
        return {"A": {"opcodes": opcodes, "calls": 10, "where": where}, "floor": {"opcodes": 50, "calls": 10}}

    before = one(100, {"reply:write": 60, "gate:call": 40})
    assert changes("A", one(102, {"reply:write": 62, "gate:call": 40}), before) == []
    grown = changes("A", one(130, {"reply:write": 60, "gate:call": 40, "new:thing": 30}), before)
    assert "130 instructions of the interpreter a request, +30.0% to the 100" in grown[0]
    assert "2.60 x, was 2.00 x" in grown[0]
    assert grown[1] == "    new:thing: 0 -> 30 instructions"
    assert "make accept-cost" in grown[-1]
    assert changes("A", one(90, {"reply:write": 50, "gate:call": 40}), before)[1].endswith("60 -> 50 instructions")
