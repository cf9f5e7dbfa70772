"""What plays the controllers and the nodes: it looks at Deployments and Jobs, makes their pods and says how they are.

It speaks plain HTTP with an API, the stand-in's or a real one's. How a pod fares is in the name of its image:
``missing``, ``crash``, ``unready``, ``room``, ``quota``; any other serves at once.
"""

import hashlib
import json
import threading
import time
from contextlib import contextmanager

import httpx

MERGE = {"Content-Type": "application/merge-patch+json"}


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Controllers:
    """Of one namespace."""

    pause_s = 0.05

    def __init__(self, client: httpx.Client, namespace: str, node: str = "") -> None:
        self.client, self.namespace = client, namespace
        self.apps = f"/apis/apps/v1/namespaces/{namespace}"
        self.core = f"/api/v1/namespaces/{namespace}"
        self.batch = f"/apis/batch/v1/namespaces/{namespace}"
        self.node = {"nodeName": node} if node else {}
        self.failed: list[str] = []
        self._stop = threading.Event()

    def run(self):
        """Looks and acts until it is told to stop."""
        while not self._stop.is_set():
            try:
                self.look()
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
            self._stop.wait(self.pause_s)

    def stop(self):
        self._stop.set()

    def look(self):
        """Brings all to where it is to be."""
        for one in self.items(f"{self.apps}/deployments"):
            if one.get("status", {}).get("observedGeneration", 0) < one["metadata"]["generation"]:
                self.deploy(one)
        served = f"/apis/serving.kserve.io/v1beta1/namespaces/{self.namespace}/inferenceservices"
        for one in self.items(served):
            if one.get("status", {}).get("observedGeneration", 0) < one["metadata"]["generation"]:
                self.serve(served, one)
        for one in self.items(f"{self.batch}/jobs"):
            if not one.get("status", {}).get("conditions"):
                self.run_job(one)

    def items(self, path, selector=""):
        answer = self.client.get(path, params={"labelSelector": selector} if selector else {})
        return answer.json().get("items", []) if answer.status_code == 200 else []

    def send(self, method, path, body=None):
        answer = self.client.request(
            method,
            path,
            content=json.dumps(body or {}),
            headers=MERGE if method == "PATCH" else {"Content-Type": "application/json"},
        )
        if answer.status_code >= 300 and answer.status_code not in {404, 409}:
            self.failed.append(f"{method} {path}: {answer.text[:600]}")
        return answer.json()

    def serve(self, served, one):
        """KServe without Knative: a Deployment of the predictor, and Ready once there is one that serves."""
        name = one["metadata"]["name"]
        image = one["spec"]["predictor"]["image"]
        labels = {"app.kubernetes.io/instance": name, "app.kubernetes.io/component": "web"}
        pods = {
            "metadata": {"labels": labels, "annotations": one["metadata"]["annotations"]},
            "spec": {"containers": [{"name": "kserve-container", "image": image}]},
        }
        document = {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": f"{name}-predictor",
                "labels": {**labels, "serving.kserve.io/inferenceservice": name},
                "ownerReferences": [owner(one, "serving.kserve.io/v1beta1", "InferenceService")],
            },
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pods},
        }  # fmt: skip
        path = f"{self.apps}/deployments/{name}-predictor?fieldManager=kserve&force=true"
        self.send("PATCH", path, document)
        ready = condition("Ready", "True", "", "")
        status = {"observedGeneration": one["metadata"]["generation"], "conditions": [ready]}
        self.send("PATCH", f"{served}/{name}/status", {"status": status})

    def newest(self, deployment):
        """The ReplicaSet of a Deployment's template, made or numbered anew, and the Deployment's generation then."""
        name, meta, spec = deployment["metadata"]["name"], deployment["metadata"], deployment["spec"]
        template = spec["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        selector = ",".join(f"{k}={v}" for k, v in spec["selector"]["matchLabels"].items())
        sets = [
            one for one in self.items(f"{self.apps}/replicasets", selector)
            if one["metadata"]["ownerReferences"][0]["uid"] == meta["uid"]
        ]  # fmt: skip
        newest = max((revision(one) for one in sets), default=0)
        own = next((one for one in sets if one["metadata"]["name"] == f"{name}-{digest}"), None)
        if own is None:
            own = self.make_set(deployment, digest, newest + 1)
        elif revision(own) != newest:
            self.send("PATCH", f"{self.apps}/replicasets/{own['metadata']['name']}", note(newest + 1))
        number = newest + 1 if revision(own) != newest else newest
        # An annotation counts as a generation of a Deployment, too.
        found = self.send("PATCH", f"{self.apps}/deployments/{name}", note(number))
        return own, found.get("metadata", {}).get("generation", 0)

    def pods_of(self, deployment, own):
        """All pods of a Deployment, and those of one ReplicaSet."""
        selector = ",".join(f"{k}={v}" for k, v in deployment["spec"]["selector"]["matchLabels"].items())
        pods = self.items(f"{self.core}/pods", selector)
        return pods, [one for one in pods if one["metadata"]["ownerReferences"][0]["uid"] == own["metadata"]["uid"]]

    def deploy(self, deployment):
        """A Deployment: a ReplicaSet for its template, pods of it, those of others away, and the status."""
        own, now_at = self.newest(deployment)
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        template, of_set = spec["template"], own["metadata"]["name"]
        image = template["spec"]["containers"][0]["image"]
        wanted = spec.get("replicas", 1)
        pods, mine = self.pods_of(deployment, own)
        bad = next((one for one in ("missing", "crash", "unready", "room", "quota") if one in image), None)
        if bad is None:
            for one in pods:
                if one not in mine or len(mine) > wanted:
                    self.send("DELETE", f"{self.core}/pods/{one['metadata']['name']}?gracePeriodSeconds=0")
            for i in range(len(mine) if len(mine) <= wanted else 0, wanted):
                self.make_pod(own, f"{of_set}-{i}", serves(image))
            status = counted(wanted, wanted, wanted)
        else:
            if bad != "quota" and not mine:
                self.make_pod(own, f"{of_set}-0", STATES[bad](image))
            # What ran goes on.
            old = len(pods) - len(mine)
            status = counted(old + 1, 0 if bad == "quota" else 1, old)
            if bad == "quota":
                told = 'pods "x" is forbidden: exceeded quota: small, requested: memory=1Gi, used: memory=1Gi'
                status["conditions"].append(condition("ReplicaFailure", "True", "FailedCreate", told))
        status["observedGeneration"] = now_at
        self.send("PATCH", f"{self.apps}/deployments/{name}/status", {"status": status})

    def make_set(self, deployment, digest, number):
        template = json.loads(json.dumps(deployment["spec"]["template"]))
        template["metadata"]["labels"]["pod-template-hash"] = digest
        labels = template["metadata"]["labels"]
        chosen = {**deployment["spec"]["selector"]["matchLabels"], "pod-template-hash": digest}
        return self.send("POST", f"{self.apps}/replicasets", {
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": f"{deployment['metadata']['name']}-{digest}", "labels": labels,
                **note(number)["metadata"], "ownerReferences": [owner(deployment, "apps/v1", "Deployment")],
            },
            "spec": {"replicas": 0, "selector": {"matchLabels": chosen}, "template": template},
        })  # fmt: skip

    def make_pod(self, parent, name, status):
        template = parent["spec"]["template"]
        meta = {
            **template["metadata"], "name": name,
            "ownerReferences": [owner(parent, "apps/v1", "ReplicaSet")],
        }  # fmt: skip
        self.send("POST", f"{self.core}/pods", {
            "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"] | self.node,
        })  # fmt: skip
        events = status.pop("events", ())
        self.send("PATCH", f"{self.core}/pods/{name}/status", {"status": {**status, "startTime": now()}})
        for i, (reason, message) in enumerate(events):
            self.send("POST", f"{self.core}/events", {
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{name}.{i}", "namespace": self.namespace},
                "involvedObject": {"kind": "Pod", "name": name, "namespace": self.namespace},
                "reason": reason, "message": message, "type": "Warning", "lastTimestamp": now(),
            })  # fmt: skip

    def run_job(self, job):
        name = job["metadata"]["name"]
        image = job["spec"]["template"]["spec"]["containers"][0]["image"]
        fails = "badmigration" in image
        template = job["spec"]["template"]
        labels = {**(template["metadata"].get("labels") or {}), "job-name": name}
        meta = {"name": f"{name}-pod", "labels": labels, "ownerReferences": [owner(job, "batch/v1", "Job")]}
        self.send("POST", f"{self.core}/pods", {
            "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"] | self.node,
        })  # fmt: skip
        told = ("Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        done = condition(*(told if fails else ("Complete", "True", "", "")))
        self.send("PATCH", f"{self.batch}/jobs/{name}/status", {"status": {"conditions": [done]}})


def revision(found):
    return int(found["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", 0))


def note(number):
    return {"metadata": {"annotations": {"deployment.kubernetes.io/revision": str(number)}}}


def owner(found, version, kind):
    meta = found["metadata"]
    return {"apiVersion": version, "kind": kind, "name": meta["name"], "uid": meta["uid"], "controller": True}


def condition(kind, status, reason, message):
    return {
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now(), "lastProbeTime": now(),
    }  # fmt: skip


def counted(replicas, updated, available):
    found = {
        "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available, "readyReplicas": available,
        "conditions": [condition("Progressing", "True", "ReplicaSetUpdated", "")],
    }  # fmt: skip
    for one in found["conditions"]:
        one.pop("lastProbeTime")
    return found


def container(image, *, ready=False, restarts=0, **state):
    found = {"name": "web", "image": image, "imageID": "", "ready": ready, "restartCount": restarts}
    last = state.pop("last", None)
    return {**found, "state": state, **({"lastState": last} if last else {})}


def serves(image):
    ready = [{"type": kind, "status": "True", "lastTransitionTime": now()} for kind in ("PodScheduled", "Ready")]
    return {
        "phase": "Running", "conditions": ready,
        "containerStatuses": [container(image, ready=True, running={"startedAt": now()})],
    }  # fmt: skip


def _missing(image):
    told = "rpc error: code = NotFound desc = failed to pull and unpack image: not found"
    waiting = {"reason": "ErrImagePull", "message": told}
    return {"phase": "Pending", "containerStatuses": [container(image, waiting=waiting)]}


def _crash(image):
    ended = {"terminated": {"exitCode": 3, "reason": "Error", "startedAt": now(), "finishedAt": now()}}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
    return {"phase": "Running", "containerStatuses": [container(image, restarts=3, waiting=waiting, last=ended)]}


def _unready(image):
    told = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    return {
        "phase": "Running", "containerStatuses": [container(image, running={"startedAt": now()})],
        "events": [("Unhealthy", told)],
    }  # fmt: skip


def _room(image):
    told = "0/3 nodes are available: 3 Insufficient memory."
    found = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": told}
    return {"phase": "Pending", "conditions": [{**found, "lastTransitionTime": now()}]}


STATES = {"missing": _missing, "crash": _crash, "unready": _unready, "room": _room}


@contextmanager
def at_work(found):
    """What runs in a thread of its own until the block ends."""
    thread = threading.Thread(target=found.run, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join(10)


@contextmanager
def acting(client: httpx.Client, namespace: str, node: str = ""):
    """Controllers at work."""
    with at_work(Controllers(client, namespace, node)) as found:
        yield found
