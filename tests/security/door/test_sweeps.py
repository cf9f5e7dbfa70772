"""The watch for sweeps behind a closed door: who sweeps the model is told of, once; who asks for real rows is not."""

import re
import time

import numpy as np
import pandas as pd
import pytest
from tests.partly import partly_slow

from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path
from aweigh.guard.guard import SUSPECTED

FRAME = pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]]
WAIT_S = 10.0


def honest(rows, seed):
    """Return rows of the sample, drawn anew."""
    return plain(FRAME.sample(rows, replace=True, random_state=seed))


def sweep(rows, seed):
    """Return rows that are made up: each number anywhere in its range, each word any."""
    random = np.random.default_rng(seed)
    columns = {name: random.choice(FRAME[name].dropna().unique(), rows) for name in CHOICES}
    columns |= {name: random.uniform(FRAME[name].min(), FRAME[name].max(), rows).round(1) for name in NUMBERS}
    return plain(pd.DataFrame(columns).assign(year=columns["year"].round().astype(int)))


def plain(frame):
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def told(house):
    """Return who is said to sweep, by the log."""
    return [one.by for one in house.guard.audit_log() if one.event == SUSPECTED]


def counted(house):
    with house.client(Authorization="Bearer scraper") as client:
        return int(re.search(r"^aweigh_sweeps_suspected_total (\d+)$", client.get("/metrics").text, re.MULTILINE)[1])


def ask(client, rows, *, at_once=1):
    for begin in range(0, len(rows), at_once):
        answer = client.post("/v1/predict", json={"rows": rows[begin : begin + at_once]})
        assert answer.status_code == 200, answer.text


def wait_for(house, number):
    end = time.monotonic() + WAIT_S
    while len(told(house)) < number:
        assert time.monotonic() < end, "nothing is told"
        time.sleep(0.05)


@pytest.fixture
def house(open_house, tmp_path):
    with open_house(tmp_path / "watched", jobs=True) as found:
        yield found


def key_of(house, scope):
    return next(one for one in house.guard.keys(None) if one.label == scope)


def test_honest_rows_are_not_told_of_and_a_sweep_is_once(house):
    admin = house.guard.person("admin")
    key = key_of(house, "predict")
    with house.client(role="predictor") as honestly, house.client(key="predict") as thief:
        ask(honestly, honest(400, 1))
        ask(honestly, honest(400, 2), at_once=80)
        ask(thief, sweep(300, 3))
        wait_for(house, 1)
        ask(thief, sweep(300, 4))
        ask(thief, sweep(300, 5), at_once=100)
        ask(honestly, honest(100, 6))
        time.sleep(1)
        assert told(house) == [key.id]
        assert counted(house) == 1
        (entry,) = [one for one in house.guard.audit_log() if one.event == SUSPECTED]
        assert int(entry.what["rows"]) >= 50
        assert entry.by_name
        assert not any(str(value) in str(entry.what) for value in sweep(300, 3)[0].values())
        ask(thief, sweep(10, 7))
        assert thief.get("/v1/model").status_code in {200, 403}
    with house.client(role="admin", Accept="text/html") as client:
        page = client.get(f"/admin/keys/{key.id}").text
        assert "Rows looked made up" in page
        link = re.search(r'href="(/admin/log\?[^"]*)"', page)[1].replace("&amp;", "&")
        assert key.id in client.get(link).text
        for one in (house.guard.person("predictor"), admin):
            assert "Rows looked made up" not in client.get(f"/admin/people/{one.id}").text


@pytest.mark.parametrize("sent", partly_slow("csv", slow=["oip"]))
def test_a_person_who_sweeps_by_another_road_is_told_of_too(house, sent):
    person = house.guard.person("predictor")
    rows = sweep(200, 1)
    with house.client(role="predictor") as client:
        if sent == "csv":
            text = pd.DataFrame(rows).to_csv(index=False)
            answer = client.post("/v1/predict", content=text, headers={"Content-Type": "text/csv"})
        else:
            inputs = [
                {
                    "name": name,
                    "shape": [len(rows)],
                    "datatype": "BYTES" if name in CHOICES else "FP64",
                    "data": [row[name] for row in rows],
                }
                for name in FRAME
            ]
            answer = client.post("/v2/models/penguins/infer", json={"inputs": inputs})
        assert answer.status_code == 200, answer.text
    wait_for(house, 1)
    assert told(house) == [person.id]
    with house.client(role="admin", Accept="text/html") as client:
        assert "Rows looked made up" in client.get(f"/admin/people/{person.id}").text


def test_it_keeps_nobody_from_posting_a_job(house):
    with house.client(role="predictor", **{"Content-Type": "application/json"}) as client:
        assert client.post("/v1/jobs", json={"rows": honest(2, 1)}).status_code == 202


def test_within_a_budget_a_sweep_is_told_of(open_house, tmp_path):
    environ = {"AWEIGH_ROWS_PER_DAY": "500"}
    with open_house(tmp_path / "budget", environ=environ, disclosure="labels") as house:
        with house.client(key="predict") as thief:
            ask(thief, sweep(200, 1))
            wait_for(house, 1)
        assert told(house) == [key_of(house, "predict").id]


@pytest.mark.slow
def test_it_can_be_turned_off(open_house, tmp_path):
    with open_house(tmp_path / "off", sweeps="off") as house:
        with house.client(key="predict") as thief:
            ask(thief, sweep(300, 1), at_once=50)
        time.sleep(1)
        assert (told(house), counted(house)) == ([], 0)
