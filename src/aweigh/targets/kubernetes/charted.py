"""Objects as the templates of a chart: the very objects, with an expression where a value of the chart goes in.

Nothing of a plan's texts is in an expression but names that were allow-listed; all other texts are written without a
brace, so that no template is in them.
"""

import copy
from collections.abc import Iterator, Mapping

import msgspec

from aweigh.targets.compose.plan import MIGRATE, WEB, WORKER
from aweigh.targets.kubernetes.kserve import inference_service
from aweigh.targets.kubernetes.meta import BUNDLE, RELEASE, SECRETS, Object
from aweigh.targets.kubernetes.network import ingress, policies, route, service
from aweigh.targets.kubernetes.plan import Plan
from aweigh.targets.kubernetes.scaling import (
    IN_FLIGHT,
    QUEUE,
    autoscaler,
    disruption_budget,
    pods_pattern,
    scaled_object,
)
from aweigh.targets.kubernetes.security import service_account
from aweigh.targets.kubernetes.stores import database, valkey
from aweigh.targets.kubernetes.wish import Entry, Scaling
from aweigh.targets.kubernetes.workload import config_maps, deployment, migration
from aweigh.targets.yaml import Between, Raw

END = "{{- end }}"
BY, WAY = ".Values.scaling.by", ".Values.entry.way"
SECURE = 'or (eq .Values.entry.way "gateway") .Values.entry.tlsSecret'
_STANDING = "x"
"""Where an expression goes in, so that the object has the field."""


def value(path: str) -> Raw:
    """A value of the chart as JSON, which YAML reads."""
    return Raw(f"{{{{ {path} | toJson }}}}")


def text(path: str) -> Raw:
    """A number of the chart's as a text."""
    return Raw(f"{{{{ {path} | toJson | quote }}}}")


def included(name: str) -> Raw:
    """What a named template makes, as a text."""
    return Raw(f'{{{{ include "aweigh.{name}" . | toJson }}}}')


def only(condition: str, one: object) -> Between:
    """An entry that is there under a condition."""
    return Between(one, f"{{{{- if {condition} }}}}", END)


def templates_of(plan: Plan) -> dict[str, tuple[str, Object]]:
    """By the name of its file each object, and the condition under which it is there (empty: always)."""
    whole = msgspec.structs.replace(
        plan,
        settings=plan.settings or {_STANDING: _STANDING},
        secrets_version=_STANDING,
        pull_secret=_STANDING,
        metrics_namespace=_STANDING,
        entry=Entry(
            "ingress",
            "x.example.org",
            class_name="x",
            tls_secret=_STANDING,
            issuer="x",
            gateway="x",
            gateway_namespace="x",
            namespace="x",
        ),
        scaling=Scaling("fixed", prometheus=_STANDING),
    )
    found = {name: (condition, _common(one, plan)) for name, condition, one in _objects(whole, plan)}
    return {f"{name}.yaml": one for name, one in found.items()}


def _objects(whole: Plan, plan: Plan) -> Iterator[tuple[str, str, Object]]:
    yield "serviceaccount", "", service_account(whole)
    ours, owners = config_maps(whole)
    ours["metadata"]["name"], ours["data"] = included("configName"), Raw('{{ include "aweigh.config" . }}')
    owners["data"] = value(".Values.settings")
    yield "configmap-release", "", ours
    yield "configmap-settings", ".Values.settings", owners
    yield from _policies(whole)
    if "postgresql" in plan.stores and plan.where.postgresql == "inside":
        yield "database", "", _database(whole)
    if "redis" in plan.stores and plan.where.redis == "inside":
        names = ("redis-service", "redis")
        for name, one in zip(names, valkey(whole), strict=True):
            if name == "redis":
                one["spec"]["template"]["spec"]["containers"][0]["image"] = value(".Values.redis.image")
            yield name, "", one
    if MIGRATE in plan.processes:
        job = migration(whole, _STANDING)
        job["metadata"]["name"] = Raw(
            f'{{{{ printf "{plan.app}-migrate-%s" (include "aweigh.release" . | trunc 12) | toJson }}}}'
        )
        yield "migrate", "", _run(job, MIGRATE)
    for name in plan.replicas:
        if name != WEB or plan.serving == "deployment":
            yield f"deployment-{name}", "", _deployment(whole, name)
    if plan.serving == "kserve":
        yield "inferenceservice", "", _inference_service(whole, plan)
        return
    yield "service", "", _service(whole)
    yield "poddisruptionbudget", "", disruption_budget(whole)
    yield from _scaling(whole)
    yield from _entry(whole)


def _common(one: Object, plan: Plan) -> Object:
    """What every object has, and what its pods say of the release."""
    one = copy.deepcopy(one)
    one["metadata"]["namespace"] = value(".Release.Namespace")
    _label(one["metadata"], plan)
    spec = one.get("spec", {})
    template = spec.get("template") if isinstance(spec, Mapping) else None
    if template is not None:
        _label(template["metadata"], plan)
    return one


def _label(metadata: Object, plan: Plan) -> None:
    if "app.kubernetes.io/version" in metadata.get("labels", {}):
        metadata["labels"]["app.kubernetes.io/version"] = value(".Values.version")
    notes = metadata.get("annotations", {})
    if isinstance(notes, Between):
        return
    if RELEASE in notes:
        notes[RELEASE] = included("release")
    if BUNDLE in notes and plan.bundle:
        notes[BUNDLE] = value(".Values.version")
    if SECRETS in notes:
        notes[SECRETS] = only(".Values.secretsVersion", value(".Values.secretsVersion"))


# -- what runs -------------------------------------------------------------------------------------------------------


def _deployment(whole: Plan, name: str) -> Object:
    one = deployment(whole, name, _STANDING)
    count = value(f'index .Values.replicas "{name}"')
    one["spec"]["replicas"] = only(f'eq {BY} "fixed"', count) if name == WEB else count
    return _run(one, name)


def _run(one: Object, name: str) -> Object:
    _pod(one["spec"]["template"]["spec"], name)
    return one


def _pod(pod: Object, name: str) -> None:
    container = pod["containers"][0]
    container["image"] = Raw('{{ printf "%s@%s" .Values.image.repository .Values.image.digest | toJson }}')
    container["resources"] = value(f'index .Values.resources "{name}"')
    container["envFrom"][1]["configMapRef"]["optional"] = Raw("{{ not .Values.settings }}")
    container["envFrom"][0]["configMapRef"]["name"] = included("configName")
    pod["terminationGracePeriodSeconds"] = value(".Values.stopSeconds")
    pod["imagePullSecrets"] = only(".Values.pullSecret", [{"name": value(".Values.pullSecret")}])


def _inference_service(whole: Plan, plan: Plan) -> Object:
    one = inference_service(whole, _STANDING)
    predictor = one["spec"]["predictor"]
    _pod(predictor, WEB)
    several = f'ne {BY} "fixed"'
    least, most = "int .Values.replicas.web", "max 1 (int .Values.replicas.web)"
    predictor["minReplicas"] = Raw(f"{{{{ ternary (int .Values.scaling.least) ({least}) ({several}) | toJson }}}}")
    predictor["maxReplicas"] = Raw(f"{{{{ ternary (int .Values.scaling.most) (int ({most})) ({several}) | toJson }}}}")
    predictor["scaleMetric"] = only(several, "cpu")
    predictor["scaleTarget"] = only(several, value(".Values.scaling.cpuPercent"))
    bundle = {BUNDLE: value(".Values.version")} if plan.bundle else {}
    predictor["annotations"] = {RELEASE: included("release")} | bundle
    return one


def _database(whole: Plan) -> Object:
    one = database(whole)
    one["spec"]["instances"] = value(".Values.database.instances")
    one["spec"]["storage"]["size"] = value(".Values.database.size")
    one["spec"]["imageName"] = only(".Values.database.image", value(".Values.database.image"))
    return one


# -- how it is reached, and how it grows -----------------------------------------------------------------------------


def _policies(whole: Plan) -> Iterator[tuple[str, str, Object]]:
    for one in policies(whole):
        name = one["metadata"]["name"].removeprefix(whole.app).removeprefix("-")
        if name == WEB:
            one["spec"]["ingress"] = Raw('{{ include "aweigh.webIn" . }}')
        elif name == WORKER:
            one["spec"]["ingress"][0]["from"] = [_namespace(".Values.metricsNamespace")]
        condition = ".Values.metricsNamespace" if name == WORKER else ""
        yield f"networkpolicy-{name}" if name else "networkpolicy", condition, one


def _namespace(path: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": value(path)}}}


def _service(whole: Plan) -> Object:
    one = service(whole)
    notes = one["metadata"].get("annotations")
    if whole.has_ui and notes is not None:
        secure = "traefik.ingress.kubernetes.io/service.sticky.cookie.secure"
        notes[secure] = only(".Values.entry.tlsSecret", "true")
        one["metadata"]["annotations"] = only(f'eq {WAY} "ingress"', notes)
        one["spec"]["sessionAffinity"] = only(f'eq {WAY} "none"', "ClientIP")
    return one


def _entry(whole: Plan) -> Iterator[tuple[str, str, Object]]:
    one = ingress(whole)
    host, secret = value(".Values.entry.host"), value(".Values.entry.tlsSecret")
    notes, spec = one["metadata"]["annotations"], one["spec"]
    for key, condition, said in (
        ("nginx.ingress.kubernetes.io/session-cookie-secure", ".Values.entry.tlsSecret", "true"),
        ("cert-manager.io/cluster-issuer", ".Values.entry.issuer", value(".Values.entry.issuer")),
    ):
        if key in notes:
            notes[key] = only(condition, said)
    spec["ingressClassName"] = only(".Values.entry.className", value(".Values.entry.className"))
    spec["tls"] = only(".Values.entry.tlsSecret", [{"hosts": [host], "secretName": secret}])
    spec["rules"][0]["host"] = host
    yield "ingress", f'eq {WAY} "ingress"', one
    one = route(msgspec.structs.replace(whole, entry=msgspec.structs.replace(whole.entry, way="gateway")))
    spec = one["spec"]
    spec["hostnames"] = [host]
    spec["parentRefs"][0]["name"] = value(".Values.entry.gateway")
    there = ".Values.entry.gatewayNamespace"
    spec["parentRefs"][0]["namespace"] = only(there, value(there))
    rule = spec["rules"][0]
    if "sessionPersistence" in rule:
        rule["sessionPersistence"] = only(".Values.entry.sticky", rule["sessionPersistence"])
    yield "httproute", f'eq {WAY} "gateway"', one


def _scaling(whole: Plan) -> Iterator[tuple[str, str, Object]]:
    one = autoscaler(msgspec.structs.replace(whole, scaling=Scaling("queue", prometheus=_STANDING)))
    spec = one["spec"]
    spec["minReplicas"], spec["maxReplicas"] = value(".Values.scaling.least"), value(".Values.scaling.most")
    *pods, cpu = spec["metrics"]
    for each, path in zip(pods, ("inFlight", "queueRows"), strict=True):
        each["pods"]["target"]["averageValue"] = text(f".Values.scaling.{path}")
    cpu["resource"]["target"]["averageUtilization"] = value(".Values.scaling.cpuPercent")
    spec["metrics"] = [*(only(f'eq {BY} "queue"', each) for each in pods), cpu]
    yield "horizontalpodautoscaler", f'or (eq {BY} "cpu") (eq {BY} "queue")', one
    one = scaled_object(msgspec.structs.replace(whole, scaling=Scaling("keda", prometheus=_STANDING)))
    spec = one["spec"]
    spec["minReplicaCount"], spec["maxReplicaCount"] = value(".Values.scaling.least"), value(".Values.scaling.most")
    for each, name, path in zip(spec["triggers"], (IN_FLIGHT, QUEUE), ("inFlight", "queueRows"), strict=False):
        pods_of = f'{{namespace=\\"%s\\",pod=~\\"{pods_pattern(whole)}\\"}}'
        query = f'{{{{ printf "sum({name}{pods_of})" .Release.Namespace | toJson }}}}'
        each["metadata"] |= {
            "serverAddress": value(".Values.scaling.prometheus"),
            "query": Raw(query),
            "threshold": text(f".Values.scaling.{path}"),
        }
    spec["triggers"][2]["metadata"]["value"] = text(".Values.scaling.cpuPercent")
    yield "scaledobject", f'eq {BY} "keda"', one
