"""``aweigh deploy kubernetes``: a bundle, folder or Streamlit script live in a cluster and checked, or as files."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aweigh.cli.after import deployed_document, tell_invite, told_live
from aweigh.cli.documents import check_new, write_documents
from aweigh.cli.door import auth_option, check_own_door, no_ui_option
from aweigh.cli.terminal import Steps, clean, human_size, print_document
from aweigh.cli.trusting import trust_option, trusted
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.runtime.measured import Measured
    from aweigh.targets.kubernetes.deploy import Deployed, Manner
    from aweigh.targets.kubernetes.documents import Form
    from aweigh.targets.kubernetes.images import Source
    from aweigh.targets.kubernetes.kubeconfig import Connection
    from aweigh.targets.kubernetes.plan import Known, Plan
    from aweigh.targets.kubernetes.wish import Wish
    from aweigh.targets.release import Release

NAMESPACE = "default"
MEASURE = "an estimate: 'aweigh plan' measures it"

app_option = click.option("--app", required=True, metavar="NAME", help="What the app is called in the cluster.")
namespace_option = click.option(
    "--namespace", metavar="NAME", help="Where it is; by default the context's, or default."
)
context_option = click.option("--context", metavar="NAME", help="Which cluster of the kubeconfig; by default its own.")


@click.command("kubernetes")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@app_option
@namespace_option
@context_option
@click.option("--create-namespace", is_flag=True, help="Make the namespace, for pods that are shut in alone.")
@click.option("--image", required=True, metavar="REGISTRY/NAME:TAG",
              help="Where the image is pushed to; by a digest (NAME@sha256:...) it is there already.")  # fmt: skip
@click.option("--base", metavar="REFERENCE", help="What it is built on; by default the official python:X.Y-slim.")
@click.option("--platform", "platforms", multiple=True, metavar="OS/ARCH", help="linux/amd64 (default), linux/arm64.")
@click.option("--pull-secret", metavar="NAME", default="", help="The Secret with which the cluster fetches the image.")
@click.option("--insecure", is_flag=True, help="Ask the registry without TLS; only one on this machine is.")
@auth_option
@no_ui_option
@click.option("--worker", is_flag=True, help="Run jobs in pods of their own.")
@click.option("--redis", is_flag=True, help="Share answers, sessions and budgets through a Redis.")
@trust_option
@click.option("--memory", metavar="SIZE", help="What a replica may take: 512M, 2G; by default what was measured.")
@click.option("--cpus", default="1", show_default=True, metavar="NUMBER", help="How many processors each may use.")
@click.option("--replicas", type=click.IntRange(0, 200), help="How many web replicas; unset: as many as there are.")
@click.option("--scaling", type=click.Choice(("fixed", "cpu", "queue", "keda")), default="fixed", show_default=True,
              help="By what their number changes: the CPU; what waits, by an adapter of metrics; or KEDA.")  # fmt: skip
@click.option("--min-replicas", type=click.IntRange(1, 200), default=1, show_default=True)
@click.option("--max-replicas", type=click.IntRange(1, 200), default=5, show_default=True)
@click.option("--cpu-percent", type=click.IntRange(1, 100), default=70, show_default=True,
              help="The CPU of a replica beyond which there is to be another.")  # fmt: skip
@click.option("--in-flight", type=click.IntRange(1, 100_000), default=8, show_default=True,
              help="The requests under way in a replica beyond which there is to be another.")  # fmt: skip
@click.option("--prometheus", metavar="URL", default="", help="Where KEDA asks.")
@click.option("--metrics-namespace", metavar="NAME", default="", help="From where /metrics may be read.")
@click.option(
    "--host", metavar="NAME", default="", help="The name that it answers by; without one in the cluster alone."
)
@click.option("--ingress-class", metavar="NAME", default="", help="Which controller; by default the cluster's own.")
@click.option("--gateway", metavar="[NAMESPACE/]NAME", default="", help="A route of this Gateway, and no Ingress.")
@click.option("--gateway-sticky/--no-gateway-sticky", default=True, show_default=True,
              help="Ask it for session persistence (the Gateway API's experimental channel).")  # fmt: skip
@click.option("--front", metavar="NAMESPACE", default="",
              help="Where the controller runs, which alone may reach the pods [ingress-nginx]; or any.")  # fmt: skip
@click.option("--tls-secret", metavar="NAME", default="", help="The Secret of the host's certificate.")
@click.option("--issuer", metavar="NAME", default="", help="cert-manager's ClusterIssuer, which writes that Secret.")
@click.option("--database", type=click.Choice(("address", "operator")), default="address", show_default=True,
              help="PostgreSQL: at DATABASE_URL, or made by CloudNativePG's operator.")  # fmt: skip
@click.option("--database-instances", type=click.IntRange(1, 9), default=1, show_default=True)
@click.option("--database-size", metavar="SIZE", default="5Gi", show_default=True)
@click.option("--database-port", type=click.IntRange(1, 65535), help="Of DATABASE_URL [as it says, else 5432].")
@click.option("--redis-at", type=click.Choice(("address", "inside")), default="inside", show_default=True,
              help="With --redis: at REDIS_URL, or a Valkey beside the app.")  # fmt: skip
@click.option("--redis-port", type=click.IntRange(1, 65535), help="Of REDIS_URL [as it says, else 6379].")
@click.option("--https-out", is_flag=True, help="Let the pods ask other sites; else names, database and Redis alone.")
@click.option("--kserve", is_flag=True, help="An InferenceService of KServe; no Deployment, Service and Ingress.")
@click.option(
    "--check-at",
    type=click.Choice(("pod", "service", "address")),
    default="pod",
    show_default=True,
    help="Where the golden rows are asked: of a pod through a forwarded port; at the host's own address.",
)
@click.option("--force-conflicts", is_flag=True, help="Take fields over that others than aweigh have set.")
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write the documents, build nothing and ask nobody.")  # fmt: skip
@click.option("--push", is_flag=True, help="With --output-dir: push the image first, to call it by its digest.")
@click.option("--form", type=click.Choice(("yaml", "kustomize", "helm")), default="yaml", show_default=True,
              help="With --output-dir or --dry-run: plain YAML, a kustomize base, a Helm chart.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the documents, build nothing and ask nobody.")
@click.option("--diff", is_flag=True, help="Ask the cluster what would change, by its own dry run, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def deploy_kubernetes(**said: Any) -> None:
    """Deploy PATH (a bundle, a folder, a Streamlit script) to a Kubernetes cluster, and check what is live.

    The image is built without Docker and pushed. Tables are migrated, then replicas are changed one by one without a
    failed request; when they are up the bundle's golden rows are asked of them. If anything is amiss, what ran before
    runs again. DATABASE_URL and REDIS_URL are taken from the environment at the first deployment, and kept there.

    With --output-dir it is files for kubectl, kustomize or helm, and the cluster is not asked.
    """
    from aweigh.targets.image.build import created_of
    from aweigh.targets.kubernetes.images import PLATFORMS, Source, check_source, unbuilt
    from aweigh.targets.kubernetes.plan import Known, plan_of
    from aweigh.targets.kubernetes.wish import check_wish
    from aweigh.targets.releasing import Wishes, release_of

    path, steps = said["path"], Steps(json=said["as_json"])
    if said["diff"] and (said["dry_run"] or said["output_dir"]):
        raise UsageError("--diff asks the cluster, and --dry-run and --output-dir ask nobody.", hint="choose one")
    live = not (said["dry_run"] or said["output_dir"] or said["diff"])
    connection = _connection(said) if live or said["diff"] else None
    wish = _wish(said, connection)
    check_wish(wish)
    platforms = said["platforms"] or PLATFORMS[:1]
    source = Source(said["image"], said["base"], tuple(platforms), said["insecure"], created_of(os.environ))
    check_source(source)
    if said["output_dir"] is not None:
        check_new(said["output_dir"])
    with steps.step("release") as step:
        wishes = Wishes(
            auth=said["auth"], ui=not said["no_ui"], worker=said["worker"], redis=said["redis"], trust=said["trust"]
        )
        release = release_of(path, name=said["app"], wishes=wishes)
        step.says(f"{release.bundle or 'a folder of its own'}, Python {release.python}, {', '.join(release.processes)}")
    check_own_door(release, said["auth"], steps)
    measured = _measured(release, path, said["trust"])
    image = unbuilt(source)
    plan_of(release, wish, Known(image, measured))  # whatever cannot be is said before an image is built
    if live or (said["push"] and not said["dry_run"]):
        image = _pushed(release, source, steps)
    if connection is not None and said["diff"]:
        _differ(release, wish, Known(image, measured), connection, force=said["force_conflicts"], steps=steps)
        return
    if connection is not None:
        from aweigh.targets.kubernetes.deploy import Manner

        manner = Manner(force=said["force_conflicts"], way=said["check_at"])
        _go(release, wish, Known(image, measured), connection, manner, steps=steps)
        return
    plan = _planned(release, wish, Known(image, measured), steps=steps)
    _show(plan, said["form"], said["output_dir"], steps=steps)


def _wish(said: Mapping[str, Any], connection: "Connection | None") -> "Wish":
    from aweigh.targets.kubernetes.wish import Entry, Scaling, Stores, Wish

    away, _, gateway = said["gateway"].rpartition("/")
    inside = said["database"] == "operator"
    way = "none" if not said["host"] else "gateway" if gateway else "ingress"
    if way == "none" and (gateway or said["tls_secret"] or said["ingress_class"]):
        raise UsageError("It is led to by a name.", hint="--host models.example.org")
    return Wish(
        app=said["app"],
        namespace=said["namespace"] or (NAMESPACE if connection is None else connection.namespace),
        replicas=said["replicas"],
        memory=said["memory"],
        cpus=said["cpus"],
        entry=Entry(
            way=way,  # type: ignore[arg-type]  # one of three
            host=said["host"],
            class_name=said["ingress_class"],
            tls_secret=said["tls_secret"],
            issuer=said["issuer"],
            gateway=gateway,
            gateway_namespace=away,
            namespace=said["front"],
            sticky=said["gateway_sticky"],
        ),
        scaling=Scaling(
            by=said["scaling"],
            least=said["min_replicas"],
            most=max(said["max_replicas"], said["min_replicas"]),
            cpu_percent=said["cpu_percent"],
            in_flight=said["in_flight"],
            prometheus=said["prometheus"],
        ),
        stores=Stores(
            postgresql="inside" if inside else "address",
            redis=said["redis_at"],
            instances=said["database_instances"],
            size=said["database_size"],
            postgresql_port=_port(said["database_port"], None if inside else "DATABASE_URL", 5432),
            redis_port=_port(said["redis_port"], None if said["redis_at"] == "inside" else "REDIS_URL", 6379),
        ),
        serving="kserve" if said["kserve"] else "deployment",
        metrics_namespace=said["metrics_namespace"],
        pull_secret=said["pull_secret"],
        makes_namespace=said["create_namespace"],
        https_out=said["https_out"],
    )


def _port(said: int | None, name: str | None, usual: int) -> int:
    """The port of a store that the pods may reach: as said, else as the address in the environment has it.

    The port is no secret, as the rest of the address is. ``name`` is None where the store is inside of the cluster.
    """
    from urllib.parse import urlsplit

    from aweigh.secret.read import read_secret

    address = None if name is None else read_secret(os.environ, name)
    if name is None or said is not None or address is None:
        return usual if name is None or said is None else said
    try:
        return urlsplit(address.reveal()).port or usual
    except ValueError:
        return usual


def _measured(release: "Release", path: Path, trust: Path | None) -> "Measured | None":
    """What is kept of a measurement of the bundle, else an estimate; None: it serves no bundle."""
    if release.bundle is None:
        return None
    from aweigh.bundle.verify import verify
    from aweigh.cli.planned import known
    from aweigh.server.settings import read_settings

    file = release.files[release.bundle]
    bundle = verify(file if isinstance(file, Path) else path, trust=trusted(trust))
    return known(bundle, settings=read_settings({}))


def _pushed(release: "Release", source: "Source", steps: Steps) -> str:
    """The image by its digest: built and pushed, unless it is there."""
    from aweigh.cli.image import bars
    from aweigh.oci.room import opened_store
    from aweigh.targets.kubernetes.images import pushed_image

    store = click.get_current_context().with_resource(opened_store(os.environ))
    with steps.step("image") as step, bars(steps, "image") as tell:
        pushed = pushed_image(release, source, store=store, environ=os.environ, tell=tell)
        sent = pushed.published
        told = "is there already" if sent is None else f"{human_size(sent.sent_bytes)} sent"
        step.says(f"{pushed.name.rpartition('@')[2][:19]}, {told}")
    return pushed.name


def _planned(
    release: "Release", wish: "Wish", known: "Known", *, steps: Steps, counts: Mapping[str, int] | None = None
) -> "Plan":
    from aweigh.targets.compose.plan import WEB
    from aweigh.targets.kubernetes.plan import plan_of

    plan = plan_of(release, wish, known, counts=counts)
    takes = plan.resources[WEB]
    guess = f", {MEASURE}" if plan.is_estimated and known.measured is not None else ""
    steps.line("replica", f"{takes.memory_mi} MiB and {takes.cpu_m / 1000:g} CPU{guess}")
    return plan


# -- as files --------------------------------------------------------------------------------------------------------


def _show(plan: "Plan", form: "Form", folder: Path | None, *, steps: Steps) -> None:
    from aweigh.targets.kubernetes.documents import README, render
    from aweigh.targets.kubernetes.images import NO_DIGEST
    from aweigh.targets.kubernetes.meta import secrets_name

    documents = render(plan, form)
    told: dict[str, Any] = {"form": form, "image": plan.image}
    if folder is not None:
        write_documents(documents, folder)
        told |= {"folder": str(folder), "files": sorted(documents)}
        steps.line("written", f"{len(documents)} files to {folder}")
    else:
        told["documents"] = {name: content.decode() for name, content in documents.items()}
    if steps.json:
        print_document(told)
        return
    for name, content in documents.items() if folder is None else ():
        steps.line("document", name)
        for line in content.decode().splitlines():
            click.echo(f"    {clean(line.expandtabs(2))}")
    if plan.made_up or plan.given:
        steps.line("secrets", f"{secrets_name(plan)} holds {', '.join((*plan.made_up, *plan.given))}: in no document")
    if plan.digest == NO_DIGEST:
        steps.line("image", "none was built, and its digest stands for none; --push builds it")
    steps.next("the same without --dry-run" if folder is None else f"less {shlex.quote(str(folder / README))}")


# -- live ------------------------------------------------------------------------------------------------------------


def _connection(said: Mapping[str, Any]) -> "Connection":
    from aweigh.targets.kubernetes.kubeconfig import find_connection

    return find_connection(os.environ, context=said["context"], namespace=said["namespace"])


def _go(
    release: "Release", wish: "Wish", known: "Known", connection: "Connection", manner: "Manner", *, steps: Steps
) -> None:
    from aweigh.cli.ssh import telling_of
    from aweigh.secret.read import read_secret
    from aweigh.targets.kubernetes.after import counts_of
    from aweigh.targets.kubernetes.client import open_client
    from aweigh.targets.kubernetes.deploy import deploy
    from aweigh.targets.kubernetes.objects import objects_of
    from aweigh.targets.live import golden_of

    with open_client(connection) as client:
        counts = counts_of(client, wish.app)
    plan = _planned(release, wish, known, steps=steps, counts=counts)
    golden = None if release.bundle is None else golden_of(release.files[release.bundle])
    try:
        deployed = deploy(
            objects_of(plan),
            app=plan.app,
            namespace=plan.namespace,
            connection=connection,
            secrets=dict.fromkeys(plan.made_up) | {name: read_secret(os.environ, name) for name in plan.given},
            golden=golden,
            telling=telling_of(steps),
            manner=manner,
        )
    except KeyboardInterrupt:
        steps.line("stopped", "the same command again goes on from here")
        raise
    _tell(deployed, plan, steps=steps)


def _differ(
    release: "Release", wish: "Wish", known: "Known", connection: "Connection", *, force: bool, steps: Steps
) -> None:
    """What applying would change, as the cluster says."""
    from aweigh.cli.kubernetes_after import tell_differences
    from aweigh.targets.kubernetes.after import counts_of
    from aweigh.targets.kubernetes.client import open_client
    from aweigh.targets.kubernetes.images import NO_DIGEST
    from aweigh.targets.kubernetes.objects import objects_of
    from aweigh.targets.kubernetes.preview import preview

    with open_client(connection) as client:
        plan = _planned(release, wish, known, steps=steps, counts=counts_of(client, wish.app))
        found = preview(client, plan.app, objects_of(plan), force=force)
    tell_differences(found, steps)
    if plan.digest == NO_DIGEST and not steps.json:
        steps.line("image", "none was built, and its digest stands for none; --push builds it")


def _tell(deployed: "Deployed", plan: "Plan", *, steps: Steps) -> None:
    if steps.json:
        print_document(document(deployed, plan))
        return
    steps.line("live", told_live(deployed.url or "in the cluster", deployed.version, changed=deployed.changed))
    for note in deployed.notes:
        steps.line("note", note)
    tell_invite(steps, deployed.url, deployed.invite)
    steps.next(f"aweigh status kubernetes --app {shlex.quote(plan.app)} --namespace {shlex.quote(plan.namespace)}")


def document(deployed: "Deployed", plan: "Plan") -> dict[str, Any]:
    """What ``--json`` prints."""
    return deployed_document(
        deployed.app,
        url=deployed.url,
        release=deployed.version,
        bundle=deployed.bundle,
        created=deployed.created,
        changed=deployed.changed,
        golden_rows=deployed.golden_rows,
        notes=list(deployed.notes),
        has_invite=deployed.invite is not None,
        source=plan.image,
        namespace=deployed.namespace,
        replicas=dict(plan.replicas),
    )
