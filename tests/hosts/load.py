"""Clients that keep their connections and try nothing twice: what fails for them, fails for somebody."""

import http.client
import json
import threading
import time
from collections import Counter

PAUSES_S = (0.0, 0.003, 0.02, 0.1)


class Load:
    """Eight clients at a port, from `with` on; some busy, some mostly idle.

    ``rows`` are one for each model that may answer: a client whose row does not fit any more takes the next.
    """

    def __init__(self, port: int, rows: list[dict]) -> None:
        self._port, self._bodies = port, [json.dumps({"rows": [row]}) for row in rows]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(PAUSES_S[i % 4],)) for i in range(8)]
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest_s = 0.0

    def __enter__(self):
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for one in self._threads:
            one.join(60)

    def wait_for(self, version: str, *, within_s: float = 30.0) -> None:
        """Wait until somebody was answered by that bundle."""
        end = time.monotonic() + within_s
        while self.versions[version] == 0:
            assert time.monotonic() < end, self.versions
            time.sleep(0.01)

    def _run(self, pause_s: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        which = 0
        while not self._stop.wait(pause_s):
            begun = time.perf_counter()
            try:
                connection.request("POST", "/v1/predict", self._bodies[which], {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.versions[json.loads(body)["model"]["version"]] += 1
            elif answer.status == 422:
                which = (which + 1) % len(self._bodies)
            else:
                self.failures.append(f"{answer.status}: {body[:200]!r}")
            self.slowest_s = max(self.slowest_s, time.perf_counter() - begun)
        connection.close()
