"""A plan as a Helm chart: rendered with its own values it is the plain YAML, object for object.

The values are the image, how many of what, the resources, the settings, how it is reached and how it scales. Names and
commands are the plan's, and in no value. The namespace is the one that Helm installs into.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from aweigh.targets.image.build import PORT, plain
from aweigh.targets.kubernetes.charted import END, SECURE, templates_of
from aweigh.targets.kubernetes.meta import SHORT, Object, compact, secrets_name
from aweigh.targets.kubernetes.objects import objects_of, release_digest
from aweigh.targets.kubernetes.plain import HEAD
from aweigh.targets.kubernetes.plan import Plan
from aweigh.targets.kubernetes.wish import ANYWHERE, NGINX
from aweigh.targets.replica import Resources
from aweigh.targets.yaml import to_yaml

OF_ENTRY = ("AWEIGH_PROXIES", "AWEIGH_PUBLIC_URL")
OF_COUNT = ("AWEIGH_JOBS", "AWEIGH_JOBS_MAX_KEPT_BYTES")
_OPEN = ("config", "settings")
"""Values that take any key."""
_TOLD = """\
What is usually another one in another cluster. Settings of your own go into settings, and count more than config, which
is what the release says of itself; secrets are in the Secret {secrets}."""


def chart_of(plan: Plan) -> dict[str, bytes]:
    """The files of the chart.

    Raises:
        UsageError: a setting in the plan cannot be.
    """
    objects_of(plan)
    values = values_of(plan)
    schema = schema_of(values, kserve=plan.serving == "kserve")
    files = {
        "Chart.yaml": to_yaml(_chart(plan), head=HEAD.format(app=plan.app)),
        "values.yaml": to_yaml(values, head=_TOLD.format(secrets=secrets_name(plan))),
        "values.schema.json": msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n",
        "templates/_names.tpl": _names(plan),
        "templates/NOTES.txt": _notes(plan),
    }
    for name, (condition, one) in templates_of(plan).items():
        written = to_yaml(one)
        files[f"templates/{name}"] = f"{{{{- if {condition} }}}}\n{written}{END}\n" if condition else written
    return {name: content.encode() for name, content in files.items()}


def values_of(plan: Plan) -> Object:
    """The chart's values, as the plan has them."""
    repository, _, digest = plan.image.partition("@")
    entry, scaling = plan.entry, plan.scaling
    ours = (*OF_ENTRY, *(OF_COUNT if _counts(plan) else ())) if plan.is_ours else ()
    values: Object = {
        "image": {"repository": repository, "digest": digest},
        "version": plan.version,
        "pullSecret": plan.pull_secret,
        "replicas": dict(plan.replicas),
        "resources": {name: _resources(one) for name, one in plan.resources.items()},
        "config": {name: said for name, said in plan.config.items() if name not in ours},
        "settings": dict(plan.settings),
        "secretsVersion": plan.secrets_version,
        "stopSeconds": plan.stop_s,
        "entry": {
            "way": entry.way,
            "host": entry.host,
            "className": entry.class_name,
            "tlsSecret": entry.tls_secret,
            "issuer": entry.issuer,
            "gateway": entry.gateway,
            "gatewayNamespace": entry.gateway_namespace,
            "namespace": entry.namespace,
            "sticky": entry.sticky,
        },
        "scaling": {
            "by": scaling.by,
            "least": scaling.least,
            "most": scaling.most,
            "cpuPercent": scaling.cpu_percent,
            "inFlight": scaling.in_flight,
            "queueRows": scaling.queue_rows,
            "prometheus": scaling.prometheus,
        },
        "metricsNamespace": plan.metrics_namespace,
    }
    where = plan.where
    if "postgresql" in plan.stores and where.postgresql == "inside":
        values["database"] = {"instances": where.instances, "size": where.size, "image": where.postgresql_image}
    if "redis" in plan.stores and where.redis == "inside":
        values["redis"] = {"image": where.valkey_image}
    of = f"{plan.namespace} {compact({key: one for key, one in values.items() if key != 'replicas'})}"
    # What the plan's objects are called by while nobody changes a value; with other values it is their own digest.
    digests = {"digest": release_digest(plan), "of": hashlib.sha256(of.encode()).hexdigest()}
    return values | {"release": digests}


def schema_of(values: Mapping[str, Any], *, kserve: bool = False) -> Object:
    """A JSON Schema of the chart's values: a key that is none of its is refused."""
    found = _schema(values)
    ways = ["fixed", "cpu"] if kserve else ["fixed", "cpu", "queue", "keda"]
    for key in _OPEN:
        found["properties"][key] = {"type": "object", "additionalProperties": {"type": "string"}}
    found["properties"]["replicas"]["additionalProperties"] = False
    entry, scaling = found["properties"]["entry"], found["properties"]["scaling"]
    entry["properties"]["way"] = {"enum": ["none", "ingress", "gateway"]}
    scaling["properties"]["by"] = {"enum": ways}
    found["properties"]["image"]["properties"]["digest"] = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
    found["properties"]["global"] = {"type": "object"}
    found["properties"]["resources"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **found}


def _schema(one: Any) -> Object:
    if isinstance(one, Mapping):
        inside = {key: _schema(each) for key, each in one.items()}
        return {"type": "object", "properties": inside, "additionalProperties": False}
    kinds = ((bool, "boolean"), (int, "integer"), (str, "string"))
    return {"type": next(name for kind, name in kinds if isinstance(one, kind))}


def _resources(one: Resources) -> Object:
    said = {"cpu": f"{one.cpu_m}m", "memory": f"{one.memory_mi}Mi"}
    return {"requests": said, "limits": dict(said)}


def _chart(plan: Plan) -> Object:
    about = plain(plan.description) or f"{plan.app}, served by aweigh"
    return {
        "apiVersion": "v2",
        "name": plan.app,
        "description": about,
        "type": "application",
        "version": f"0.1.0+{release_digest(plan)[:SHORT]}",
        "appVersion": plan.version,
        "kubeVersion": ">=1.27.0-0",
    }


def _counts(plan: Plan) -> bool:
    """Whether what becomes of jobs hangs on the number of replicas: each knows its own alone."""
    return plan.is_ours and not plan.stores


def _names(plan: Plan) -> str:
    """What the templates take by a name."""
    return f"""\
{{{{- /* The digest of what is rendered; the Job of the migration is called by it. */ -}}}}
{{{{- define "aweigh.release" -}}}}
{{{{- $of := printf "%s %s" .Release.Namespace (omit .Values "release" "replicas" "global" | toJson) | sha256sum -}}}}
{{{{- if eq $of .Values.release.of }}}}{{{{ .Values.release.digest }}}}{{{{ else }}}}{{{{ $of }}}}{{{{ end -}}}}
{{{{- end -}}}}

{{{{- define "aweigh.config" -}}}}
{{{{- $found := deepCopy .Values.config -}}}}
{_config(plan)}{{{{- toJson $found -}}}}
{{{{- end -}}}}

{{{{- define "aweigh.configName" -}}}}
{plan.app}-release-{{{{ include "aweigh.config" . | sha256sum | trunc {SHORT} }}}}
{{{{- end -}}}}

{{{{- define "aweigh.webIn" -}}}}
{_web_in(plan)}{{{{- end -}}}}
"""


def _config(plan: Plan) -> str:
    if not plan.is_ours:
        return ""
    lines = [
        '{{- $_ := set $found "AWEIGH_PROXIES" (ternary "0" "1" (eq .Values.entry.way "none")) -}}',
        f"{{{{- if {SECURE} -}}}}",
        '{{- $_ := set $found "AWEIGH_PUBLIC_URL" (printf "https://%s" .Values.entry.host) -}}',
        "{{- end -}}",
    ]
    if _counts(plan):
        usual = plan.config.get("AWEIGH_JOBS_MAX_KEPT_BYTES", str(2**30))
        lines += [
            '{{- if or (ne .Values.scaling.by "fixed") (gt (int .Values.replicas.web) 1) -}}',
            '{{- $_ := set $found "AWEIGH_JOBS" "off" -}}',
            "{{- else -}}",
            f'{{{{- $_ := set $found "AWEIGH_JOBS_MAX_KEPT_BYTES" "{int(usual)}" -}}}}',
            "{{- end -}}",
        ]
    return "\n".join(lines) + "\n"


def _web_in(plan: Plan) -> str:
    """Who may ask: whatever stands in front, in its namespace; nobody else, or anybody."""
    inside = '{{- if eq $front "" }}{{ $_ := set $rule "from" (list (dict "podSelector" dict)) }}{{ end -}}\n'
    return f"""\
{{{{- $entry := .Values.entry -}}}}
{{{{- $rule := dict "ports" (list (dict "protocol" "TCP" "port" {PORT})) -}}}}
{{{{- $front := $entry.namespace -}}}}
{{{{- if and (eq $front "") (eq $entry.way "ingress") }}}}{{{{ $front = "{NGINX}" }}}}{{{{ end -}}}}
{{{{- if and (eq $front "") (eq $entry.way "gateway") -}}}}
{{{{- $front = default .Release.Namespace $entry.gatewayNamespace -}}}}
{{{{- end -}}}}
{inside if plan.serving == "deployment" else ""}{{{{- if and (ne $front "") (ne $front "{ANYWHERE}") -}}}}
{{{{- $named := dict "matchLabels" (dict "kubernetes.io/metadata.name" $front) -}}}}
{{{{- $_ := set $rule "from" (list (dict "namespaceSelector" $named)) -}}}}
{{{{- end -}}}}
{{{{- $rules := list $rule -}}}}
{{{{- with .Values.metricsNamespace -}}}}
{{{{- $named := dict "matchLabels" (dict "kubernetes.io/metadata.name" .) -}}}}
{{{{- $rules = append $rules (dict "from" (list (dict "namespaceSelector" $named)) "ports" $rule.ports) -}}}}
{{{{- end -}}}}
{{{{- toJson $rules -}}}}
"""


def _notes(plan: Plan) -> str:
    names = ", ".join((*plan.made_up, *plan.given)) or "nothing"
    return f"""\
The Secret {secrets_name(plan)} has to be in {{{{ .Release.Namespace }}}}, with {names}.
{{{{- if ne .Values.entry.way "none" }}}}
The app answers at {{{{ .Values.entry.host }}}}.
{{{{- else }}}}
kubectl port-forward --namespace {{{{ .Release.Namespace }}}} service/{plan.app} 8000:80
{{{{- end }}}}
"""
