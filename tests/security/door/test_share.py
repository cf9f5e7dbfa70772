"""How much of the model an identity gets: rows of its budget, and as much of an answer as its role is told."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from tests.integration.conftest import start_server

__all__ = ["start_server"]

ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def house(open_house, tmp_path_factory):
    """Return a house where predictors are told one decimal, operators labels, and administrators all."""
    told = "predictor=1,operator=labels"
    with open_house(tmp_path_factory.mktemp("told"), disclosure=told, jobs=True) as found:
        yield found


@pytest.fixture(scope="module")
def budgeted(open_house, tmp_path_factory):
    environ = {"AWEIGH_ROWS_PER_DAY": "40"}
    with open_house(tmp_path_factory.mktemp("budget"), environ=environ, jobs=True) as found:
        yield found


def asked(house, role, *, accept="application/json", rows=None):
    with house.client(role=role, Accept=accept) as client:
        answer = client.post("/v1/predict", json={"rows": rows or house.rows})
    assert answer.status_code == 200, answer.text
    return answer


def predictions(house, role, *, rows=None):
    return asked(house, role, rows=rows).json()["predictions"]


def test_each_role_is_told_as_much_as_it_may_know(house):
    full, rounded, labels = (predictions(house, role) for role in ("admin", "predictor", "operator"))
    assert [one["label"] for one in full] == [one["label"] for one in rounded] == [one["label"] for one in labels]
    assert all(set(one) == {"label"} for one in labels)
    chances = [value for one in rounded for value in one["probabilities"].values()]
    assert chances == [round(value, 1) for value in chances]
    assert [one["probabilities"] for one in full] != [one["probabilities"] for one in rounded]


@pytest.mark.parametrize("role", ["predictor", "operator"])
def test_it_is_the_same_in_every_form_and_alone_as_in_company(house, role):
    told = predictions(house, role)
    assert [predictions(house, role, rows=[row])[0] for row in house.rows] == told
    chances = [list(one.get("probabilities", {}).values()) for one in told]
    lines = [line.split(",") for line in asked(house, role, accept="text/csv").text.splitlines()]
    table = pa.ipc.open_stream(io.BytesIO(asked(house, role, accept=ARROW).content)).read_all()
    assert len(lines[0]) == len(table.column_names) == 1 + len(chances[0])
    assert [line[0] for line in lines[1:]] == [one["label"] for one in told]
    assert [[float(cell) for cell in line[1:]] for line in lines[1:]] == chances
    assert [list(row.values())[1:] for row in table.to_pylist()] == chances


def test_documents_tell_no_answer_that_not_everybody_is_told(house):
    golden = predictions(house, "admin")[0]
    with house.client(role="viewer") as client:
        for path in ("/v1/model", "/v1/openapi.json", "/v1/docs"):
            text = client.get(path).text
            assert not any(str(value) in text for value in golden["probabilities"].values() if 0 < value < 1), path


def test_the_other_protocol_tells_no_more(house):
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in house.row.items()
    ]
    for role, expected in (("admin", 3), ("operator", 0)):
        with house.client(role=role) as client:
            answer = client.post("/v2/models/penguins/infer", json={"inputs": inputs})
        assert answer.status_code == 200, answer.text
        numbers = [one for one in answer.json()["outputs"] if one["datatype"] == "FP64"]
        assert sum(len(one["data"]) for one in numbers) == expected


def test_a_job_is_no_way_around_it(house, budgeted):
    file = json.dumps({"rows": [house.row]}).encode()
    sent = {"Content-Type": "application/json"}
    for where in (house, budgeted):
        with where.client(role="predictor", **sent) as client:
            answer = client.post("/v1/jobs", content=file)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    with budgeted.client(role="operator", **sent) as client:
        assert client.post("/v1/jobs", content=file).status_code == 202


def test_a_job_is_known_to_whoever_posted_it_and_to_operators(open_house, tmp_path):
    with open_house(tmp_path / "own", jobs=True) as house:
        file = json.dumps({"rows": [house.row]}).encode()
        with house.client(role="predictor", **{"Content-Type": "application/json"}) as client:
            place = client.post("/v1/jobs", content=file).headers["location"]
            assert client.get(place).status_code == 200
        with house.client(key="predict") as client:
            for method, path in (("GET", place), ("GET", place + "/result"), ("DELETE", place)):
                answer = client.request(method, path)
                assert (answer.status_code, answer.json()["code"]) == (404, "no_job")
        with house.client(role="operator") as client:
            assert client.get(place).status_code == 200


def test_a_budget_counts_rows_and_not_requests(budgeted):
    with budgeted.client(key="predict") as client:
        assert client.post("/v1/predict", json={"rows": [budgeted.row] * 30}).status_code == 200
        for _ in range(3):
            refused = client.post("/v1/predict", json={"rows": [budgeted.row] * 11})
            assert (refused.status_code, refused.json()["code"]) == (429, "over_budget")
            assert int(refused.headers["retry-after"]) > 0
        never = client.post("/v1/predict", json={"rows": [budgeted.row] * 41})
        assert (never.status_code, "retry-after" in never.headers) == (429, False), "waiting changes nothing"
        assert "more rows than its budget holds" in never.json()["detail"]
        for _ in range(10):
            assert client.post("/v1/predict", json={"rows": [budgeted.row]}).status_code == 200
        assert client.post("/v1/predict", json={"rows": [budgeted.row]}).status_code == 429
    with budgeted.client(role="predictor") as client:
        rows = {"rows": [budgeted.row] * 40}
        assert client.post("/v1/predict", json=rows).status_code == 200, "each has their own"


def test_new_keys_bring_no_new_budget(open_house, tmp_path):
    with open_house(tmp_path / "own", environ={"AWEIGH_ROWS_TOTAL": "40"}) as house:
        ana = house.guard.person("predictor")
        answered = 0
        for number in range(4):
            key, text = house.guard.add_key(ana, f"key {number}", ["predict"], by=None)
            house.keys["new"] = text.reveal()
            with house.client(key="new") as client:
                for _ in range(3):
                    answered += 10 * (client.post("/v1/predict", json={"rows": [house.row] * 10}).status_code == 200)
            house.guard.revoke_key(key.id, by=None)
        assert answered == 40


def test_a_key_that_may_only_ask_is_told_no_more_than_its_owner(house):
    _, text = house.guard.add_key(house.guard.person("predictor"), "only", ["predict"], by=None)
    house.keys["only"] = text.reveal()
    with house.client(key="only") as client:
        answer = client.post("/v1/predict", json={"rows": house.rows})
    assert answer.json()["predictions"] == predictions(house, "predictor")


def test_golden_rows_tell_no_answers_where_not_everybody_is_told_all(penguins, start_server):
    server = start_server(penguins.path, "--no-ui", env={"AWEIGH_DISCLOSURE": "labels"})
    with server.client() as client:
        examples = client.get("/v1/model").json()["examples"]
        assert len(examples["rows"]) > 0
        assert examples["predictions"] == []
        answer = client.post("/v1/predict", json={"rows": examples["rows"]})
        assert all(set(one) == {"label"} for one in answer.json()["predictions"])


def test_a_budget_that_bounds_nobody_is_told_of(penguins, start_server):
    with pytest.raises(pytest.fail.Exception, match="--auth none knows nobody"):
        _ = start_server(penguins.path, "--no-ui", env={"AWEIGH_ROWS_PER_DAY": "10"}).url


def test_many_at_once_get_no_more_than_there_is(budgeted):
    def ask(_):
        return client.post("/v1/predict", json={"rows": [budgeted.row] * 3}).status_code

    with budgeted.client(role="operator") as client, ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(40)))
    assert statuses.count(200) == 13  # 39 of 40 rows
    assert statuses.count(429) == 27
