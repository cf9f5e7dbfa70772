"""What comes after a deployment: what runs, its releases, back, more or less of it, and settings."""

import time
from collections.abc import Mapping, Sequence
from typing import Literal

from aweigh.errors import AweighError, UsageError
from aweigh.secret import Secret
from aweigh.targets.compose.plan import WEB
from aweigh.targets.kubernetes.apply import apply, merge
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.former import put_back, with_template
from aweigh.targets.kubernetes.golden import wait_and_ask
from aweigh.targets.kubernetes.labels import (
    CHANGED,
    deployments_of,
    is_served,
    kind_of_process,
    released,
    revision_of,
    selector_of,
    template_of,
)
from aweigh.targets.kubernetes.plan import DATABASE_URL, REDIS_URL
from aweigh.targets.kubernetes.replay import url_of
from aweigh.targets.kubernetes.resources import all_of, at, kind_of, name_of, path_of, path_to
from aweigh.targets.kubernetes.rollout import Patience, is_rolled_out, new_pods
from aweigh.targets.kubernetes.secrets import change_config, config_names, restore_config
from aweigh.targets.kubernetes.trouble import Trouble, of_deployment, troubles_of
from aweigh.targets.ssh.environ import check_name
from aweigh.targets.ssh.telling import Telling
from aweigh.targets.target import Status

State = Literal["absent", "deploying", "up", "starting", "down", "crashed"]
PUBLIC = (("networking.k8s.io/v1", "Ingress"), ("gateway.networking.k8s.io/v1", "HTTPRoute"))
SCALERS = (
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("autoscaling/v1", "HorizontalPodAutoscaler"),
    ("keda.sh/v1alpha1", "ScaledObject"),
)


def status(client: Client, app: str) -> Status:
    """What runs of an app.

    Raises:
        RemoteError: the cluster cannot be asked, or refuses.
    """
    found = deployments_of(client, app)
    if not found:
        return Status(name=app, state="absent")
    web = found[0]
    notes = [one.sentence + "; fix: " + one.hint for one in _troubles(client, found)]
    return Status(
        name=app,
        state=state_of(web, has_trouble=bool(notes)),
        url=public_url(client, app),
        release=f"v{revision_of(web)}",
        bundle=released(template_of(web))[1],
        replicas={kind_of_process(one): int(at(one, "status", "readyReplicas") or 0) for one in found},
        notes=tuple(dict.fromkeys(notes)),
    )


def _troubles(client: Client, deployments: Sequence[Object]) -> list[Trouble]:
    found = []
    for one in deployments:
        trouble = of_deployment(one)
        found += [trouble] if trouble is not None else []
        if not is_rolled_out(one, int(at(one, "metadata", "generation") or 0)):
            found += troubles_of(client, new_pods(client, one))
    return found


def state_of(web: Object, *, has_trouble: bool) -> State:
    """What the Deployment that answers does."""
    wanted = at(web, "spec", "replicas")
    if wanted == 0:
        return "down"
    ready = int(at(web, "status", "readyReplicas") or 0)
    if ready == 0:
        return "crashed" if has_trouble else "starting"
    return "up" if is_rolled_out(web, int(at(web, "metadata", "generation") or 0)) or has_trouble else "deploying"


def public_url(client: Client, app: str) -> str | None:
    """Where it answers from outside of the cluster."""
    found = []
    for version, kind in PUBLIC:
        found += all_of(client, version, kind, what=f"to list what leads to {app}", selector=selector_of(app))
    return url_of(found)


def scale(
    client: Client,
    app: str,
    quantities: Mapping[str, int],
    *,
    patience: Patience | None = None,
    telling: Telling | None = None,
) -> tuple[dict[str, int], bool]:
    """Changes how many replicas there are: how many there are then of each process, and whether that is new.

    Where they do not come up, or do not answer as the original, there are as many as before again.

    Raises:
        UsageError: there is no such process, or an autoscaler says how many there are.
        RemoteError: they do not come up, or differ.
    """
    found = {kind_of_process(one): one for one in known(client, app)}
    unknown = sorted(quantities.keys() - found.keys())
    if unknown:
        raise UsageError(
            f"The app has no process {unknown[0][:40]!a} to scale.", hint=f"it has {', '.join(sorted(found))}"
        )
    wanted = {kind: count for kind, count in quantities.items() if at(found[kind], "spec", "replicas") != count}
    for kind in wanted:
        refuse_served([found[kind]])
        _refuse_scaled(client, found[kind])
    changed: list[Object] = []
    try:
        changed += [_counted(client, found[kind], count) for kind, count in wanted.items()]
        wait_and_ask(client, app, changed, patience=patience or Patience(), telling=telling)
    except (AweighError, KeyboardInterrupt) as error:
        try:
            for kind in wanted:
                _counted(client, found[kind], at(found[kind], "spec", "replicas"))
            also(error, "there are as many replicas as before again")
        except AweighError as other:
            also(error, f"the number of replicas could not be put back ({other.message.rstrip('.')})")
        raise
    if wanted.get(WEB, 0) > 1 and _knows_jobs_alone(client, app, found[WEB]):
        note = "each replica knows its own jobs alone: deploy once more, and several take none, or with a database"
        (telling or Telling()).line("note", note, 0.0)
    now = {kind: int(at(one, "spec", "replicas") or 0) for kind, one in found.items()} | dict(quantities)
    return now, bool(changed)


def _knows_jobs_alone(client: Client, app: str, web: Object) -> bool:
    """Whether a job that is posted to one of its replicas is not known to the others."""
    container = at(template_of(web), "spec", "containers", 0) or {}
    names = {str(one.get("name")) for one in container.get("env") or ()} | {*config_names(client, app)}
    if "serve" not in (container.get("command") or ()) or names & {DATABASE_URL, REDIS_URL}:
        return False
    maps = [at(one, "configMapRef", "name") for one in container.get("envFrom") or ()]
    found = [
        client.find(path_of(client, "v1", "ConfigMap", str(one)), what="to read what the release says of itself")
        for one in maps
        if one
    ]
    return "off" not in {at(one, "data", "AWEIGH_JOBS") for one in found}


def _counted(client: Client, deployment: Object, count: int) -> Object:
    change = {"spec": {"replicas": count}}
    return merge(client, path_to(client, deployment), change, what=f"to scale the {kind_of(deployment)}")


def refuse_served(deployments: Sequence[Object]) -> None:
    """Passes when KServe has made none of them.

    Raises:
        UsageError: it has, and puts back whatever is changed there.
    """
    for one in deployments:
        if is_served(one):
            raise UsageError(
                f"The {kind_of(one)} is KServe's, which makes it of the InferenceService.",
                hint="deploy with what is to be different: aweigh deploy kubernetes PATH --kserve",
            )


def _refuse_scaled(client: Client, deployment: Object) -> None:
    for version, kind in SCALERS:
        for one in all_of(client, version, kind, what="to list what scales by itself"):
            target = at(one, "spec", "scaleTargetRef") or {}
            if target.get("name") == name_of(deployment) and target.get("kind", "Deployment") == "Deployment":
                raise UsageError(
                    f"The {kind} {name_of(one)} says how many replicas there are.",
                    hint="deploy with other --min-replicas and --max-replicas, or with --scaling fixed",
                )


def config(client: Client, app: str) -> list[str]:
    """The names of the settings; their values stay in the cluster.

    Raises:
        UsageError: there is no such app.
    """
    names = config_names(client, app)
    if not names:
        known(client, app)
    return names


def set_config(
    client: Client,
    app: str,
    changes: Mapping[str, Secret | None],
    *,
    patience: Patience | None = None,
    telling: Telling | None = None,
) -> bool:
    """Changes settings and starts the pods anew with them, one by one; False where nothing runs yet.

    Where they do not come up so, or do not answer as the original, the settings and the pods are as they were again.

    Raises:
        UsageError: a name that cannot be.
        RemoteError: they do not come up, or differ.
    """
    for name in changes:
        check_name(name)
    found = deployments_of(client, app)
    refuse_served(found)
    former = change_config(client, app, changes)
    applied: list[Object] = []
    try:
        for one in found:
            template = {**template_of(one)}
            meta = {**(template.get("metadata") or {})}
            meta["annotations"] = {**(meta.get("annotations") or {}), CHANGED: f"{time.time():.3f}"}
            applied.append(apply(client, with_template(one, {**template, "metadata": meta}), force=True))
        wait_and_ask(client, app, applied, patience=patience or Patience(), telling=telling)
    except (AweighError, KeyboardInterrupt) as error:
        try:
            restore_config(client, app, former)
        except AweighError as other:
            also(error, f"the settings could not be put back ({other.message.rstrip('.')})")
        taken_back(client, found, applied, error)
        raise
    return bool(found)


def taken_back(client: Client, former: Sequence[Object], applied: Sequence[Object], error: BaseException) -> None:
    """Puts back what ran, and has the error say so."""
    if applied:
        also(error, put_back(client, former, applied).sentence)


def also(error: BaseException, told: str) -> None:
    """Has an error say what was done about it."""
    if isinstance(error, AweighError):
        error.message = f"{error.message.rstrip('.')}; {told}."
        error.args = (error.message,)


def known(client: Client, app: str) -> list[Object]:
    """The app's Deployments: the web one first.

    Raises:
        UsageError: there are none.
    """
    found = deployments_of(client, app)
    if not found:
        raise absent(client, app)
    return found


def absent(client: Client, app: str) -> UsageError:
    """What is said where there is no such app."""
    return UsageError(
        f"There is no app {app!r} in the namespace {client.namespace}.",
        hint=f"aweigh deploy kubernetes PATH --app {app} makes one; or name another with --namespace",
    )


def counts_of(client: Client, app: str) -> dict[str, int]:
    """How many replicas of each process there are to be, as the cluster has it: for the plan of the next release."""
    found = {kind_of_process(one): at(one, "spec", "replicas") for one in deployments_of(client, app)}
    return {kind: 1 if count is None else int(count) for kind, count in found.items()}
