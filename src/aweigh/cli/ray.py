"""``aweigh deploy ray``: a bundle live on Ray Serve and checked, or as files for KubeRay."""

import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aweigh.cli.after import App, deployed_document, told_live
from aweigh.cli.terminal import Steps, print_document
from aweigh.cli.trusting import signed_by, trust_option, trusted
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.targets.ray.deploy import Deployed, Going
    from aweigh.targets.ray.kept import Release
    from aweigh.targets.ray.plan import Wish
    from aweigh.targets.ray.serving import Serve

F = TypeVar("F", bound=Callable[..., Any])

MEASURE = "an estimate: 'aweigh plan' measures it"
GIVEN = ("DATABASE_URL", "REDIS_URL")
"""Addresses with passwords, taken from the environment of whoever deploys."""
AUTHS = ("password", "none")
FOR_FILES = ("image", "ray_version", "pull_secret", "gcs_redis")
"""What only the documents for KubeRay take."""


def _app(_: click.Context, __: click.Parameter, name: str) -> str:
    from aweigh.targets.app_name import check_app

    return check_app(name)


def _address(_: click.Context, __: click.Parameter, text: str) -> str:
    from aweigh.targets.ray.cluster import check_address

    return check_address(text)


def cluster_options(command: F) -> F:
    """Which app, and on which cluster."""
    for option in (
        click.option("--address", default="auto", show_default=True, envvar="RAY_ADDRESS", show_envvar=True,
                     metavar="auto|ray://HOST:10001|HOST:6379", callback=_address,
                     help="The cluster: of this machine; by Ray's client; from a machine of the cluster."),
        click.option("--app", required=True, metavar="NAME", callback=_app, help="What the app is called there."),
    ):  # fmt: skip
        command = option(command)
    return command


def known_as(app: str, address: str) -> App:
    """The app, and how it is typed."""
    return App("ray", app, more=() if address == "auto" else ("--address", address))


@click.command("ray")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@cluster_options
@click.option("--auth", type=click.Choice(AUTHS), default="password", show_default=True,
              help="Who may come in: people and keys that are known (at DATABASE_URL), or anybody (none).")  # fmt: skip
@trust_option
@click.option("--route-prefix", "route", default="/", show_default=True, metavar="/NAME",
              help="Where it answers, beside other applications of the cluster.")  # fmt: skip
@click.option("--memory", metavar="SIZE", help="What a replica may take: 512M, 2G; by default what was measured.")
@click.option("--cpus", default="1", show_default=True, metavar="NUMBER", help="How many processors each may use.")
@click.option("--replicas", type=click.IntRange(1, 200), help="How many; unset: as many as there are.")
@click.option("--min-replicas", type=click.IntRange(1, 200), default=1, show_default=True)
@click.option(
    "--max-replicas", type=click.IntRange(1, 200), help="Let Ray change their number by the load, up to this."
)
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Where Ray's proxies listen, if Ray Serve has to be started.")  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="And on which port.")
@click.option("--ready-within", type=click.IntRange(10, 3600), default=240, show_default=True, metavar="SECONDS",
              help="How long the new release may take until all its replicas run.")  # fmt: skip
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write a RayService for KubeRay, and ask nobody.")  # fmt: skip
@click.option("--image", metavar="REGISTRY/NAME@sha256:...", help="With --output-dir: what its nodes run.")
@click.option("--namespace", metavar="NAME", default="default", show_default=True, help="With --output-dir: where.")
@click.option("--ray-version", metavar="VERSION", help="With --output-dir: the image's Ray; by default the one here.")
@click.option("--pull-secret", metavar="NAME", default="", help="With --output-dir: by which the image is fetched.")
@click.option("--gcs-redis", metavar="HOST:PORT", default="",
              help="With --output-dir: a Redis that keeps what the head knows.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print what Ray Serve would be told, and ask nobody.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def deploy_ray(**said: Any) -> None:
    """Deploy PATH (a bundle) to a Ray cluster, as an application of Ray Serve, and check what is live.

    It is the API of aweigh serve, with its keys and limits, in as many replicas as are asked for; there is no app for
    people. The new release starts beside the one that runs. When it has answered the bundle's golden rows through
    Ray's proxy, people are sent to it, without a failed request, and the old one ends. If anything is amiss, what ran
    before still serves. DATABASE_URL and REDIS_URL are taken from the environment and kept in the cluster.
    """
    from aweigh.targets.live import golden_of
    from aweigh.targets.ray.plan import Wish, check_wish

    steps = Steps(json=said["as_json"])
    wish = Wish(
        app=said["app"],
        route=said["route"],
        replicas=said["replicas"],
        least=said["min_replicas"],
        most=said["max_replicas"] or 0,
        memory=said["memory"],
        cpus=said["cpus"],
        host=said["host"],
        port=said["port"],
    )
    check_wish(wish)
    files = said["output_dir"] is not None
    for name in FOR_FILES:
        if said[name] and not files:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for the documents of KubeRay alone.", hint=f"--output-dir DIR {option} ...")
    with steps.step("verify") as step:
        bundle = _verified(said["path"], said["trust"])
        step.says(f"{bundle.manifest.name} {bundle.version}: every byte is as its manifest says{signed_by(bundle)}")
    secrets = {} if files or said["dry_run"] else given_secrets(said["auth"])
    content = _archive(bundle)
    release = _release(bundle, wish, content=content, said=said, steps=steps)
    if files:
        _write(release, wish, said, steps=steps)
        return
    if said["dry_run"]:
        _show(release, wish, steps=steps)
        return
    with serving(said["address"], steps=steps, bundle=bundle, wish=wish, auth=said["auth"]) as going:
        import msgspec

        from aweigh.targets.ray.deploy import deploy

        patient = replace(going, ready_s=float(said["ready_within"]))
        release = msgspec.structs.replace(release, loopback=is_near(going.serve))
        done = deploy(
            patient, wish.app, release, content=content, golden=golden_of(content), secrets=secrets,
            keep_replicas=wish.replicas is None,
        )  # fmt: skip
    _tell(done, known_as(wish.app, said["address"]), steps=steps)


def _verified(path: Path, trust: Path | None) -> "VerifiedBundle":
    """The bundle at a path; what Ray serves is a bundle and nothing else.

    Raises:
        UsageError: it is something else.
        BundleError: it is damaged, or holds code and nobody is named whose signature counts there.
    """
    from aweigh.bundle.names import MANIFEST
    from aweigh.bundle.verify import verify
    from aweigh.targets.releasing import check_vouched

    if not path.exists():
        raise UsageError(f"There is no {path.name!r}.", hint="name a bundle: aweigh pack makes one")
    if path.suffix == ".py" or (path.is_dir() and not (path / MANIFEST).is_file()):
        raise UsageError(
            "Ray Serve serves a bundle's API, and no folder or script.",
            hint="deploy the bundle that is in it; the app for people goes to another place: aweigh deploy --help",
        )
    bundle = verify(path, trust=trusted(trust))
    check_vouched(bundle.manifest, trust)
    return bundle


def given_secrets(auth: str) -> dict[str, str]:
    """What the environment gives of addresses with passwords.

    Raises:
        UsageError: people and keys are to be asked for, and nothing says where they are known.
    """
    from aweigh.secret.read import read_secret

    found = {name: secret.reveal() for name in GIVEN if (secret := read_secret(os.environ, name)) is not None}
    if auth != "none" and "DATABASE_URL" not in found:
        raise UsageError(
            "Replicas on several machines ask one database who may come in, and DATABASE_URL names none.",
            hint="set it to a PostgreSQL that the nodes reach; if everybody may come in, say so: --auth none",
        )
    return found


def _archive(bundle: "VerifiedBundle") -> bytes:
    from aweigh.targets.releasing import archived

    return bundle.path.read_bytes() if bundle.path.is_file() else archived(bundle)


def _release(
    bundle: "VerifiedBundle", wish: "Wish", *, content: bytes, said: Mapping[str, Any], steps: Steps
) -> "Release":
    import hashlib

    from aweigh._version import __version__
    from aweigh.cli.planned import known
    from aweigh.runtime.plan import batch_rows_of
    from aweigh.server.settings import read_settings
    from aweigh.targets.policy import policy_files
    from aweigh.targets.ray.kept import Release, text_of
    from aweigh.targets.ray.plan import sized

    measured = known(bundle, settings=read_settings({}))
    takes = sized(wish, measured)
    guess = f", {MEASURE}" if takes.is_estimated else ""
    steps.line("replica", f"{takes.memory_bytes // 2**20} MiB and {takes.cpus:g} CPU{guess}")
    steps.more(f"{takes.in_flight} requests at a time at most")
    trust = {} if said["trust"] is None else policy_files(said["trust"])
    return Release(
        number=0,
        at_s=0.0,
        name=f"{bundle.manifest.name}.aweigh",
        bundle=bundle.version,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        auth=said["auth"],
        route=wish.route,
        replicas=1 if wish.replicas is None else wish.replicas,
        least=wish.least if wish.most else 0,
        most=wish.most,
        cpus=takes.cpus,
        memory_bytes=takes.memory_bytes,
        in_flight=takes.in_flight,
        target=takes.target,
        batch_rows=None if measured.estimated else batch_rows_of(measured),
        config={"AWEIGH_DRAIN_S": "20"},
        trust={name: text_of(one) for name, one in trust.items()},
        loopback=False,
        aweigh=__version__,
    )


def is_near(serve: "Serve") -> bool:
    """Whether the proxies listen for this machine alone, and not for whoever reaches them."""
    from aweigh.server.serve import is_loopback

    return is_loopback(serve.listens[0])


def _show(release: "Release", wish: "Wish", *, steps: Steps) -> None:
    from aweigh.targets.ray.plan import application_of
    from aweigh.targets.yaml import to_yaml

    text = to_yaml({"applications": [application_of(wish.app, release, route=wish.route)]})
    if steps.json:
        print_document({"documents": {"serve.yaml": text}})
        return
    steps.line("document", "for Ray Serve; its release gets a number there")
    for line in text.splitlines():
        click.echo(f"    {line}")
    steps.next("the same without --dry-run")


def _write(release: "Release", wish: "Wish", said: Mapping[str, Any], *, steps: Steps) -> None:
    """Writes the documents for KubeRay into a folder that is new or empty.

    Raises:
        UsageError, StorageFull: as of ``write_documents``; a setting is missing, or cannot be.
    """
    from importlib import metadata

    from aweigh.cli.documents import write_documents
    from aweigh.targets.ray.manifest import README, Setting, documents_of

    version = said["ray_version"]
    if version is None:
        try:
            version = metadata.version("ray")
        except metadata.PackageNotFoundError as error:
            raise UsageError("Nothing says which Ray the image has.", hint="--ray-version 2.60.0") from error
    if not said["image"]:
        raise UsageError(
            "The nodes of KubeRay run an image that has Ray, aweigh and the bundle.",
            hint="--image REGISTRY/NAME@sha256:...; docs/how-to/deploy-to-ray.md says how it is made",
        )
    setting = Setting(said["namespace"], said["image"], version, said["pull_secret"], said["gcs_redis"])
    documents = documents_of(wish.app, release, setting)
    write_documents(documents, said["output_dir"])
    if steps.json:
        print_document({"folder": str(said["output_dir"]), "files": sorted(documents), "image": said["image"]})
        return
    steps.line("written", f"{len(documents)} files to {said['output_dir']}")
    steps.next(f"less {shlex.quote(str(said['output_dir'] / README))}")


@contextmanager
def serving(
    address: str,
    *,
    steps: Steps,
    bundle: "VerifiedBundle | None" = None,
    wish: "Wish | None" = None,
    auth: str | None = None,
    app: str | None = None,
) -> "Iterator[Going]":
    """The cluster, looked at; with a ``wish`` Ray Serve is started where it does not run. ``app`` has to be there.

    Raises:
        ClusterSilent, ClusterUnfit, ServeRefused: it cannot be used.
        UsageError: Ray Serve, or the app, is not there.
    """
    from aweigh.cli.ssh import telling_of
    from aweigh.targets.ray.after import there
    from aweigh.targets.ray.cluster import check_nodes, connected, nodes
    from aweigh.targets.ray.deploy import Going
    from aweigh.targets.ray.kept import RayStore
    from aweigh.targets.ray.serving import running_serve, started_serve

    with connected(address):
        if app is not None:
            there(RayStore(), app)
        started = time.monotonic()
        needed = _needed(bundle, auth)
        found = nodes(distributions=needed)
        check_nodes(found, needed=needed, extra=_extra(bundle, auth))
        told = f"{len(found)} node{'' if len(found) == 1 else 's'}, Ray {found[0].versions['ray']}"
        steps.line("cluster", f"{told}, Python {found[0].python}", seconds=time.monotonic() - started)
        serve = running_serve() if wish is None else started_serve(wish.host, wish.port)
        if serve is None:
            raise UsageError("Ray Serve does not run on that cluster.", hint="aweigh deploy ray starts it")
        yield Going(serve, RayStore(), url_of(serve), telling_of(steps))


def url_of(serve: "Serve") -> str:
    """How the head node's proxy is reached."""
    host, port = serve.listens
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104  an address to be told apart, not bound
        host = str(serve.details()["controller_info"]["node_ip"])
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _extra(bundle: "VerifiedBundle | None", auth: str | None) -> str:
    from aweigh.bundle.lock import extra_of

    wanted = ["ray", "" if bundle is None else extra_of(bundle.manifest.runtime)]
    wanted += ["auth", "jobs"] if auth not in {None, "none"} else []
    return ",".join(one for one in wanted if one)


def _needed(bundle: "VerifiedBundle | None", auth: str | None) -> list[str]:
    """The packages that every node must have for this bundle behind this door."""
    by_runtime = {"onnx": "onnxruntime", "sklearn": "scikit-learn", "python": ""}
    runtime = "" if bundle is None else bundle.manifest.runtime
    found = ["starlette", "uvicorn", "msgspec", "numpy", "httpx", by_runtime.get(runtime, runtime)]
    found += ["argon2-cffi", "cryptography", "psycopg"] if auth not in {None, "none"} else []
    return [one for one in found if one]


def _tell(done: "Deployed", app: App, *, steps: Steps) -> None:
    if steps.json:
        print_document(
            deployed_document(
                done.app,
                url=done.url,
                release=done.version,
                bundle=done.bundle,
                created=done.created,
                changed=done.changed,
                golden_rows=done.golden_rows,
                notes=list(done.notes),
                source=done.bundle,
                replicas=dict(done.replicas),
            )
        )
        return
    steps.line("live", told_live(done.url, done.version, changed=done.changed))
    for note in done.notes:
        steps.line("note", note)
    steps.next(app.command("status"))
