"""Plans for tests, and what an object is held to: Kubernetes' own schemas, strictly, and those of its additions."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import jsonschema
from referencing import Registry, Resource

from aweigh.targets.kubernetes.plan import Known, plan_of
from aweigh.targets.kubernetes.wish import Entry, Scaling, Stores, Wish
from aweigh.targets.release import Release

NEWEST = "v1.37.0"
DATA = Path(__file__).parent / "data" / "kubernetes"
DIGEST = "sha256:" + "ab" * 32
IMAGE = f"ghcr.io/team/penguins@{DIGEST}"
RELEASE = Release(
    name="penguins",
    python="3.12",
    processes={
        "web": "aweigh serve penguins.aweigh --host 0.0.0.0 --auth password --workers auto",
        "worker": "aweigh worker penguins.aweigh",
        "release": "aweigh migrate",
    },
    files={},
    config={"AWEIGH_PROXIES": "1", "AWEIGH_DRAIN_S": "20", "AWEIGH_JOBS": "worker"},
    secrets=("AWEIGH_CACHE_SECRET",),
    stores=("postgresql", "redis"),
    description="Says which; $(penguin)\n`it` {{ is }}",
)
ALONE = Release(
    name="penguins",
    python="3.12",
    processes={"web": "aweigh serve penguins.aweigh --host 0.0.0.0 --auth none --workers auto"},
    files={},
    config={"AWEIGH_PROXIES": "1", "AWEIGH_DRAIN_S": "20"},
)
ENTRIES = {
    "none": Entry(),
    "ingress": Entry("ingress", "models.example.org"),
    "ingress with tls": Entry("ingress", "models.example.org", "nginx", "models-tls", "letsencrypt", namespace="any"),
    "gateway": Entry("gateway", "models.example.org", gateway="outside", gateway_namespace="gateways"),
    "gateway here": Entry("gateway", "models.example.org", gateway="outside", sticky=False),
}
SCALINGS = {
    "fixed": Scaling(),
    "cpu": Scaling("cpu", 1, 5),
    "queue": Scaling("queue", 2, 9),
    "keda": Scaling("keda", 1, 5, prometheus="http://prometheus.monitoring.svc:9090"),
}
STORES = {"address": Stores(), "inside": Stores("inside", "inside")}
EVIL = (
    "$(touch x)", "$(AWEIGH_PROXIES)", "${HOME}", "$HOME", "$$", "; rm -rf /", "'\"", "a: b", "#", "\\", "\\n", "- x",
    "{}", "[a]", "yes", "No", "null", "~", "0x1f", "1e3", "1_000", "12:30:00", "2026-01-01", ".inf", "&a", "*a",
    "!!python/object:os.system", "%YAML", "---", "é🐧", "<b>&amp;", "{{ .Values.image }}", '{{- fail "x" -}}', "}}",
    "{{/*", '{{ include "aweigh.config" . }}', "`{{`", '{{ "{{" }}', "",
)  # fmt: skip
"""Texts that some reader may take for more; a line break is in no setting, but in descriptions."""


def plan(release=RELEASE, *, settings=None, counts=None, measured=None, image=IMAGE, **wish):
    """A plan as a wish makes it."""
    made = Wish(**{"app": "penguins", "namespace": "models", **wish})
    return plan_of(release, made, Known(image, measured), settings=settings, counts=counts)


def held(one):
    """The object, when it is what its schema allows and nothing else."""
    own = _own().get((one["kind"], one["apiVersion"]))
    (_strict(one["kind"], one["apiVersion"]) if own is None else own).validate(one)
    return one


@cache
def _own():
    found = {}
    for path in DATA.glob("*.json"):
        read = json.loads(path.read_text())
        validator = jsonschema.Draft202012Validator(_closed(read["schema"]))
        found[read["kind"], read["apiVersion"]] = validator
    return found


def _closed(schema):
    """The schema of a definition; as the cluster does when it is strict, no field that it does not know is let in."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(one) for key, one in schema.items()}
    is_open = found.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in found
    if isinstance(found.get("properties"), dict) and not is_open and found.get("type") == "object":
        found["additionalProperties"] = False
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


@cache
def _folder():
    spec = importlib.util.find_spec("kubernetes_validate")
    return Path(spec.origin).parent / "kubernetes-json-schema" / f"{NEWEST}-local-strict"


@cache
def _definitions():
    return Resource.from_contents(json.loads((_folder() / "_definitions.json").read_text()))


@cache
def _strict(kind, version):
    group, _, number = version.rpartition("/")
    name = "-".join(one for one in (kind.lower(), group.split(".")[0], number) if one)
    schema = json.loads((_folder() / f"{name}.json").read_text())
    registry = _definitions() @ (Resource.from_contents(schema) @ Registry())
    return jsonschema.Draft202012Validator(schema, registry=registry)
