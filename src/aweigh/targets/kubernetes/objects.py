"""A plan as the objects of a cluster, in the order in which they are applied: plain values, and no secret in them.

First what others refer to, then the stores, the migration, what runs, and what leads there. The release's digest is
that of all objects of a release; it stands at every pod, so that one that changed anything starts the pods anew.
"""

import hashlib
from collections.abc import Iterable

from aweigh.targets.compose.plan import MIGRATE, WEB
from aweigh.targets.kubernetes.kserve import inference_service
from aweigh.targets.kubernetes.meta import Object, compact
from aweigh.targets.kubernetes.network import ingress, policies, route, service
from aweigh.targets.kubernetes.plan import Plan, check_plan
from aweigh.targets.kubernetes.scaling import autoscaler, disruption_budget, scaled_object
from aweigh.targets.kubernetes.security import namespace, service_account
from aweigh.targets.kubernetes.stores import database, valkey
from aweigh.targets.kubernetes.workload import config_maps, deployment, migration


def objects_of(plan: Plan) -> tuple[Object, ...]:
    """All objects of a plan, in their order.

    Raises:
        UsageError: a setting in it cannot be.
    """
    check_plan(plan)
    return tuple(objects_named(plan, release_digest(plan)))


def release_digest(plan: Plan) -> str:
    """The digest, 64 hex, of all that is rendered of a plan."""
    return digest_of(objects_named(plan, ""))


def digest_of(objects: Iterable[Object]) -> str:
    """The sha256 of objects, whatever the number of replicas: more of the same is no other release."""
    plain = [{**one, "spec": {**one["spec"], "replicas": 0}} if _is_counted(one) else one for one in objects]
    return hashlib.sha256(compact(plain).encode()).hexdigest()


def _is_counted(one: Object) -> bool:
    return one["kind"] == "Deployment" and "replicas" in one["spec"]


def objects_named(plan: Plan, release: str) -> list[Object]:
    """All objects, of a release of this digest."""
    found = [namespace(plan)] if plan.makes_namespace else []
    found += [service_account(plan), *config_maps(plan), *policies(plan)]
    if "postgresql" in plan.stores and plan.where.postgresql == "inside":
        found.append(database(plan))
    if "redis" in plan.stores and plan.where.redis == "inside":
        found += valkey(plan)
    if MIGRATE in plan.processes:
        found.append(migration(plan, release))
    found += [deployment(plan, one, release) for one in plan.replicas if one != WEB]
    return found + (_by_kserve(plan, release) if plan.serving == "kserve" else _by_deployment(plan, release))


def _by_kserve(plan: Plan, release: str) -> list[Object]:
    return [inference_service(plan, release)]


def _by_deployment(plan: Plan, release: str) -> list[Object]:
    found = [service(plan), deployment(plan, WEB, release), disruption_budget(plan)]
    if plan.scaling.by == "keda":
        found.append(scaled_object(plan))
    elif plan.scaling.by != "fixed":
        found.append(autoscaler(plan))
    if plan.entry.way == "ingress":
        found.append(ingress(plan))
    elif plan.entry.way == "gateway":
        found.append(route(plan))
    return found
