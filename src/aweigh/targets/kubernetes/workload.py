"""What runs: a Deployment for each process, the Job of the migration, and the pods of both.

A rolling update starts a new replica before it ends an old one; one that is to end says "not ready", goes on answering
for some seconds, and finishes what is under way. Kubernetes puts variables into commands (``$(NAME)``): every ``$`` is
doubled.
"""

from typing import Any

from aweigh.targets.compose.plan import MIGRATE, WEB, WORKER
from aweigh.targets.image.build import PORT, STATE
from aweigh.targets.kubernetes.meta import (
    BUNDLE,
    DESCRIPTION,
    MOST_DESCRIPTION,
    RELEASE,
    SECRETS,
    Object,
    config_name,
    database_name,
    labels_of,
    made,
    migration_name,
    process_name,
    redis_name,
    release_config_name,
    secrets_name,
    selector_of,
)
from aweigh.targets.kubernetes.plan import DATABASE_URL, DRAIN_DELAY_S, REDIS_PASSWORD, REDIS_URL, Plan
from aweigh.targets.kubernetes.security import container_security, pod_security

HTTP = "http"
HEALTH_PORT = 8001
"""Of a worker."""
TMP_SIZE, STATE_SIZE = "2Gi", "2Gi"
"""Of what a pod may write: uploads go there, of a gigabyte each at most."""
START_S = 300
"""How long a replica has to start; loading a large model on a slow disk takes minutes."""
ROLLOUT_S = 600
MIGRATION_S = 600
KEPT_S = 86_400
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def config_maps(plan: Plan) -> list[Object]:
    """What the release says of itself, and the owner's settings over it, where there are any."""
    found = [made(plan, "v1", "ConfigMap", release_config_name(plan), data=dict(plan.config), immutable=True)]
    if plan.settings:
        found.append(made(plan, "v1", "ConfigMap", config_name(plan), data=dict(plan.settings)))
    return found


def deployment(plan: Plan, process: str, release: str) -> Object:
    """A process, kept running."""
    spec: Object = {
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": ROLLOUT_S,
        "selector": {"matchLabels": selector_of(plan, process)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": _pods(plan, process, release),
    }
    # Who scales by itself is not told a number by each deployment.
    if process != WEB or plan.scaling.by == "fixed":
        spec = {"replicas": plan.replicas.get(process, 1), **spec}
    return made(
        plan,
        "apps/v1",
        "Deployment",
        process_name(plan, process),
        component=process,
        annotations=_told(plan, release, whole=True),
        spec=spec,
    )


def migration(plan: Plan, release: str) -> Object:
    """The migration, run once for each release; whoever deploys waits for it before the rollout."""
    template = _pods(plan, MIGRATE, release)
    template["spec"]["restartPolicy"] = "Never"
    return made(
        plan,
        "batch/v1",
        "Job",
        migration_name(plan, release),
        component=MIGRATE,
        annotations=_told(plan, release),
        spec={
            "backoffLimit": 4,
            "activeDeadlineSeconds": MIGRATION_S,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": template,
        },
    )


def _told(plan: Plan, release: str, *, whole: bool = False) -> dict[str, str]:
    found = {RELEASE: release} | ({BUNDLE: plan.bundle} if plan.bundle else {})
    if whole and plan.description:
        found[DESCRIPTION] = plan.description[:MOST_DESCRIPTION]
    return found


def _pods(plan: Plan, process: str, release: str) -> Object:
    secrets = {SECRETS: plan.secrets_version} if plan.secrets_version else {}
    return {
        "metadata": {"labels": labels_of(plan, process), "annotations": _told(plan, release) | secrets},
        "spec": pod_spec(plan, process),
    }


def pod_spec(plan: Plan, process: str, *, called: str = "") -> Object:
    """The pod of a process; ``called`` is its container's name, by default the process's."""
    spec: Object = {
        "serviceAccountName": plan.app,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": plan.stop_s,
        "containers": [container(plan, process) | ({"name": called} if called else {})],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE}},
            {"name": "state", "emptyDir": {"sizeLimit": STATE_SIZE}},
        ],
    }
    if process != MIGRATE:
        spec["topologySpreadConstraints"] = [_spread(plan, process, key) for key in (HOSTNAME, ZONE)]
    if plan.pull_secret:
        spec["imagePullSecrets"] = [{"name": plan.pull_secret}]
    return spec


def _spread(plan: Plan, process: str, key: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector_of(plan, process)},
    }


def container(plan: Plan, process: str) -> Object:
    """The one container of a process's pod."""
    words, ports, more = plan.processes[process], [], {}
    if process == WEB:
        ports, more = [_port(PORT)], _web_health(plan)
    elif process == WORKER and words[:2] == ("aweigh", "worker") and "--health-port" not in words:
        words = (*words, "--health-port", str(HEALTH_PORT))
        ports, more = [_port(HEALTH_PORT)], _probes(start="/health/live")
    found: Object = {"name": process, "image": plan.image, "imagePullPolicy": "IfNotPresent"}
    found["command"] = [one.replace("$", "$$") for one in words]
    found["env"] = _environment(plan, process)
    found["envFrom"] = _environments(plan)
    if ports:
        found["ports"] = ports
    found |= more
    found["resources"] = _resources(plan, process)
    found["securityContext"] = container_security()
    found["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "state", "mountPath": f"/{STATE}"}]  # noqa: S108  the container's own
    return found


def _port(number: int) -> Object:
    return {"name": HTTP, "containerPort": number, "protocol": "TCP"}


def _resources(plan: Plan, process: str) -> Object:
    """What is asked for is what may be taken: the server makes its own plan of it, and is killed beyond."""
    wanted = plan.resources[process]
    said = {"cpu": f"{wanted.cpu_m}m", "memory": f"{wanted.memory_mi}Mi"}
    return {"requests": said, "limits": dict(said)}


def _web_health(plan: Plan) -> Object:
    if plan.is_ours:
        return _probes(start="/health/live")
    asked = {"tcpSocket": {"port": HTTP}}
    wait = {"preStop": {"exec": {"command": ["sleep", str(DRAIN_DELAY_S)]}}}
    return {
        "startupProbe": {**asked, "periodSeconds": 3, "timeoutSeconds": 5, "failureThreshold": START_S // 3},
        "readinessProbe": {**asked, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2},
        "lifecycle": wait,
    }


def _probes(*, start: str) -> Object:
    """The health contract: alive, or it is started anew; ready, or nobody is sent to it. No host is asked of health."""

    def asked(path: str) -> Any:
        return {"httpGet": {"path": path, "port": HTTP}}

    return {
        "startupProbe": {**asked(start), "periodSeconds": 3, "timeoutSeconds": 5, "failureThreshold": START_S // 3},
        "livenessProbe": {**asked("/health/live"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "readinessProbe": {**asked("/health/ready"), "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2},
    }


def _environments(plan: Plan) -> list[Object]:
    """Where a container's variables are from; of two that say the same one, the later counts."""
    return [
        {"configMapRef": {"name": release_config_name(plan)}},
        {"configMapRef": {"name": config_name(plan), "optional": not plan.settings}},
        {"secretRef": {"name": secrets_name(plan), "optional": not (plan.made_up or plan.given)}},
        {"secretRef": {"name": config_name(plan), "optional": True}},
    ]


def _environment(plan: Plan, process: str) -> list[Object]:
    """What only a pod knows, and what Kubernetes puts together."""
    found: list[Object] = []
    if process == WEB:
        found.append({"name": "PORT", "value": str(PORT)})
    if "postgresql" in plan.stores and plan.where.postgresql == "inside":
        found.append(_of_secret(DATABASE_URL, f"{database_name(plan)}-app", "uri"))
    if "redis" in plan.stores and plan.where.redis == "inside":
        found.append(_of_secret(REDIS_PASSWORD, secrets_name(plan), REDIS_PASSWORD))
        found.append({"name": REDIS_URL, "value": f"redis://:$({REDIS_PASSWORD})@{redis_name(plan)}:6379/0"})
    return found


def _of_secret(name: str, secret: str, key: str) -> Object:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
