"""PostgreSQL and Valkey inside of the cluster, where no address of one is given.

PostgreSQL is left to CloudNativePG's operator, which has to be there: it makes the user and the password, and writes
the address into a Secret. Valkey is one replica with a volume; its password is in the Secret APP-secrets.
"""

from aweigh.targets.kubernetes.meta import Object, database_name, labels_of, made, redis_name, secrets_name, selector_of
from aweigh.targets.kubernetes.plan import REDIS_PASSWORD, Plan
from aweigh.targets.kubernetes.security import container_security, pod_security

DATABASE, USER = "aweigh", "aweigh"
VALKEY_USER = 999
"""In the official image."""
PORT = 6379
CACHE_MB = 192
"""Of 256 MiB."""


def database(plan: Plan) -> Object:
    """A Cluster of CloudNativePG."""
    spec: Object = {
        "instances": plan.where.instances,
        "storage": {"size": plan.where.size},
        "bootstrap": {"initdb": {"database": DATABASE, "owner": USER}},
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
    }
    if plan.where.postgresql_image:
        spec = {"imageName": plan.where.postgresql_image, **spec}
    return made(plan, "postgresql.cnpg.io/v1", "Cluster", database_name(plan), component="db", spec=spec)


def valkey(plan: Plan) -> list[Object]:
    """A StatefulSet and its Service."""
    name, chosen = redis_name(plan), selector_of(plan, "redis")
    # Without the release's version: another release does not start it anew.
    labels = {key: one for key, one in labels_of(plan, "redis").items() if not key.endswith("/version")}
    port = {"name": "redis", "port": PORT, "targetPort": "redis", "protocol": "TCP"}
    service = {"clusterIP": "None", "selector": chosen, "ports": [port]}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    spec = {
        "replicas": 1,
        "serviceName": name,
        "selector": {"matchLabels": chosen},
        "template": {"metadata": {"labels": labels}, "spec": _valkey_pod(plan)},
        "volumeClaimTemplates": [
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim}
        ],
    }
    return [
        made(plan, "v1", "Service", name, component="redis", spec=service),
        made(plan, "apps/v1", "StatefulSet", name, component="redis", spec=spec),
    ]


def _valkey_pod(plan: Plan) -> Object:
    holds_jobs = "postgresql" not in plan.stores
    policy = "noeviction" if holds_jobs else "allkeys-lru"
    # By standard input: what stands on a command line is everybody's on the node to see.
    line = f"exec valkey-server - --dir /data --appendonly yes --maxmemory {CACHE_MB}mb --maxmemory-policy {policy}"
    script = f'{line} <<END\nrequirepass "${REDIS_PASSWORD}"\nEND\n'
    secret = {"name": secrets_name(plan), "key": REDIS_PASSWORD}
    asked = {"tcpSocket": {"port": "redis"}}
    limits = {"cpu": "500m", "memory": "256Mi"}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(VALKEY_USER),
        "containers": [
            {
                "name": "valkey",
                "image": plan.where.valkey_image,
                "command": ["sh", "-c", script],
                "env": [{"name": REDIS_PASSWORD, "valueFrom": {"secretKeyRef": secret}}],
                "ports": [{"name": "redis", "containerPort": PORT, "protocol": "TCP"}],
                "readinessProbe": {**asked, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 3},
                "livenessProbe": {**asked, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
                "resources": {"requests": limits, "limits": dict(limits)},
                "securityContext": container_security(),
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
    }
