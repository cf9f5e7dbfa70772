"""Clients that go on asking while something is done to what answers them."""

import json
import threading
import urllib.request
from contextlib import contextmanager


@contextmanager
def asked_all_the_while(port, row):
    """Rows are asked from two sides until the block ends; yields how many, and what was not answered by 200."""
    told, ended = {"asked": 0, "failed": []}, threading.Event()
    body = json.dumps({"rows": [row]}).encode()

    def ask():
        while not ended.is_set():
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/predict", body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as reply:
                    reply.read()
            except OSError as error:
                told["failed"].append(repr(error))
            told["asked"] += 1

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        yield told
    finally:
        ended.set()
        for one in threads:
            one.join()
