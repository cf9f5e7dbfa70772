"""A plan as files: plain YAML, a kustomize base with an overlay, or a Helm chart; no secret is in any of them."""

from typing import Literal

from aweigh.targets.kubernetes.helm import chart_of
from aweigh.targets.kubernetes.kustomize import kustomization_of
from aweigh.targets.kubernetes.meta import secrets_name
from aweigh.targets.kubernetes.plain import plain_of
from aweigh.targets.kubernetes.plan import Plan

Form = Literal["yaml", "kustomize", "helm"]
FORMS: tuple[Form, ...] = ("yaml", "kustomize", "helm")
README = "README.md"

_APPLY = {
    "yaml": "kubectl apply --server-side -f .",
    "kustomize": "kubectl apply --server-side -k overlays/example",
    "helm": "helm upgrade --install {app} . --namespace {namespace}",
}


def render(plan: Plan, form: Form) -> dict[str, bytes]:
    """The files of a plan in a form, by their paths with ``/``.

    Raises:
        UsageError: a setting in it cannot be.
    """
    made = {"yaml": plain_of, "kustomize": kustomization_of, "helm": chart_of}[form](plan)
    return {**made, README: readme_of(plan, form).encode()}


def readme_of(plan: Plan, form: Form) -> str:
    """What has to be there before, and how it is applied."""
    lines = [f"# {plan.app} on Kubernetes", "", "Written by aweigh.", ""]
    names = (*plan.made_up, *plan.given)
    create = f"kubectl create secret generic {secrets_name(plan)} --namespace {plan.namespace}"
    if names:
        lines += [
            f"The Secret `{secrets_name(plan)}` is made once, and is in no document:",
            "",
            "```sh",
            "{",
            *(f"""  printf '%s=%s\\n' {one} "$(openssl rand -hex 32)\"""" for one in plan.made_up),
            *(f"""  printf '%s=%s\\n' {one} "${one}\"""" for one in plan.given),
            f"}} | {create} --from-env-file=/dev/stdin",
            "```",
            "",
        ]
    if "postgresql" in plan.stores and plan.where.postgresql == "inside":
        lines += ["PostgreSQL is made by CloudNativePG's operator, which has to be in the cluster.", ""]
    lines += ["Then:", "", "```sh", _APPLY[form].format(app=plan.app, namespace=plan.namespace), "```", ""]
    return "\n".join(lines)
