"""A plan as plain YAML: one file for each object, in the order in which they are applied."""

from aweigh.targets.kubernetes.meta import Object
from aweigh.targets.kubernetes.objects import objects_of
from aweigh.targets.kubernetes.plan import Plan
from aweigh.targets.yaml import to_yaml

HEAD = (
    "Written by aweigh for the app {app}: the next time it is written anew. Secrets are in no document: see README.md."
)


def plain_of(plan: Plan) -> dict[str, bytes]:
    """One file for each object; by their names they stand in the order in which they are applied."""
    found = objects_of(plan)
    return {
        f"{number:02d}-{name}": to_yaml(one, head=HEAD.format(app=plan.app)).encode()
        for number, (name, one) in enumerate(((file_name(one), one) for one in found), 10)
    }


def file_name(one: Object) -> str:
    """Of an object's file."""
    return f"{one['kind'].lower()}-{one['metadata']['name']}.yaml"
