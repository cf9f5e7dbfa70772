"""KServe's own client against a real server, and its model of what is deployed by it."""

import asyncio
import json
import re
import warnings

import httpx
import msgspec
import pytest
from tests.clients.asking import numbers, plain, said, shares
from tests.clients.conftest import DATATYPES
from tests.kube_plans import ALONE, ENTRIES, RELEASE, SCALINGS, plan

from aweigh.targets.kubernetes.objects import objects_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it is made of, on the way in
    import kserve
    import kubernetes

BIRDS = {"island": "BYTES", "sex": "BYTES", "year": "INT64"}


def asked(what):
    """Return what a coroutine of the client answers, of a client that is opened for it and closed."""

    async def ask():
        # No certificates are read for each: there is no TLS here.
        config = kserve.RESTConfig(protocol="v2", retries=0, timeout=30, verify=False)
        async with kserve.InferenceRESTClient(config) as client:
            return await what(client)

    return asyncio.run(ask())


def request(name, frame, datatypes, *, binary=False, **more):
    inputs = []
    for column in frame.columns:
        datatype = datatypes.get(column, "FP64")
        made = kserve.InferInput(column, [len(frame)], datatype)
        if binary and datatype != "BYTES":
            made.set_data_from_numpy(frame[column].to_numpy(), binary_data=True)
        else:  # a list, and in it None for what is missing
            made.data = [plain(value) for value in frame[column]]
        inputs.append(made)
    return kserve.InferRequest(name, inputs, **more)


def outputs_of(reply):
    return {one.name: one for one in reply.outputs}


# -- asking ------------------------------------------------------------------------------------------------------------


def test_the_server_and_the_model_are_ready(api):
    async def ask(client):
        assert await client.is_server_live(api.url) is True
        assert await client.is_server_ready(api.url) is True
        assert await client.is_model_ready(api.url, "penguins") is True
        assert await client.is_model_ready(api.url, "whales") is False

    asked(ask)


@pytest.mark.parametrize("outputs", [False, True])
@pytest.mark.parametrize("inputs", [False, True])
def test_a_regressor_of_every_datatype_answers_as_by_v1(houses_api, homes, inputs, outputs):
    rows = homes.iloc[:40]
    parameters = {"binary_data_output": outputs}
    made = request("houses", rows, DATATYPES, binary=inputs, request_id="42", parameters=parameters)
    reply = asked(lambda client: client.infer(houses_api.url, made, model_name="houses"))
    value = outputs_of(reply)["value"]
    assert (reply.id, reply.model_name, value.datatype) == ("42", "houses", "FP64")
    assert value.as_numpy().tolist() == numbers(said(houses_api, rows))


@pytest.mark.parametrize("outputs", [False, True])
@pytest.mark.parametrize("count", [1, 344])
def test_a_classifier_with_missing_values_answers_as_by_v1(api, birds, count, outputs):
    rows = birds.iloc[-count:] if count == 1 else birds
    made = request("penguins", rows, BIRDS, parameters={"binary_data_output": outputs})
    found = outputs_of(asked(lambda client: client.infer(api.url, made, model_name="penguins")))
    predictions = said(api, rows)
    assert found["label"].data == [one["label"] for one in predictions]
    classes = json.loads(found["probabilities"].parameters["classes"])
    assert found["probabilities"].as_numpy().ravel().tolist() == shares(predictions, classes)


def test_only_outputs_that_are_asked_for_are_given_each_in_its_way(api, birds):
    wanted = [kserve.protocol.infer_type.RequestedOutput("probabilities", {"binary_data": True})]
    made = request("penguins", birds.dropna().iloc[:2], BIRDS, request_outputs=wanted)
    reply = asked(lambda client: client.infer(api.url, made, model_name="penguins"))
    assert list(outputs_of(reply)) == ["probabilities"]
    assert reply.outputs[0].as_numpy().shape == (2, 3)


def test_an_answer_can_go_on_by_grpc(api, birds):
    """What stands between a client and a model in KServe hands answers on so; its parameters are texts and numbers."""
    rows = birds.dropna().iloc[:2].assign(body_mass_g=50_000.0)
    reply = asked(lambda client: client.infer(api.url, request("penguins", rows, BIRDS), model_name="penguins"))
    message = reply.to_grpc()
    warned = json.loads(message.parameters["warnings"].string_param)
    assert warned[0]["code"] == "outside_reference_range"
    assert {one.name for one in message.outputs} == {"label", "probabilities"}


def test_many_requests_at_once_get_each_its_own_answer(houses_api, homes):
    expected = numbers(said(houses_api, homes))

    async def ask(client):
        made = [request("houses", homes.iloc[[i]], DATATYPES, request_id=str(i)) for i in range(60)]
        return await asyncio.gather(*[client.infer(houses_api.url, one, model_name="houses") for one in made])

    replies = asked(ask)
    assert [one.id for one in replies] == [str(i) for i in range(60)]
    assert [one.outputs[0].data[0] for one in replies] == expected[:60]


@pytest.mark.parametrize(
    ("name", "spoil", "sentence"),
    [
        ("villas", {}, "There is no model of that name here, only 'houses'.*404 Not Found"),
        ("houses", {"_shape": [5]}, "tensor 'size' has 2 values where its shape .5. says otherwise.*400 Bad Request"),
        ("houses", {"_datatype": "BF16"}, "tensor 'size' is of the datatype 'BF16'.*400 Bad Request"),
        ("houses", {"_name": "extent"}, "the model has no column 'extent'.*400 Bad Request"),
        ("houses", {"_data": ["x", "y"]}, "tensor 'size' is of FP32, and its value 0 is not.*400 Bad Request"),
        ("houses", {"_data": [0.5] * 9_000, "_shape": [9_000]}, "9000 rows|9,000|rows where the first"),
        ("houses", {"_data": [0.123456789] * 9_000, "_shape": [9_000]}, "larger than 65,536 bytes.*413"),
    ],
)
def test_what_the_client_raises_says_what_is_wrong(houses_api, homes, name, spoil, sentence):
    made = request("houses", homes.iloc[1:3], DATATYPES)
    for attribute, value in spoil.items():
        setattr(made.inputs[0], attribute, value)
    with pytest.raises(httpx.HTTPStatusError, match=sentence):
        asked(lambda client: client.infer(houses_api.url, made, model_name=name))


# -- behind a door -----------------------------------------------------------------------------------------------------


def test_behind_a_door_a_key_lets_in_and_nothing_else_does(closed, homes):
    server, key = closed
    rows = homes.iloc[:3]

    async def ask(client, headers):
        assert await client.is_server_live(server.url)
        assert await client.is_server_ready(server.url)
        assert await client.is_model_ready(server.url, "houses", headers=headers) is bool(headers)
        made = request("houses", rows, DATATYPES)
        return await client.infer(server.url, made, model_name="houses", headers=headers)

    headers = {"Authorization": f"Bearer {key}"}
    reply = asked(lambda client: ask(client, headers))
    assert reply.outputs[0].data == numbers(said(server, rows, **headers))
    with pytest.raises(httpx.HTTPStatusError, match="401 Unauthorized"):
        asked(lambda client: ask(client, {}))


# -- deploying ---------------------------------------------------------------------------------------------------------


PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "object": object}


def model(name):
    """Return the class of that name: KServe's, or Kubernetes', which KServe's name and do not bring with them."""
    return getattr(kserve.models, name, None) or getattr(kubernetes.client.models, name)


def read_as(name, value):
    """Return a value in KServe's objects, which check themselves; a field that they do not know is an error.

    Its own reader cannot do it: it finds none of Kubernetes' classes, nor does it know how these write their types.
    """
    if found := re.fullmatch(r"list\[(.+)\]", name, re.IGNORECASE):
        return [read_as(found[1], one) for one in value]
    if found := re.fullmatch(r"dict[(\[]\w+, (.+)[)\]]", name, re.IGNORECASE):
        return {key: read_as(found[1], one) for key, one in value.items()}
    if name in PLAIN:
        assert isinstance(value, PLAIN[name]), (name, value)
        return value
    if name == "ResourceQuantity":
        return str(value)
    kind = model(name)
    attributes = {written: attribute for attribute, written in kind.attribute_map.items()}
    assert value.keys() <= attributes.keys(), (name, value.keys() - attributes.keys())
    return kind(**{attributes[key]: read_as(kind.openapi_types[attributes[key]], one) for key, one in value.items()})


@pytest.mark.parametrize("release", [RELEASE, ALONE], ids=["with all", "alone"])
@pytest.mark.parametrize("scaling", ["fixed", "cpu"])
def test_kserves_own_model_of_a_service_reads_all_that_is_written(release, scaling):
    """And written back it is what it was."""
    chosen = plan(release, scaling=SCALINGS[scaling], entry=ENTRIES["ingress"])
    chosen = msgspec.structs.replace(chosen, serving="kserve", bundle="3f9c0a77b1d2")
    (written,) = (one for one in objects_of(chosen) if one["kind"] == "InferenceService")
    read = read_as("V1beta1InferenceService", written)
    assert isinstance(read.spec.predictor, kserve.V1beta1PredictorSpec)
    assert read.metadata.annotations["serving.kserve.io/deploymentMode"] == "RawDeployment"
    assert read.spec.predictor.containers[0].name == "kserve-container"
    assert kserve.ApiClient().sanitize_for_serialization(read) == json.loads(json.dumps(written))
