"""Triton's own client against a real server: what it sends by default, and all that it can be told to."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio
from tests.clients.asking import numbers, said, shares
from tests.clients.conftest import DATATYPES
from tritonclient.utils import InferenceServerException

DTYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}
BIRDS = {"island": "BYTES", "sex": "BYTES", "year": "INT64"}


def client_of(server, **options):
    return triton.InferenceServerClient(server.url.removeprefix("http://"), **options)


@pytest.fixture(scope="module")
def houses_client(houses_api):
    with client_of(houses_api, concurrency=8) as client:
        yield client


@pytest.fixture(scope="module")
def birds_client(api):
    with client_of(api) as client:
        yield client


def tensors(frame, datatypes, *, binary=True, wide=False):
    """The columns as the client takes them; a text that is missing is None, which the client sends as "None"."""
    made = []
    for name in frame.columns:
        datatype = datatypes.get(name, "FP64")
        values = frame[name].to_numpy()
        values = np.where(frame[name].isna(), None, values) if datatype == "BYTES" else values.astype(DTYPES[datatype])
        values = values.reshape(-1, 1) if wide else values
        made.append(triton.InferInput(name, list(values.shape), datatype))
        made[-1].set_data_from_numpy(values, binary_data=binary)
    return made


MISSING = {"missing_text": "None"}


# -- what is there -----------------------------------------------------------------------------------------------------


def test_the_server_and_the_model_are_there(houses_client, houses):
    client, version = houses_client, houses.digest[:12]
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("houses")
    assert client.is_model_ready("houses", version)
    assert not client.is_model_ready("villas")
    assert not client.is_model_ready("houses", "000000000000")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("houses")
    assert metadata == client.get_model_metadata("houses", version)
    assert metadata["versions"] == [version]
    assert {one["name"]: one["datatype"] for one in metadata["inputs"]} == DATATYPES
    assert metadata["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [-1]}]


# -- the same answer, to the bit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("packing", "wide"), [(None, False), ("gzip", True), ("deflate", False)])
@pytest.mark.parametrize("outputs", ["by default", "binary", "json"])
@pytest.mark.parametrize("inputs", ["binary", "json"])
def test_a_regressor_of_every_datatype_answers_as_by_v1(
    houses_client, houses_api, homes, inputs, outputs, wide, packing
):
    rows = homes.iloc[:40] if inputs == "binary" else homes.dropna(subset="age").iloc[:40]
    asked = None if outputs == "by default" else [triton.InferRequestedOutput("value", binary_data=outputs == "binary")]
    reply = houses_client.infer(
        "houses",
        tensors(rows, DATATYPES, binary=inputs == "binary", wide=wide),
        outputs=asked,
        request_id="42",
        parameters=MISSING,
        request_compression_algorithm=packing,
        response_compression_algorithm=packing,
    )
    value = reply.as_numpy("value")
    assert (value.dtype, value.shape) == (np.float64, (len(rows),))
    assert value.tolist() == numbers(said(houses_api, rows))
    response = reply.get_response()
    assert (response["id"], response["model_name"]) == ("42", "houses")
    assert ("binary_data_size" in response["outputs"][0].get("parameters", {})) == (outputs != "json")


@pytest.mark.parametrize("outputs", ["binary", "json", "each its own"])
@pytest.mark.parametrize("inputs", ["binary", "json"])
@pytest.mark.parametrize("count", [1, 300])
def test_a_classifier_with_categories_answers_as_by_v1(birds_client, api, birds, count, inputs, outputs):
    rows = birds.dropna().iloc[:count]
    binary = {"binary": (True, True), "json": (False, False), "each its own": (False, True)}[outputs]
    names = ("label", "probabilities")
    asked = [triton.InferRequestedOutput(name, binary_data=one) for name, one in zip(names, binary, strict=True)]
    reply = birds_client.infer("penguins", tensors(rows, BIRDS, binary=inputs == "binary"), outputs=asked)
    predictions = said(api, rows)
    labels = [one.decode() if isinstance(one, bytes) else one for one in reply.as_numpy("label").tolist()]
    assert labels == [one["label"] for one in predictions]
    classes = json.loads(reply.get_output("probabilities")["parameters"]["classes"])
    probabilities = reply.as_numpy("probabilities")
    assert probabilities.shape == (count, 3)
    assert probabilities.ravel().tolist() == shares(predictions, classes)


def test_missing_values_are_said_as_the_client_can(birds_client, api, birds):
    """NaN in numbers, a text that stands for none, or no tensor at all for a column that is missing in every row."""
    rows = birds.iloc[:12]
    assert rows["sex"].isna().any()
    assert rows["body_mass_g"].isna().any()
    expected = [one["label"] for one in said(api, rows)]
    reply = birds_client.infer("penguins", tensors(rows, BIRDS), parameters=MISSING)
    assert [one.decode() for one in reply.as_numpy("label")] == expected
    with pytest.raises(InferenceServerException, match="column 'sex', row 3"):
        birds_client.infer("penguins", tensors(rows, BIRDS))  # "None" is no sex, and the column is closed
    rows = rows.assign(sex=None)
    absent = [one for one in tensors(rows, BIRDS) if one.name() != "sex"]
    reply = birds_client.infer("penguins", absent)
    assert [one.decode() for one in reply.as_numpy("label")] == [one["label"] for one in said(api, rows)]


def test_json_has_no_word_for_a_number_that_is_none(houses_client, homes):
    with pytest.raises(InferenceServerException, match=r"NaN is no JSON number\. \(a missing value is null\)"):
        houses_client.infer("houses", tensors(homes.iloc[:1], DATATYPES, binary=False), parameters=MISSING)


def test_whole_numbers_may_come_as_others(houses_client, houses_api, homes):
    rows = homes.iloc[:20]
    for datatype, dtype in (("FP64", np.float64), ("INT32", np.int32), ("UINT8", np.uint8)):
        rooms = triton.InferInput("rooms", [20], datatype)
        rooms.set_data_from_numpy(rows["rooms"].to_numpy().astype(dtype))
        others = [one for one in tensors(rows, DATATYPES) if one.name() != "rooms"]
        reply = houses_client.infer("houses", [*others, rooms], parameters=MISSING)
        assert reply.as_numpy("value").tolist() == numbers(said(houses_api, rows))


def test_only_outputs_that_are_asked_for_are_given(birds_client, birds):
    reply = birds_client.infer(
        "penguins", tensors(birds.dropna().iloc[:2], BIRDS), outputs=[triton.InferRequestedOutput("probabilities")]
    )
    assert reply.as_numpy("label") is None
    assert reply.as_numpy("probabilities").shape == (2, 3)


def test_what_a_parameter_of_the_answer_says_is_text(birds_client, birds):
    rows = birds.dropna().iloc[:1].assign(body_mass_g=50_000.0)
    response = birds_client.infer("penguins", tensors(rows, BIRDS)).get_response()
    assert json.loads(response["parameters"]["warnings"])[0]["code"] == "outside_reference_range"
    assert "id" in response


@pytest.mark.slow
def test_one_tensor_of_all_columns_is_taken_where_they_are_numbers(flats_api):
    rows = np.random.default_rng(3).normal(size=(5, 8))
    tensor = triton.InferInput("any name", [5, 8], "FP64")
    tensor.set_data_from_numpy(rows)
    with client_of(flats_api) as client, flats_api.client() as plain:
        value = client.infer("flats", [tensor]).as_numpy("value")
        body = {"rows": [{f"x{i}": one for i, one in enumerate(row)} for row in rows.tolist()]}
        assert value.tolist() == numbers(plain.post("/v1/predict", json=body).json()["predictions"])


# -- behind a door -----------------------------------------------------------------------------------------------------


def test_behind_a_door_a_key_lets_in_and_nothing_else_does(closed, homes):
    server, key = closed
    rows = homes.iloc[:3]
    headers = {"Authorization": f"Bearer {key}"}
    inputs = tensors(rows, DATATYPES)
    with client_of(server) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("houses", headers=headers)
        assert not client.is_model_ready("houses")
        reply = client.infer("houses", inputs, parameters=MISSING, headers=dict(headers))  # it writes its own into it
        assert reply.as_numpy("value").tolist() == numbers(said(server, rows, **headers))
        for wrong in (None, {"Authorization": "Bearer nobodys"}):
            with pytest.raises(InferenceServerException) as caught:
                client.infer("houses", inputs, parameters=MISSING, headers=wrong)
            assert caught.value.status() == "401"
            assert "decoding the response" not in caught.value.message()


# -- many at once ------------------------------------------------------------------------------------------------------


def test_many_requests_at_once_get_each_its_own_answer(houses_client, houses_api, homes):
    """By the client's own greenlets, eight connections."""
    expected = numbers(said(houses_api, homes))
    asked = [
        houses_client.async_infer("houses", tensors(homes.iloc[[i]], DATATYPES), request_id=str(i), parameters=MISSING)
        for i in range(100)
    ]
    replies = [one.get_result() for one in asked]
    assert [one.get_response()["id"] for one in replies] == [str(i) for i in range(100)]
    assert [one.as_numpy("value").item() for one in replies] == expected[:100]


def test_many_threads_have_each_a_client(houses_api, homes):
    expected = numbers(said(houses_api, homes))

    def ask(at):
        with client_of(houses_api) as client:
            rows = homes.iloc[at : at + 20]
            reply = client.infer("houses", tensors(rows, DATATYPES), parameters=MISSING)
            return reply.as_numpy("value").tolist()

    with ThreadPoolExecutor(6) as pool:
        assert [one for found in pool.map(ask, range(0, 240, 20)) for one in found] == expected


@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_the_client_for_asyncio_gets_the_same(api, birds, packing):
    """Of itself it lets aiohttp ask for every coding that aiohttp reads, and unpacks gzip and deflate only."""
    rows = birds.dropna()
    expected = [one["label"] for one in said(api, rows)]

    async def ask():
        async with tritonclient.http.aio.InferenceServerClient(api.url.removeprefix("http://")) as client:
            assert await client.is_server_ready()
            assert await client.is_model_ready("penguins")
            assert (await client.get_model_metadata("penguins"))["name"] == "penguins"
            outputs = [triton.InferRequestedOutput("label", binary_data=False)]
            asked = [
                client.infer("penguins", tensors(rows, BIRDS), outputs=chosen, request_compression_algorithm=packing)
                for chosen in (None, outputs, None)
            ]
            return await asyncio.gather(*asked)

    for reply in asyncio.run(ask()):
        labels = [one.decode() if isinstance(one, bytes) else one for one in reply.as_numpy("label").tolist()]
        assert labels == expected


# -- what is refused, in a sentence ------------------------------------------------------------------------------------


def spoilt(frame, name, values, datatype):
    """The tensors, one of them another."""
    other = triton.InferInput(name, list(values.shape), datatype)
    other.set_data_from_numpy(values)
    return [one for one in tensors(frame, DATATYPES) if one.name() != name] + [other]


ROW = 2
REFUSED = {
    "a column is not there": (
        lambda frame: [one for one in tensors(frame, DATATYPES) if one.name() != "rooms"],
        "400", "column 'rooms' is required",
    ),
    "another shape": (
        lambda frame: spoilt(frame, "rooms", np.ones((2, 3), np.int64), "INT64"),
        "400", r"tensor 'rooms' must have the shape \[rows\] or \[rows, 1\]",
    ),
    "another number of rows": (
        lambda frame: spoilt(frame, "rooms", np.ones(3, np.int64), "INT64"),
        "400", "tensor 'rooms' has 3 rows where the first has 2",
    ),
    "text in a number": (
        lambda frame: spoilt(frame, "rooms", np.array(["four", "5"], np.object_), "BYTES"),
        "400", "column 'rooms', row 0: expected a whole number, got 'four'",
    ),
    "half a room": (
        lambda frame: spoilt(frame, "rooms", np.array([1.5, 2.0]), "FP64"),
        "400", "column 'rooms', row 0: expected a whole number, got 1.5",
    ),
    "a number in a text": (
        lambda frame: spoilt(frame, "town", np.array([1, 2]), "INT64"),
        "400", "column 'town', row 0: expected text, got 1",
    ),
    "a column that the model has not": (
        lambda frame: spoilt(frame, "bathrooms", np.array([1, 2]), "INT64"),
        "400", "the model has no column 'bathrooms'",
    ),
    "more than a body may hold": (
        lambda frame: spoilt(frame, "town", np.array(["Ærø" * 20_000, "x"], np.object_), "BYTES"),
        "413", "larger than 65,536 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_client_raises_says_what_is_wrong(houses_client, homes, what):
    make, status, sentence = REFUSED[what]
    with pytest.raises(InferenceServerException, match=sentence) as caught:
        houses_client.infer("houses", make(homes.iloc[1:3]))
    assert caught.value.status() == status
    assert "decoding the response" not in caught.value.message()


def test_what_is_not_there_is_said(houses_client, houses, homes):
    inputs = tensors(homes.iloc[1:3], DATATYPES)
    for asked, sentence in {
        ("villas", "", None): "There is no model of that name here, only 'houses'",
        ("houses", "000000000000", None): f"There is no such version here, only '{houses.digest[:12]}'",
        ("houses", "", "prices"): "the model has no output 'prices'",
    }.items():
        name, version, output = asked
        outputs = output and [triton.InferRequestedOutput(output)]
        with pytest.raises(InferenceServerException, match=sentence):
            houses_client.infer(name, inputs, model_version=version, outputs=outputs)
    with pytest.raises(InferenceServerException, match="There is nothing at this address"):
        houses_client.get_model_config("houses")
    with pytest.raises(InferenceServerException, match="classification extension"):
        houses_client.infer("houses", inputs, outputs=[triton.InferRequestedOutput("value", class_count=2)])
    inputs[0].set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="Shared memory"):
        houses_client.infer("houses", inputs)


def test_a_packed_body_may_hold_no_more_than_another(houses_client, homes):
    rows = homes.iloc[1:3]
    inputs = spoilt(rows, "town", np.array(["Ærø" * 2_000_000, "x"], np.object_), "BYTES")
    with pytest.raises(InferenceServerException, match="larger than 65,536 bytes"):
        houses_client.infer("houses", inputs, request_compression_algorithm="gzip")
