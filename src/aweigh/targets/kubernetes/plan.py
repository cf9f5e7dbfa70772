"""What is to run in a cluster: a release with its image, how many of what, within which limits; kept as JSON.

The same plan, the same objects. Secrets are not in it: of those that are made up, and of those that the owner has to
give, it holds the names.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from aweigh.errors import UsageError
from aweigh.oci.reference import parse_reference
from aweigh.runtime.measured import Measured
from aweigh.targets.compose.plan import MIGRATE, PROCESS, WEB, WORKER, check_setting
from aweigh.targets.image.build import words_of
from aweigh.targets.kubernetes.wish import Entry, Scaling, Serving, Stores, Wish, check_wish
from aweigh.targets.live import golden_of
from aweigh.targets.release import START, Release
from aweigh.targets.replica import QUEUE_WAIT_S, Resources, check_count, resources_of

MIGRATION_MI = 256
DRAIN_DELAY_S = 5
"""How long a replica that is to end still takes requests: until whatever stands in front has heard of it."""
DRAIN_S = 20
SPARE_S = 10
DATABASE_URL, REDIS_URL = "DATABASE_URL", "REDIS_URL"
REDIS_PASSWORD = "REDIS_PASSWORD"  # noqa: S105  a name
DEPLOY_SECRET = "AWEIGH_DEPLOY_SECRET"  # noqa: S105
METRICS_TOKEN = "AWEIGH_METRICS_TOKEN"  # noqa: S105
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that the objects are made of."""

    app: str
    namespace: str
    image: str
    """A registry's name and the digest: what runs is never another."""
    processes: dict[str, tuple[str, ...]]
    """By name, the words to run: an image may say others for its first process."""
    replicas: dict[str, int]
    resources: dict[str, Resources]
    config: dict[str, str]
    """What the release says of itself; the owner's ``settings`` are over it."""
    settings: dict[str, str] = {}
    stores: tuple[str, ...] = ()
    made_up: tuple[str, ...] = ()
    """Names in the Secret APP-secrets: made up at the first deployment, and never again."""
    given: tuple[str, ...] = ()
    """Names there that the owner has to give: addresses with passwords."""
    bundle: str | None = None
    """The short digest of the bundle that is served."""
    name: str = ""
    """What is served: the label app.kubernetes.io/name."""
    description: str = ""
    is_ours: bool = True
    """Whether ``aweigh serve`` answers, which says when it is ready."""
    has_ui: bool = True
    is_estimated: bool = False
    """Whether the resources are a guess: nobody has measured the bundle."""
    entry: Entry = Entry()
    scaling: Scaling = Scaling()
    where: Stores = Stores()
    serving: Serving = "deployment"
    metrics_namespace: str = ""
    pull_secret: str = ""
    makes_namespace: bool = False
    https_out: bool = False
    secrets_version: str = ""
    """Another text starts the pods anew: whoever changes a Secret changes it."""

    @property
    def digest(self) -> str:
        """The image's digest."""
        return self.image.partition("@")[2]

    @property
    def version(self) -> str:
        """The label app.kubernetes.io/version: the bundle's short digest, or the image's."""
        return self.bundle or self.digest.removeprefix("sha256:")[:12]

    @property
    def url(self) -> str | None:
        """Where it answers from outside of the cluster, if it does."""
        if self.entry.way == "none":
            return None
        return f"http{'s' if self.entry.has_tls else ''}://{self.entry.host}"

    @property
    def stop_s(self) -> int:
        """From SIGTERM to SIGKILL: the delay, what is under way, and some more."""
        said = self.config | self.settings
        return SPARE_S + sum(
            math.ceil(_seconds(said.get(name, ""), usual))
            for name, usual in (("AWEIGH_DRAIN_DELAY_S", DRAIN_DELAY_S), ("AWEIGH_DRAIN_S", DRAIN_S))
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a release beside its files: the ``image`` with its digest, and what was ``measured``."""

    image: str
    measured: Measured | None = None


def plan_of(
    release: Release,
    wish: Wish,
    known: Known,
    *,
    settings: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
    secrets_version: str = "",
) -> Plan:
    """The plan of a release; ``settings`` are the owner's own, over what the release says.

    ``counts`` are how many replicas there are now, by process: so many there will be, where the wish names no number.

    Raises:
        UsageError: something in it cannot be.
    """
    check_wish(wish)
    reference = parse_reference(known.image)
    counts = dict(counts or {}) | ({} if wish.replicas is None else {WEB: wish.replicas})
    processes = processes_of(release)
    golden = None if release.bundle is None else golden_of(release.files[release.bundle])
    scaling = _scaling(wish, known.measured)
    web = resources_of(wish.memory, wish.cpus, known.measured, has_ui=release.has_ui)
    several = wish.scaling.by != "fixed" or counts.get(WEB, 1) > 1
    asks_provider = " --auth oidc" in release.processes.get(WEB, "")
    found = Plan(
        app=wish.app,
        namespace=wish.namespace,
        image=str(replace(reference, tag="")),
        processes=processes,
        replicas={name: check_count(counts.get(name, 1)) for name in processes if name != MIGRATE},
        resources={
            name: web if name in {WEB, WORKER} else Resources(MIGRATION_MI, 500) if name == MIGRATE else web
            for name in processes
        },
        config=_config(release, wish, several=several),
        settings=dict(sorted((settings or {}).items())),
        stores=tuple(release.stores),
        made_up=_made_up(release, wish),
        given=_given(release, wish),
        bundle=None if golden is None else golden.version,
        name=label_value(golden.name if golden is not None else wish.app) or wish.app,
        description=release.description,
        is_ours=START in release.processes.get(WEB, ""),
        has_ui=release.has_ui,
        is_estimated=wish.memory is None and (known.measured is None or known.measured.estimated),
        entry=wish.entry,
        scaling=scaling,
        where=wish.stores,
        serving=wish.serving,
        metrics_namespace=wish.metrics_namespace,
        pull_secret=wish.pull_secret,
        makes_namespace=wish.makes_namespace,
        https_out=wish.https_out or asks_provider,
        secrets_version=secrets_version,
    )
    check_plan(found)
    return found


def check_plan(plan: Plan) -> None:
    """What a plan that was read from somewhere is held to, as one that was made.

    Raises:
        UsageError: a setting, a version or a combination that cannot be.
    """
    check_wish(
        Wish(plan.app, plan.namespace, entry=plan.entry, scaling=plan.scaling, stores=plan.where,
             metrics_namespace=plan.metrics_namespace, pull_secret=plan.pull_secret)
    )  # fmt: skip
    if not parse_reference(plan.image).digest:
        raise UsageError("An image in a cluster is named by its digest.", hint="REGISTRY/NAME@sha256:...")
    for name, value in (plan.config | plan.settings).items():
        check_setting(name, value)
    for name in (*plan.made_up, *plan.given):
        check_setting(name, "")
    if len(plan.secrets_version) > 100 or not plan.secrets_version.isprintable():
        raise UsageError("That is no version of Secrets.")
    if plan.serving == "kserve" and plan.bundle is None:
        raise UsageError("KServe serves bundles.", hint="give a bundle, or leave out --kserve")
    if plan.serving == "kserve" and plan.scaling.by in {"queue", "keda"}:
        raise UsageError("KServe scales by the CPU here.", hint="--scaling cpu, or leave out --kserve")
    if plan.scaling.by in {"queue", "keda"} and not plan.is_ours:
        raise UsageError("Only what aweigh serves tells its queue.", hint="--scaling cpu")


def scaled(plan: Plan, counts: Mapping[str, int]) -> Plan:
    """The plan with other numbers of replicas.

    Raises:
        UsageError: there is no such process, or there can be not so many, or they are scaled by themselves.
    """
    for name, count in counts.items():
        if name not in plan.replicas:
            raise UsageError(f"The app has no process {name[:40]!a}.", hint=f"it has {', '.join(plan.replicas)}")
        check_count(count)
    if WEB in counts and plan.scaling.by != "fixed":
        raise UsageError(
            "The web replicas are scaled by themselves.",
            hint="deploy with other --min-replicas and --max-replicas, or with --scaling fixed",
        )
    replicas = plan.replicas | dict(counts)
    config = dict(plan.config)
    if replicas[WEB] > 1 and not plan.stores:
        config["AWEIGH_JOBS"] = "off"
    return msgspec.structs.replace(plan, replicas=replicas, config=dict(sorted(config.items())))


def processes_of(release: Release) -> dict[str, tuple[str, ...]]:
    """The words of each process, by the name that it has in a cluster.

    Raises:
        UsageError: a name or a line that cannot be, or no web process.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, line in release.processes.items():
        called = MIGRATE if name == "release" else name
        if PROCESS.fullmatch(called) is None or (name != "release" and called == MIGRATE):
            raise UsageError(
                f"A process called {name[:60]!a} cannot be a container here.",
                hint=f"small letters, digits and hyphens, and not {MIGRATE}",
            )
        words = tuple(words_of(line))
        if any("\0" in one or not one.isprintable() for one in words):
            raise UsageError(f"The line of the process {name!a} has characters that no command has.")
        found[called] = words
    if WEB not in found:
        raise UsageError("The release has no web process.", hint="write web: into its Procfile")
    return found


def label_value(text: str) -> str:
    """As much of a text as a label may hold.

    >>> label_value("Penguins of Palmer!")
    'Penguins-of-Palmer'
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", text, flags=re.ASCII)[:63].strip("-_.")
    return plain if _VERSION.fullmatch(plain) else ""


def _config(release: Release, wish: Wish, *, several: bool) -> dict[str, str]:
    config = dict(release.config)
    if START in release.processes.get(WEB, ""):
        config["AWEIGH_PROXIES"] = "0" if wish.entry.way == "none" else "1"
        config.setdefault("AWEIGH_DRAIN_DELAY_S", str(DRAIN_DELAY_S))
        config.setdefault("AWEIGH_DRAIN_S", str(DRAIN_S))
        if wish.entry.way != "none" and wish.entry.has_tls:
            config["AWEIGH_PUBLIC_URL"] = f"https://{wish.entry.host}"
        if several and not release.stores:
            config["AWEIGH_JOBS"] = "off"  # each replica would know its own alone
        elif not release.stores:
            config.setdefault("AWEIGH_JOBS_MAX_KEPT_BYTES", str(2**30))
    return dict(sorted(config.items()))


def _scaling(wish: Wish, measured: Measured | None) -> Scaling:
    """The wished, with as many rows waiting as the measured model answers in the time that they may wait."""
    if measured is None or not measured.calls or wish.scaling.queue_rows != Scaling().queue_rows:
        return wish.scaling
    row_us = min(one.wall_us / one.rows for one in measured.calls if one.rows)
    rows = max(1, min(100_000, round(QUEUE_WAIT_S * 1e6 / max(row_us, 0.01))))
    return msgspec.structs.replace(wish.scaling, queue_rows=rows)


def _made_up(release: Release, wish: Wish) -> tuple[str, ...]:
    ours = (DEPLOY_SECRET, METRICS_TOKEN) if START in release.processes.get(WEB, "") else ()
    redis = (REDIS_PASSWORD,) if "redis" in release.stores and wish.stores.redis == "inside" else ()
    return tuple(sorted({*ours, *release.secrets, *redis}))


def _given(release: Release, wish: Wish) -> tuple[str, ...]:
    needs = {"postgresql": (DATABASE_URL, wish.stores.postgresql), "redis": (REDIS_URL, wish.stores.redis)}
    return tuple(needs[one][0] for one in release.stores if needs[one][1] == "address")


def _seconds(text: str, usual: float) -> float:
    try:
        said = float(text)
    except ValueError:
        return usual
    return said if 0 <= said <= 3600 else usual
