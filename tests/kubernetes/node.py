"""A node whose pods really run: each is the real server, a process of this machine at a port of its own.

The controllers make the pods of what was deployed; a pod is ready when its server says so, and the pods of the release
before end then. What leads to them from outside, an Ingress, is looked up here, and no proxy stands in between.
"""

import base64
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tests.conftest import ROOT, any_port
from tests.kubernetes.controllers import Controllers, at_work, container, counted, now, serves

STOP_S = 20


class Process:
    """What a pod runs, and what it has written: a line with its time each, as a node keeps it."""

    def __init__(self, folder: Path, words, environ):
        self.port = int(environ["PORT"])
        self.lines = []
        self.process = subprocess.Popen(
            words, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {line.rstrip()}\n")

    def status(self):
        """What it answers when it is asked whether it is ready; None: nothing yet."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready", trust_env=False, timeout=5).status_code
        return None

    def end(self):
        self.process.wait(STOP_S)
        self._reader.join(STOP_S)
        self.process.stdout.close()


class Node(Controllers):
    """The controllers of a namespace, and what their pods run: ``images`` are the bundles in them, by digest."""

    pause_s = 0.2

    def __init__(self, client: httpx.Client, namespace: str, folder: Path) -> None:
        super().__init__(client, namespace)
        self.folder, self.images = folder, {}
        self.pods: dict[str, Process] = {}
        self.ports: dict[str, int] = {}
        self.ended: list[Process] = []
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True)
        program = self._bin / "aweigh"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m aweigh "$@"\n')
        program.chmod(0o755)

    def get(self, pod, default=""):
        """A pod's log."""
        return "".join(self.pods[pod].lines) if pod in self.pods else default

    def look(self):
        names = set()
        for one in self.items(f"{self.apps}/deployments"):
            self.settle(one)
            names.add(one["metadata"]["uid"])
        for one in self.items(f"{self.apps}/replicasets"):
            # A real server without its collector leaves them.
            if one["metadata"]["ownerReferences"][0]["uid"] not in names:
                self.send("DELETE", f"{self.apps}/replicasets/{one['metadata']['name']}")
        there = {one["metadata"]["name"] for one in self.items(f"{self.core}/pods")}
        for name in self.pods.keys() - there:
            self._stop_pod(name)

    def settle(self, deployment):
        """One step on the way to what a Deployment is to be."""
        if self._is_settled(deployment):
            return
        own, generation = self.newest(deployment)
        wanted = deployment["spec"].get("replicas", 1)
        pods, mine = self.pods_of(deployment, own)
        for i in range(len(mine), wanted):
            self.run_pod(own, f"{own['metadata']['name']}-{i}")
        for one in mine[wanted:]:
            self.send("DELETE", f"{self.core}/pods/{one['metadata']['name']}?gracePeriodSeconds=0")
        ready = sum([self._is_ready(one) for one in mine[:wanted]])
        old = [one for one in pods if one not in mine]
        if ready >= wanted:
            for one in old:
                self.send("DELETE", f"{self.core}/pods/{one['metadata']['name']}?gracePeriodSeconds=0")
            old = []
        status = counted(len(old) + wanted, wanted, len(old) + ready) | {"observedGeneration": generation}
        path = f"{self.apps}/deployments/{deployment['metadata']['name']}/status"
        self.send("PATCH", path, {"status": status})

    def _is_settled(self, deployment):
        status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
        if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
            return False
        return status["availableReplicas"] == status["replicas"] == wanted

    def _is_ready(self, pod):
        name = pod["metadata"]["name"]
        if name not in self.pods:
            return False
        if any(one["type"] == "Ready" for one in pod.get("status", {}).get("conditions", ())):
            return True
        said = self.pods[name].status()
        if said == 200:
            status = serves(pod["spec"]["containers"][0]["image"])
            self.send("PATCH", f"{self.core}/pods/{name}/status", {"status": status})
        return said == 200

    def run_pod(self, parent, name):
        """A pod that runs its container's words, with what it is to know."""
        template = parent["spec"]["template"]
        image = template["spec"]["containers"][0]["image"]
        running = {"phase": "Running", "containerStatuses": [container(image, running={"startedAt": now()})]}
        self.make_pod(parent, name, running)
        spec = template["spec"]["containers"][0]
        folder = self.folder / f"{name}-{len(self.ended) + len(self.pods)}"
        folder.mkdir()
        shutil.copyfile(self.images[image.partition("@")[2]], folder / "penguins.aweigh")
        own = {
            "PATH": f"{self._bin}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src"), "HOME": str(folder),
            "AWEIGH_STATE_DIR": str(folder / "state"),
        }  # fmt: skip
        said = {key: value for source in spec.get("envFrom", ()) for key, value in self._said(source).items()}
        said |= {one["name"]: one["value"] for one in spec.get("env", ()) if "value" in one}
        words = [re.sub(r"\$\$", "$", one) for one in spec["command"]]
        self.pods[name] = Process(folder, words, own | said | {"PORT": str(any_port())})
        self.ports[name] = self.pods[name].port

    def _said(self, source):
        """The variables of a ConfigMap or a Secret; none where it is not there."""
        kind, place = ("configmaps", source.get("configMapRef")) if "configMapRef" in source else (
            "secrets", source["secretRef"])  # fmt: skip
        found = self.client.get(f"{self.core}/{kind}/{place['name']}")
        data = found.json().get("data") or {} if found.status_code == 200 else {}
        return {key: base64.b64decode(one).decode() if kind == "secrets" else one for key, one in data.items()}

    def reached(self, url):
        """Where an Ingress of that host leads to: a pod that is ready, of its Service."""
        host = urlsplit(url).hostname
        rules = [
            one["spec"]["rules"][0]
            for one in self.items(f"/apis/networking.k8s.io/v1/namespaces/{self.namespace}/ingresses")
        ]
        paths = next(one["http"]["paths"] for one in rules if one["host"] == host)
        service = self.client.get(f"{self.core}/services/{paths[0]['backend']['service']['name']}").json()
        selector = ",".join(f"{key}={one}" for key, one in service["spec"]["selector"].items())
        ready = [
            one["metadata"]["name"]
            for one in self.items(f"{self.core}/pods", selector)
            if any(each["type"] == "Ready" for each in one.get("status", {}).get("conditions", ()))
        ]
        return f"http://127.0.0.1:{self.pods[ready[-1]].port}"

    def _stop_pod(self, name):
        gone = self.pods.pop(name)
        del self.ports[name]
        gone.process.terminate()
        self.ended.append(gone)

    def close(self):
        """End all that runs."""
        for name in list(self.pods):
            self._stop_pod(name)
        for one in self.ended:
            one.process.kill()
            one.end()


@contextmanager
def running_node(client: httpx.Client, namespace: str, folder: Path):
    """A node at work, none of whose requests may fail."""
    found = Node(client, namespace, folder)
    try:
        with at_work(found):
            yield found
    finally:
        found.close()
    assert found.failed == []
