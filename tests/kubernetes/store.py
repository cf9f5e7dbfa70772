"""The objects of the stand-in: kept in memory, their fields owned by whoever applied them."""

import copy
import itertools
import time
from typing import Any

KINDS = {
    "v1": [
        ("namespaces", "Namespace", False), ("pods", "Pod", True), ("secrets", "Secret", True),
        ("configmaps", "ConfigMap", True), ("services", "Service", True), ("events", "Event", True),
        ("serviceaccounts", "ServiceAccount", True), ("persistentvolumeclaims", "PersistentVolumeClaim", True),
    ],
    "apps/v1": [
        ("deployments", "Deployment", True), ("replicasets", "ReplicaSet", True), ("statefulsets", "StatefulSet", True)
    ],
    "batch/v1": [("jobs", "Job", True)],
    "autoscaling/v2": [("horizontalpodautoscalers", "HorizontalPodAutoscaler", True)],
    "autoscaling/v1": [("horizontalpodautoscalers", "HorizontalPodAutoscaler", True)],
    "policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget", True)],
    "serving.kserve.io/v1beta1": [("inferenceservices", "InferenceService", True)],
    "networking.k8s.io/v1": [("ingresses", "Ingress", True), ("networkpolicies", "NetworkPolicy", True)],
}  # fmt: skip
KIND_OF = {
    (version, plural): kind for version, listed in KINDS.items() for plural, kind, _ in listed
}  # fmt: skip


class Answer(Exception):
    """An answer that is no object."""

    def __init__(self, code, reason, message, **details):
        super().__init__(message)
        self.code = code
        self.document = {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason,
            "details": details, "code": code,
        }  # fmt: skip


class Store:
    """Objects by collection (version, namespace, plural) and name."""

    def __init__(self):
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.owners: dict[tuple[tuple[str, str, str], str], dict[str, set[tuple[str, ...]]]] = {}
        self.history: list[tuple[int, str, tuple[str, str, str], dict[str, Any]]] = []
        self.version = 100
        self.oldest = 0
        self._number = itertools.count(1)

    def get(self, place, name):
        found = self.objects.get(place, {}).get(name)
        if found is None:
            raise Answer(404, "NotFound", f'{place[2]} "{name}" not found', name=name, kind=place[2])
        return found

    def put(self, place, name, document, *, before, dry_run):
        """Store what an object is to be, and tell those that watch."""
        version, namespace, plural = place
        found = copy.deepcopy(document)
        meta = found.setdefault("metadata", {})
        meta["name"] = name
        if namespace:
            meta["namespace"] = namespace
        was = {} if before is None else before["metadata"]
        meta["uid"] = was.get("uid") or f"uid-{next(self._number)}"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        meta["creationTimestamp"] = was.get("creationTimestamp") or now
        changed = before is None or before.get("spec") != found.get("spec")
        meta["generation"] = was.get("generation", 0) + (1 if changed else 0)
        if "stringData" in found:
            raise Answer(422, "Invalid", "stringData is not for server-side apply")
        found |= {"apiVersion": version, "kind": KIND_OF[version, plural]}
        found["metadata"]["managedFields"] = [
            {"manager": manager, "operation": "Apply", "fieldsV1": nested(paths)}
            for manager, paths in self.owners.get((place, name), {}).items()
        ]
        if before is not None and stripped(before) == stripped(found):
            return before
        if dry_run:
            return found
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        self.objects.setdefault(place, {})[name] = found
        self.history.append((self.version, "ADDED" if before is None else "MODIFIED", place, copy.deepcopy(found)))
        return found

    def delete(self, place, name):
        found = self.get(place, name)
        del self.objects[place][name]
        self.owners.pop((place, name), None)
        self.version += 1
        self.history.append((self.version, "DELETED", place, copy.deepcopy(found)))
        uid = found["metadata"]["uid"]
        for other, listed in list(self.objects.items()):
            for one in list(listed.values()):
                owners = one["metadata"].get("ownerReferences", [])
                if any(each["uid"] == uid for each in owners):
                    self.delete(other, one["metadata"]["name"])
        return found

    def apply(self, place, name, document, *, manager, force, dry_run):
        """Server-side apply."""
        before = self.objects.get(place, {}).get(name)
        document = {key: value for key, value in document.items() if key not in {"apiVersion", "kind"}}
        document["metadata"] = {k: v for k, v in document.get("metadata", {}).items() if k not in {"name", "namespace"}}
        wanted = dict(leaves(document))
        owners = copy.deepcopy(self.owners.get((place, name), {}))
        live = {} if before is None else dict(leaves(before))
        conflicts = [
            (path, other)
            for path, value in wanted.items()
            for other, paths in owners.items()
            if other != manager and path in paths and live.get(path) != value
        ]
        if conflicts and not force:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{other}" using apps/v1',
                    "field": "." + ".".join(path),
                }
                for path, other in conflicts
            ]
            told = f"Apply failed with {len(causes)} conflict: {causes[0]['message']}: {causes[0]['field']}"
            raise Answer(409, "Conflict", told, causes=causes)
        after = copy.deepcopy(before or {})
        merge_named(after, document)
        gone = owners.get(manager, set()) - wanted.keys()
        for path in sorted(gone, key=lambda one: one[-1] == "name"):
            if not any(path in paths for other, paths in owners.items() if other != manager):
                remove(after, path)
        for other, paths in owners.items():
            if other != manager:
                paths.difference_update({path for path, _ in conflicts})
        owners[manager] = set(wanted)
        kept, self.owners[place, name] = self.owners.get((place, name), {}), owners
        found = self.put(place, name, after, before=before, dry_run=dry_run)
        if dry_run:
            self.owners[place, name] = kept
        return found

    def merge(self, place, name, change, *, manager, status):
        """A merge patch, of the status alone or of the rest."""
        before = self.get(place, name)
        after = copy.deepcopy(before)
        part = {"status": change.get("status")} if status else {k: v for k, v in change.items() if k != "status"}
        merged(after, part)
        owned = {path for path, _ in leaves(part)}
        owners = self.owners.setdefault((place, name), {})
        for paths in owners.values():
            paths.difference_update(owned)
        owners.setdefault(manager, set()).update(owned)
        return self.put(place, name, after, before=before, dry_run=False)


def leaves(found, path=()):
    """Each value with its path; items of a list with names by these."""
    if isinstance(found, dict) and found:
        for key, value in found.items():
            yield from leaves(value, (*path, key))
    elif isinstance(found, list) and found and all(isinstance(one, dict) and "name" in one for one in found):
        for one in found:
            yield from leaves(one, (*path, f"[{one['name']}]"))
    else:
        yield path, found


def merge_named(old, new):
    """Put new values over old ones; lists of names item by item."""
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            merge_named(old[key], value)
        elif isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
            there = {one["name"]: one for one in old.get(key) or []}
            for one in value:
                merge_named(there.setdefault(one["name"], {}), one)
            old[key] = list(there.values())
        else:
            old[key] = copy.deepcopy(value)


def remove(found, path):
    """Take what lies at a path away, and what is empty then."""
    key = path[0]
    if key.startswith("[") and isinstance(found, list):
        item = next((one for one in found if f"[{one.get('name')}]" == key), None)
        if item is None:
            return
        remove(item, path[1:])
        if (set(item) <= {"name"} and path[1:] == ("name",)) or not item:
            found.remove(item)
        return
    if not isinstance(found, dict) or key not in found:
        return
    if len(path) == 1:
        del found[key]
        return
    remove(found[key], path[1:])
    if found[key] in ({}, []):
        del found[key]


def merged(old, change):
    """RFC 7396."""
    for key, value in change.items():
        if value is None:
            old.pop(key, None)
        elif isinstance(value, dict):
            merged(old.setdefault(key, {}), value)
        else:
            old[key] = copy.deepcopy(value)


def nested(paths):
    """Paths as ``fieldsV1`` has them, near enough."""
    found = {}
    for path in paths:
        place = found
        for key in path:
            name = f'k:{{"name":"{key[1:-1]}"}}' if key.startswith("[") else f"f:{key}"
            place = place.setdefault(name, {})
    return found


def stripped(found):
    """An object without its version."""
    meta = {k: v for k, v in found.get("metadata", {}).items() if k not in {"resourceVersion", "managedFields"}}
    return {**found, "metadata": meta}
