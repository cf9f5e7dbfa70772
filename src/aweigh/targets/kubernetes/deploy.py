"""From documents to a live, checked release; a run that was cut off anywhere is gone on with by the next."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aweigh.errors import AweighError, RemoteError
from aweigh.secret import Secret
from aweigh.targets.kubernetes import serving
from aweigh.targets.kubernetes.apply import MANAGER, apply
from aweigh.targets.kubernetes.before import LEADS_THERE, Before, read_before, restore
from aweigh.targets.kubernetes.client import Client, Object, open_client
from aweigh.targets.kubernetes.errors import RUNS_ON
from aweigh.targets.kubernetes.former import mark, put_back, settled
from aweigh.targets.kubernetes.golden import keep
from aweigh.targets.kubernetes.kubeconfig import Connection
from aweigh.targets.kubernetes.labels import (
    MANAGED,
    SERVICE,
    container_of,
    deployments_of,
    is_web,
    kind_of_process,
    named,
    released,
    revision_of,
    template_of,
)
from aweigh.targets.kubernetes.pods import is_ready, port_of
from aweigh.targets.kubernetes.prune import prune
from aweigh.targets.kubernetes.replay import Way, ask_golden, place_of, url_of
from aweigh.targets.kubernetes.resources import at, kind_of, name_of, path_to
from aweigh.targets.kubernetes.rollout import Patience, new_pods, run_job, wait_for
from aweigh.targets.kubernetes.secrets import Settled, config_name, secrets_name, settle
from aweigh.targets.live import Golden
from aweigh.targets.ssh.telling import Telling

LOG_LINES = 400


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is live. ``url`` is None where it is reached within the cluster alone.

    ``invite`` is the path of the first administrator's invitation: shown once, to who deployed.
    """

    app: str
    namespace: str
    url: str | None
    version: str
    release: str | None
    bundle: str | None
    created: bool
    changed: bool
    golden_rows: int
    notes: tuple[str, ...] = ()
    invite: Secret | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is gone about.

    ``force`` takes fields over that others have set, ``keep_replicas`` leaves as many replicas as there are whatever
    the documents say, ``way`` says where golden rows are asked.
    """

    force: bool = False
    keep_replicas: bool = False
    way: Way = "pod"
    patience: Patience = field(default_factory=Patience)
    pause: Callable[[float], None] = time.sleep


def deploy(  # noqa: PLR0913  all that a cluster is told
    objects: Sequence[Object],
    *,
    app: str,
    namespace: str,
    connection: Connection,
    secrets: Mapping[str, Secret | None] | Sequence[str] = (),
    golden: Golden | None = None,
    telling: Telling | None = None,
    manner: Manner | None = None,
) -> Deployed:
    """Applies documents in their order, waits until they run, and checks what they answer.

    Raises:
        UsageError: the cluster lacks something that is asked for, or a secret that nobody can make up.
        ConfigError: there are no credentials that are good.
        RemoteError: the cluster refuses or stays away, or the release does not come up or agree: then what ran before
            was put back.
    """
    telling, manner = telling or Telling(), manner or Manner()
    with open_client(replace(connection, namespace=namespace), pause=manner.pause) as client:
        started = time.monotonic()
        former = [*deployments_of(client, app), *serving.services_before(client, objects)]
        telling.line("cluster", f"{connection.context or connection.server}, namespace {namespace}", _since(started))
        for one in objects:
            # What the cluster does not know is said before anything is changed.
            path_to(client, one)
        before = read_before(client, app, objects, force=manner.force)
        for one in named(objects, "Namespace"):
            _see_namespace(client, one, telling, manner)
        _tell_secrets(settle(client, app, secrets), app, namespace, telling)
        own = {secrets_name(app), config_name(app)}
        wanted = [
            one
            for one in objects
            if one.get("kind") != "Namespace" and not (one.get("kind") == "Secret" and name_of(one) in own)
        ]
        going = Going(client, app, wanted, former, before, golden, telling, manner)
        return went_live(going)


def _tell_secrets(found: Settled, app: str, namespace: str, telling: Telling) -> None:
    if found.made:
        telling.line("secrets", f"made up there: {', '.join(found.made)}", 0.0)
    for name in found.kept:
        fix = f"aweigh config kubernetes --app {app} --namespace {namespace} --secret {name}"
        telling.line("secrets", f"{name} there is another than was given, and is kept; to change it: {fix}", 0.0)


def _see_namespace(client: Client, wanted: Object, telling: Telling, manner: Manner) -> None:
    """Sees that there is the namespace; one that somebody else made holds others' pods, and stays as it is."""
    there = client.find(path_to(client, wanted), what=f"to read the {kind_of(wanted)}")
    if there is None or at(there, "metadata", "labels", MANAGED) == MANAGER:
        apply(client, wanted, force=manner.force)
    else:
        telling.line("namespace", f"{name_of(wanted)} is there already, and stays as it is", 0.0)


@dataclass(frozen=True, slots=True)
class Going:
    """What every step needs."""

    client: Client
    app: str
    objects: list[Object]
    former: list[Object]
    before: Before
    golden: Golden | None
    telling: Telling
    manner: Manner


def went_live(going: Going) -> Deployed:
    """Applies, waits, checks; what ran before is put back where anything is amiss after the first Deployment.

    Raises:
        RemoteError: as of ``deploy``.
    """
    applied: list[Object] = []
    try:
        _apply_all(going, applied)
        live = _wait(going, _running(applied))
        webs = [one for one in live if is_web(one)]
        rows, notes = 0, tuple[str, ...]()
        if webs and going.golden is not None:
            rows, notes = _ask(going, webs[0])
    except (AweighError, KeyboardInterrupt) as error:
        told, failed = _taken_back(going, applied)
        beside = f", but not all beside it could be put back ({failed.rstrip('.')})" if failed else ""
        if isinstance(error, AweighError):
            message = error.message.rstrip(".")
            error.message = f"{message}{'' if RUNS_ON in message else f'; {told}'}{beside}."
            error.args = (error.message,)
        else:
            going.telling.line("stopped", f"{told}{beside}", 0.0)
        raise
    for one in live:
        mark(going.client, one, failed=False)
    if webs and going.golden is not None:
        keep(going.client, going.app, webs[0], going.golden)
    gone = prune(going.client, going.app, going.objects)
    if gone:
        going.telling.line("gone", f"{', '.join(gone)}: the release has it no more", 0.0)
    return _told(going, live, bool(_changed(going.former, _running(applied))), rows, notes)


def _taken_back(going: Going, applied: Sequence[Object]) -> tuple[str, str]:
    """Puts back what ran, with what led there; what is said of it, and of what could not be put back beside it.

    A first release is left, to be looked at; nobody is led to it.
    """
    ran = {kind_of(one) for one in going.former}
    beside = [one for one in applied if kind_of(one) not in ran]
    if not ran:
        beside = [one for one in beside if going.before.get(kind_of(one)) or one.get("kind") in LEADS_THERE]
    failed = restore(going.client, going.before, beside)
    changed = _changed(going.former, _running(applied))
    told = RUNS_ON if ran and not changed else put_back(going.client, going.former, changed).sentence
    return told, failed[0] if failed else ""


def _apply_all(going: Going, applied: list[Object]) -> None:
    started = time.monotonic()
    client, manner = going.client, going.manner
    kinds = []
    for one in going.objects:
        if one.get("kind") == "Job":
            began = time.monotonic()
            ran = run_job(client, one, patience=manner.patience, force=manner.force)
            going.telling.line("migrate", f"{name_of(one)} {'has ended' if ran else 'had ended before'}", _since(began))
            continue
        document = settled(one, going.former, going.objects, keep_replicas=manner.keep_replicas)
        found = apply(client, document, force=manner.force)
        kinds.append(str(one.get("kind")))
        applied.append(found)
    going.telling.line("applied", ", ".join(dict.fromkeys(kinds)) or "nothing", _since(started))


def _wait(going: Going, applied: Sequence[Object]) -> list[Object]:
    live = []
    for one in applied:
        started = time.monotonic()
        if one.get("kind") == SERVICE:
            live.append(serving.wait_for_service(going.client, one, patience=going.manner.patience))
            going.telling.line("ready", f"{SERVICE} {name_of(one)}", _since(started))
            continue
        found = wait_for(going.client, one, patience=going.manner.patience)
        live.append(found)
        count = at(found, "spec", "replicas")
        told = f"{kind_of_process(found)} {1 if count is None else count} ready"
        going.telling.line("ready", told, _since(started))
    return live


def _ask(going: Going, web: Object) -> tuple[int, tuple[str, ...]]:
    assert going.golden is not None  # noqa: S101  the caller looked
    if at(web, "spec", "replicas") == 0:
        return 0, ("it has no replica: the golden rows were not asked",)
    started = time.monotonic()
    place = place_of(web, going.objects)
    asked = ask_golden(going.client, going.app, place, going.golden, way=going.manner.way)
    if asked.rows:
        going.telling.line("answers", f"{asked.rows} golden rows agree with the original", _since(started))
    return asked.rows, asked.notes


def _running(applied: Sequence[Object]) -> list[Object]:
    """Those of the applied that have pods which are waited for."""
    return [one for one in applied if one.get("kind") in {"Deployment", SERVICE}]


def _changed(former: Sequence[Object], applied: Sequence[Object]) -> list[Object]:
    """Those of the applied that are not as they were before."""
    before = {kind_of(one): at(one, "metadata", "generation") for one in former}
    return [one for one in applied if before.get(kind_of(one)) != at(one, "metadata", "generation")]


def _told(going: Going, live: Sequence[Object], changed: bool, rows: int, notes: tuple[str, ...]) -> Deployed:  # noqa: FBT001
    web = next((one for one in live if is_web(one)), None)
    shown = web or (live[0] if live else None)
    release, bundle = (None, None) if shown is None else released(template_of(shown))
    number = 0 if shown is None else revision_of(shown)
    url = url_of(going.objects)
    services = named(going.objects, "Service")
    if url is None and services:
        port = at(services[0], "spec", "ports", 0, "port")
        reached = f"kubectl port-forward -n {going.client.namespace} service/{name_of(services[0])} 8080:{port}"
        notes += (f"it is reached within the cluster alone; from here: {reached}",)
    return Deployed(
        app=going.app,
        namespace=going.client.namespace,
        url=url,
        version=f"v{number}" if number else "v1",
        release=release,
        bundle=bundle,
        created=not going.former,
        changed=changed,
        golden_rows=rows,
        notes=notes,
        invite=None if web is None else first_invitation(going.client, web),
    )


def first_invitation(client: Client, web: Object) -> Secret | None:
    """The path of the first administrator's invitation, if a pod printed one that still opens."""
    from aweigh.targets.invitations import first_invitation as first_of
    from aweigh.targets.invitations import invitations
    from aweigh.targets.kubernetes.portforward import forwarded
    from aweigh.targets.kubernetes.trouble import log_lines

    try:
        pods = [one for one in new_pods(client, web) if is_ready(one)]
        lines = [line for one in pods for line in log_lines(client, one, container_of(one), lines=LOG_LINES)]
        if not invitations(lines):
            return None
        with forwarded(client, name_of(pods[0]), port_of(web)) as url:
            return first_of(url, lines)
    except RemoteError:
        # It is live: its log tells the link, too.
        return None


def _since(started: float) -> float:
    return time.monotonic() - started
