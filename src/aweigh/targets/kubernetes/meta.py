"""What every object has: its name, its labels, its namespace; and the names of those that others refer to."""

import hashlib
import json
from typing import Any

from aweigh.targets.compose.plan import WEB
from aweigh.targets.kubernetes.plan import Plan

MANAGER = "aweigh"
RELEASE, BUNDLE = "aweigh.io/release", "aweigh.io/bundle"
DESCRIPTION, SECRETS = "aweigh.io/description", "aweigh.io/secrets"
"""Annotations."""
MOST_DESCRIPTION = 500
DATABASE, REDIS = "db", "redis"
SHORT = 12
_NOT_IN_HTML = "<>&\u2028\u2029"

Object = dict[str, Any]


def labels_of(plan: Plan, component: str = "") -> dict[str, str]:
    """The labels of an object, and of a pod."""
    found = {
        "app.kubernetes.io/name": plan.name or plan.app,
        "app.kubernetes.io/instance": plan.app,
        "app.kubernetes.io/managed-by": MANAGER,
        "app.kubernetes.io/version": plan.version,
    }
    return found | ({"app.kubernetes.io/component": component} if component else {})


def selector_of(plan: Plan, component: str) -> dict[str, str]:
    """What picks the pods of a component; it never changes, as a Deployment's cannot."""
    return {"app.kubernetes.io/instance": plan.app, "app.kubernetes.io/component": component}


def made(plan: Plan, api: str, kind: str, name: str, *, component: str = "", **more: Any) -> Object:
    """An object of the app's namespace; ``more`` are its other fields, without those that are empty."""
    annotations = more.pop("annotations", {})
    metadata: Object = {"name": name, "namespace": plan.namespace, "labels": labels_of(plan, component)}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def process_name(plan: Plan, process: str) -> str:
    """What a process's Deployment is called, and what belongs to it."""
    return f"{plan.app}-{process}"


def web_name(plan: Plan) -> str:
    """The Deployment that answers."""
    return process_name(plan, WEB)


def migration_name(plan: Plan, release: str) -> str:
    """The Job of a release's migration: another release, another Job, as a Job cannot be changed."""
    return f"{plan.app}-migrate-{release[:SHORT]}"


def config_name(plan: Plan) -> str:
    """The ConfigMap of the owner's settings, and the Secret of those that are nobody's to see."""
    return f"{plan.app}-config"


def release_config_name(plan: Plan) -> str:
    """The ConfigMap of what a release says of itself: another content, another name, so that the way back is whole."""
    return f"{plan.app}-release-{hashlib.sha256(compact(plan.config).encode()).hexdigest()[:SHORT]}"


def compact(value: object) -> str:
    """A value as JSON, to the byte as Go writes it: the templates of a chart make the same digests.

    >>> compact({"b": "<é>", "a": 1}) == '{"a":1,"b":"' + chr(92) + "u003cé" + chr(92) + 'u003e"}'
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "".join(f"\\u{ord(one):04x}" if one in _NOT_IN_HTML else one for one in text)


def secrets_name(plan: Plan) -> str:
    """The Secret of what is made up, and of addresses with passwords."""
    return f"{plan.app}-secrets"


def database_name(plan: Plan) -> str:
    """CloudNativePG's Cluster; its operator writes the address into the Secret of this name with ``-app``."""
    return f"{plan.app}-{DATABASE}"


def redis_name(plan: Plan) -> str:
    """The StatefulSet of Valkey, and its Service."""
    return f"{plan.app}-{REDIS}"
