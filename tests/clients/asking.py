"""What `/v1` says of rows, for tests that ask for the same by another client."""

import http.client
import json

import numpy as np
import pandas as pd


def plain(value):
    """Return a cell as JSON has it."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def said(server, frame, **headers):
    """Return the predictions of the rows by `/v1/predict`."""
    rows = [dict(zip(frame.columns, map(plain, row), strict=True)) for row in frame.itertuples(index=False, name=None)]
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.request(
        "POST", "/v1/predict", json.dumps({"rows": rows}), {"Content-Type": "application/json", **headers}
    )
    reply = connection.getresponse()
    document = json.loads(reply.read())
    connection.close()
    assert reply.status == 200, document
    return document["predictions"]


def numbers(predictions):
    """Return the numbers of a regressor's predictions."""
    return [one["value"] for one in predictions]


def shares(predictions, classes):
    """Return the probabilities of a classifier's predictions, a row's one behind the other."""
    return [one["probabilities"][name] for one in predictions for name in classes]
