"""A RayService for KubeRay's operator: a bundle in the nodes' image, Ray Serve's configuration, nodes shut in.

Each node of the worker group has room for one replica. No secret is in a document: they come from the Secret that the
README says how to make. The operator gives the cluster a token of its own, without which nobody may start a task.
"""

import math
from dataclasses import dataclass
from typing import Any

from aweigh.errors import UsageError
from aweigh.oci.reference import parse_reference
from aweigh.targets.image.build import FOLDER, PORT, STATE
from aweigh.targets.kubernetes.security import container_security, pod_security
from aweigh.targets.kubernetes.wish import check_name
from aweigh.targets.ray.kept import Release
from aweigh.targets.ray.plan import application_of
from aweigh.targets.yaml import to_yaml

FILE, README = "rayservice.yaml", "README.md"
HEAD = "Written by aweigh: the next time it is written anew. Secrets are in no document: see README.md."
DASHBOARD_PORT, GCS_PORT, CLIENT_PORT, AGENT_PORT = 8265, 6379, 10001, 52365
HEAD_MEMORY_MI, HEAD_CPU_M = 4096, 1000
"""What Ray asks for a head that runs nothing but itself."""
NODE_MEMORY_MI = 1536
"""What Ray's own processes take on a node beside the replica: its raylet, agents, proxy and object store."""
NODE_CPU_M = 500
SHM_MI = 256
START_S = 300
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where it is to run: ``image`` by its digest, ``gcs_redis`` is HOST:PORT of a Redis that outlives the head."""

    namespace: str
    image: str
    ray: str
    pull_secret: str = ""
    gcs_redis: str = ""


def check_setting(setting: Setting) -> None:
    """What can be said without asking anybody.

    Raises:
        UsageError: a name that cannot be, or an image without a digest.
    """
    check_name(setting.namespace, what="namespace")
    if setting.pull_secret:
        check_name(setting.pull_secret, what="Secret")
    if not parse_reference(setting.image).digest:
        raise UsageError("An image in a cluster is named by its digest.", hint="--image REGISTRY/NAME@sha256:...")
    host, _, port = setting.gcs_redis.rpartition(":")
    if setting.gcs_redis and not (host and port.isdecimal() and host.replace(".", "").replace("-", "").isalnum()):
        raise UsageError(f"{setting.gcs_redis[:60]!a} is no address of a Redis.", hint="--gcs-redis HOST:6379")


def documents_of(app: str, release: Release, setting: Setting) -> dict[str, bytes]:
    """The files, by their names.

    Raises:
        UsageError: a setting cannot be.
    """
    check_setting(setting)
    service = ray_service(app, release, setting)
    return {FILE: to_yaml(service, head=HEAD).encode(), README: _readme(app, release, setting).encode()}


def ray_service(app: str, release: Release, setting: Setting) -> Object:
    """The RayService."""
    metadata = {
        "name": app,
        "namespace": setting.namespace,
        "labels": {
            "app.kubernetes.io/name": app,
            "app.kubernetes.io/instance": app,
            "app.kubernetes.io/managed-by": "aweigh",
        },
        "annotations": {"aweigh.io/bundle": release.bundle},
    }
    cluster: Object = {
        "rayVersion": setting.ray,
        "enableInTreeAutoscaling": bool(release.most),
        "authOptions": {"mode": "token"},
        "headGroupSpec": _head(app, release, setting),
        "workerGroupSpecs": [_workers(app, release, setting)],
    }
    if setting.gcs_redis:
        cluster["gcsFaultToleranceOptions"] = {
            "redisAddress": f"redis://{setting.gcs_redis}",
            "redisPassword": {
                "valueFrom": {
                    "secretKeyRef": {"name": secrets_name(app), "key": "RAY_REDIS_PASSWORD", "optional": True}
                }
            },
        }
    spec = {
        "serveConfigV2": to_yaml(serve_config(app, release)),
        "excludeHeadPodFromServeSvc": True,
        "rayClusterConfig": cluster,
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": spec}


def serve_config(app: str, release: Release) -> Object:
    """Ray Serve's configuration: the one application, whose bundle is in the image."""
    args = {"bundle": f"/{FOLDER}/{release.name}"}
    application = application_of(app, release, route=release.route, args=args) | {"name": app}
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": PORT},  # noqa: S104  within the pod
        "applications": [application],
    }


def secrets_name(app: str) -> str:
    """The Secret of what nobody is to see."""
    return f"{app}-secrets"


def _head(app: str, release: Release, setting: Setting) -> Object:
    ports = [("gcs", GCS_PORT), ("dashboard", DASHBOARD_PORT), ("client", CLIENT_PORT)]
    container = _container(app, release, setting, called="ray-head", memory_mi=HEAD_MEMORY_MI, cpu_m=HEAD_CPU_M)
    container["ports"] = [_port(name, number) for name, number in ports]
    container |= _probes(ready="/api/gcs_healthz", port=DASHBOARD_PORT)
    # No replica runs on the head: it is the one that others find again.
    params = {"num-cpus": "0", "dashboard-host": "0.0.0.0"}  # noqa: S104  within the pod
    # Who adds nodes asks the cluster for them, from a container beside the head.
    return {"rayStartParams": params, "template": _pod(setting, container, asks=bool(release.most))}


def _workers(app: str, release: Release, setting: Setting) -> Object:
    memory_mi = math.ceil(release.memory_bytes / 2**20) + NODE_MEMORY_MI
    cpu_m = math.ceil(release.cpus * 1000) + NODE_CPU_M
    container = _container(app, release, setting, called="ray-worker", memory_mi=memory_mi, cpu_m=cpu_m)
    container["ports"] = [_port("serve", PORT)]
    container |= _probes(ready="/-/healthz", port=PORT)
    count = release.least if release.most else release.replicas
    return {
        "groupName": "web",
        "replicas": count,
        "minReplicas": count,
        "maxReplicas": release.most or count,
        "rayStartParams": {"num-cpus": str(max(1, math.ceil(release.cpus)))},
        "template": _pod(setting, container),
    }


def _pod(setting: Setting, container: Object, *, asks: bool = False) -> Object:
    spec: Object = {
        "automountServiceAccountToken": asks,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "4Gi"}},
            {"name": "state", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{SHM_MI}Mi"}},
        ],
    }
    if setting.pull_secret:
        spec["imagePullSecrets"] = [{"name": setting.pull_secret}]
    return {"spec": spec}


def _container(app: str, release: Release, setting: Setting, *, called: str, memory_mi: int, cpu_m: int) -> Object:
    said = {"cpu": f"{cpu_m}m", "memory": f"{memory_mi}Mi"}
    env = {
        "AWEIGH_AUTH": release.auth,
        "AWEIGH_STATE_DIR": f"/{STATE}",
        "HOME": f"/{STATE}",
        "RAY_USAGE_STATS_ENABLED": "0",
        **release.config,
    }
    if release.trust:
        env["AWEIGH_TRUST"] = f"/{FOLDER}/trust"
    mounts = {"tmp": "/tmp", "state": f"/{STATE}", "shm": "/dev/shm"}  # noqa: S108  the container's own
    return {
        "name": called,
        "image": setting.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in sorted(env.items())],
        "envFrom": [{"secretRef": {"name": secrets_name(app), "optional": release.auth == "none"}}],
        "resources": {"requests": said, "limits": dict(said)},
        "securityContext": container_security(),
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
    }


def _port(name: str, number: int) -> Object:
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def _probes(*, ready: str, port: int) -> Object:
    """Alive: Ray's own process of the node says so. Ready: on a worker its proxy has a replica to send people to."""
    alive = {"httpGet": {"path": "/api/local_raylet_healthz", "port": AGENT_PORT}}
    return {
        "startupProbe": {**alive, "periodSeconds": 3, "timeoutSeconds": 5, "failureThreshold": START_S // 3},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 12},
        "readinessProbe": {
            "httpGet": {"path": ready, "port": port},
            "periodSeconds": 5,
            "timeoutSeconds": 3,
            "failureThreshold": 2,
        },
    }


def _readme(app: str, release: Release, setting: Setting) -> str:
    needed = ["DATABASE_URL"] if release.auth != "none" else []
    lines = [
        f"# {app} on KubeRay",
        "",
        f"Written by aweigh. The image has Ray {setting.ray}, aweigh with its extra `ray`,",
        f"and the bundle at /{FOLDER}/{release.name}.",
        "",
        f"The Secret `{secrets_name(app)}` is made once, and is in no document:",
        "",
        "```sh",
        f"kubectl create secret generic {secrets_name(app)} --namespace {setting.namespace} \\",
        '  --from-literal=AWEIGH_DEPLOY_SECRET="$(openssl rand -hex 32)" \\',
        '  --from-literal=AWEIGH_METRICS_TOKEN="$(openssl rand -hex 32)" \\',
        *(f'  --from-literal={one}="${one}" \\' for one in needed),
    ]
    lines[-1] = lines[-1].removesuffix(" \\")
    lines += ["```", "", "Then:", "", "```sh", f"kubectl apply --server-side -f {FILE}", "```", ""]
    return "\n".join(lines)
