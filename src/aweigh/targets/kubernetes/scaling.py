"""How the web replicas grow and shrink, and how many may be away at once.

Sessions live in one replica: a replica is taken away slowly, and one at a time. Where several figures are looked at
the one that asks for most replicas counts; the CPU is always among them, so that there is one when metrics are not.
"""

from typing import Any

from aweigh.targets.compose.plan import WEB
from aweigh.targets.kubernetes.meta import Object, made, selector_of, web_name
from aweigh.targets.kubernetes.plan import Plan
from aweigh.targets.replica import CALM_S

IN_FLIGHT, QUEUE = "aweigh_requests_in_flight", "aweigh_queue_rows"


def autoscaler(plan: Plan) -> Object:
    """By the CPU, or by what Prometheus' adapter tells of each pod."""
    scaling = plan.scaling
    told = [(IN_FLIGHT, scaling.in_flight), (QUEUE, scaling.queue_rows)] if scaling.by == "queue" else []
    metrics: list[Object] = [
        {
            "type": "Pods",
            "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": str(most)}},
        }
        for name, most in told
    ]
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": scaling.cpu_percent}}
    spec = {
        "scaleTargetRef": _target(plan),
        "minReplicas": scaling.least,
        "maxReplicas": scaling.most,
        "metrics": [*metrics, {"type": "Resource", "resource": cpu}],
        "behavior": _behavior(),
    }
    return made(plan, "autoscaling/v2", "HorizontalPodAutoscaler", web_name(plan), component=WEB, spec=spec)


def scaled_object(plan: Plan) -> Object:
    """KEDA's: by what a Prometheus knows of all pods together."""
    scaling = plan.scaling
    pods = f'{{namespace="{plan.namespace}",pod=~"{pods_pattern(plan)}"}}'
    triggers: list[Object] = [
        {
            "type": "prometheus",
            "name": name.replace("_", "-"),
            "metricType": "AverageValue",
            "metadata": {
                "serverAddress": scaling.prometheus,
                "query": f"sum({name}{pods})",
                "threshold": str(most),
                "ignoreNullValues": "true",
            },
        }
        for name, most in ((IN_FLIGHT, scaling.in_flight), (QUEUE, scaling.queue_rows))
    ]
    cpu = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(scaling.cpu_percent)}}
    spec = {
        "scaleTargetRef": _target(plan),
        "minReplicaCount": scaling.least,
        "maxReplicaCount": scaling.most,
        "pollingInterval": 15,
        "advanced": {"horizontalPodAutoscalerConfig": {"name": web_name(plan), "behavior": _behavior()}},
        "triggers": [*triggers, cpu],
    }
    return made(plan, "keda.sh/v1alpha1", "ScaledObject", web_name(plan), component=WEB, spec=spec)


def pods_pattern(plan: Plan) -> str:
    """What the web pods are called, as Prometheus matches it: those of an app whose name goes on so are others."""
    return f"{web_name(plan)}-[a-z0-9]+-[a-z0-9]+"


def _target(plan: Plan) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": web_name(plan)}


def _behavior() -> dict[str, Any]:
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 30},
                {"type": "Pods", "value": 2, "periodSeconds": 30},
            ],
            "selectPolicy": "Max",
        },
        "scaleDown": {
            "stabilizationWindowSeconds": CALM_S,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
    }


def disruption_budget(plan: Plan) -> Object:
    """When nodes are emptied, one web replica at a time; a single one does not keep a node from it."""
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selector_of(plan, WEB)},
    }
    return made(plan, "policy/v1", "PodDisruptionBudget", web_name(plan), component=WEB, spec=spec)
