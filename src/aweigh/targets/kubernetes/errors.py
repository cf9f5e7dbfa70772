"""What Kubernetes' API refuses, and what goes wrong in a cluster, each as one sentence and a fix.

The API answers an error with a ``Status`` document: ``reason`` is for programs and is taken where it is known, the
``causes`` name fields; messages are quoted, never relied on.
"""

import re
from dataclasses import dataclass

import msgspec

from aweigh.errors import RemoteError
from aweigh.targets.errors import AGAIN, MOST_QUOTED

MOST_LISTED = 3
"""Causes that one sentence tells."""
RUNS_ON = "what ran before runs on"


class KubernetesRefused(RemoteError):
    """The API answered a request with an error; ``status`` is that of HTTP, ``reason`` the API's own word for it."""

    code = "kubernetes_refused"

    def __init__(self, message: str, *, status: int, reason: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.reason = reason


class FieldConflict(KubernetesRefused):
    """Another field manager has set a field to something else; ``managers`` are their names."""

    code = "field_conflict"

    def __init__(self, message: str, *, managers: frozenset[str], hint: str) -> None:
        super().__init__(message, status=409, reason="Conflict", hint=hint)
        self.managers = managers


class KubernetesSilent(RemoteError):
    """The API could not be asked, or its answer broke off. What was asked for does no harm when it is asked again."""

    code = "kubernetes_silent"


class MigrationFailed(RemoteError):
    """The Job before the release failed, or did not end; the Deployments were not touched."""

    code = "migration_failed"


class NoForward(RemoteError):
    """The cluster does not forward a port, or something on the way does not let it through."""

    code = "no_port_forward"


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""
    field: str = ""


class _Details(msgspec.Struct, frozen=True):
    kind: str | None = ""
    name: str | None = ""
    causes: tuple[_Cause, ...] | None = ()
    retryAfterSeconds: int | None = None  # noqa: N815  the API's name


class _Said(msgspec.Struct, frozen=True):
    message: str | None = ""
    reason: str | None = ""
    details: _Details | None = None

    @property
    def causes(self) -> tuple[_Cause, ...]:
        """What is wrong, each by its field."""
        return (self.details and self.details.causes) or ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request was for, as in ``to apply the Deployment penguins``, and who asked, in the cluster's terms."""

    what: str
    user: str = ""
    namespace: str = ""
    expired: str = ""
    """When the user's certificate ended, if it did."""


def status_of(body: bytes) -> _Said:
    """The Status document of an answer; an empty one where there is none."""
    try:
        return msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Said()


def refusal(status: int, body: bytes, asked: Asked) -> KubernetesRefused:
    """The error of an answer."""
    said = status_of(body)
    reason = said.reason or ""
    if status == 409 and any(one.reason == "FieldManagerConflict" for one in said.causes):
        return _conflict(said, asked)
    sentence, hint = _words(status, said, asked)
    return KubernetesRefused(sentence, status=status, reason=reason, hint=hint)


def _conflict(said: _Said, asked: Asked) -> FieldConflict:
    causes = [one for one in said.causes if one.reason == "FieldManagerConflict"]
    found = [re.search(r'conflict with "((?:[^"\\]|\\.)*)"', one.message) for one in causes]
    managers = frozenset(one[1] for one in found if one is not None)
    fields = _listed([one.field for one in causes])
    whom = _listed(sorted(managers)) or "somebody else"
    plural = len(causes) > 1
    return FieldConflict(
        f"{'Fields' if plural else 'A field'} of {_object(asked.what)} {'are' if plural else 'is'} set to something "
        f"else by {whom}: {fields}.",
        managers=managers,
        hint=f"let {whom} leave {'them' if plural else 'it'}, or take {'them' if plural else 'it'} over: "
        "the same command with --force-conflicts",
    )


def _object(what: str) -> str:
    """The object of ``to apply the Deployment penguins``."""
    return what.partition(" the ")[2] or what


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(quote(one, 120) for one in names[:MOST_LISTED]) + more


def _words(status: int, said: _Said, asked: Asked) -> tuple[str, str]:
    quoted = quote(said.message or "")
    told = f": {quoted}" if quoted else ""
    what = asked.what
    if status == 401:
        if asked.expired:
            return (
                f"The client certificate of {asked.user} ended on {asked.expired}.",
                "get a new kubeconfig from whoever runs the cluster (kubeadm: kubeadm certs renew)",
            )
        return (
            f"The cluster does not accept the credentials of {asked.user or 'this user'}.",
            "they have ended or were revoked: log in anew as the cluster's provider says, then 'kubectl auth whoami'",
        )
    if status == 403 and "is being terminated" in (said.message or ""):
        return (
            f"The namespace {asked.namespace} is being deleted, and takes nothing new{told}.",
            f"wait until it is gone, then make it anew: kubectl get namespace {asked.namespace}",
        )
    if status == 403 and re.search(r"exceeded quota", said.message or ""):
        return (
            f"A quota of the namespace {asked.namespace} does not allow {what}{told}.",
            f"ask for fewer replicas, less memory or a larger quota: kubectl describe quota -n {asked.namespace}",
        )
    if status == 403 and "admission webhook" not in (said.message or "") and "PodSecurity" not in (said.message or ""):
        return (
            f"{asked.user or 'This user'} may not {what.removeprefix('to ')} in this cluster{told}.",
            f"ask for a role with that right: kubectl auth can-i --list -n {asked.namespace}",
        )
    if status == 403:
        return f"A rule of the cluster forbids {what}{told}.", "change what is asked for, or ask who runs the cluster"
    if status == 404 and "namespace" in (said.message or ""):
        return (
            f"The cluster has no namespace {asked.namespace}.",
            f"make it (kubectl create namespace {asked.namespace}), or name another with --namespace",
        )
    if status == 404:
        return f"The cluster found nothing when it was asked {what}{told}.", "check the app's name and --namespace"
    if status in {400, 422} and said.causes:
        problems = [f"{one.field or 'it'}: {quote(one.message, 160)}" for one in said.causes[:MOST_LISTED]]
        more = f", and {len(said.causes) - MOST_LISTED} more" if len(said.causes) > MOST_LISTED else ""
        return (
            f"The cluster rejects {_object(what)}: {'; '.join(problems)}{more}.",
            "correct what is named; nothing of this object was changed",
        )
    if status in {400, 422, 500} and (unknown := _unknown_field(said.message or "")):
        return (
            f"The cluster knows no field {unknown} in {_object(what)}.",
            "it is a typing error, or the cluster is older than the field: nothing of this object was changed",
        )
    if status == 409:
        return f"Somebody else changed the same thing at this moment, when asked {what}{told}.", AGAIN
    if status == 410:
        return f"The cluster has forgotten the list that was asked for, {what}.", AGAIN
    if status == 429:
        return f"The cluster is asked too much just now {what}{told}.", "wait a minute, then " + AGAIN
    if status >= 500:
        return f"The cluster failed (status {status}) {what}{told}.", AGAIN
    return f"The cluster refuses (status {status}) {what}{told}.", "see the cluster's audit log"


def _unknown_field(message: str) -> str | None:
    found = re.search(r"(\.[A-Za-z0-9_.\[\]\"=-]+): field not declared in schema", message)
    found = found or re.search(r'unknown field "([^"]{1,120})"', message)
    return None if found is None else found[1]


def quote(text: str, most: int = MOST_QUOTED) -> str:
    """The other side's words as a part of a sentence: one line, printable, of bounded length, without a full stop."""
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split()).rstrip(".")
    return plain if len(plain) <= most else plain[: most - 3] + "..."


def silent(error: Exception, *, what: str, server: str) -> KubernetesSilent:
    """The error of a connection that did not come about, or broke off."""
    import ssl

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    text = f"{error} {cause or ''}"
    if "certificate has expired" in text:
        return KubernetesSilent(
            f"The certificate of the cluster at {server} has ended.", hint="who runs the cluster has to renew it"
        )
    if "Hostname mismatch" in text or "IP address mismatch" in text:
        return KubernetesSilent(
            f"The certificate of the cluster at {server} is made for another name.",
            hint="name it in the kubeconfig (tls-server-name), or use the address that the certificate has",
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return KubernetesSilent(
            f"The certificate of the cluster at {server} is of an authority that the kubeconfig does not name.",
            hint="get its certificate-authority-data anew; or somebody stands in between",
        )
    if "Name or service not known" in text or "nodename nor servname" in text or "No address" in text:
        return KubernetesSilent(f"Nobody knows the cluster's name in {server}.", hint="check the kubeconfig, and DNS")
    if "Connection refused" in text:
        return KubernetesSilent(
            f"At {server} nothing answers.", hint="is the cluster up, and is this its address? kubectl cluster-info"
        )
    return KubernetesSilent(
        f"The cluster at {server} could not be asked {what} ({type(error).__name__}).",
        hint=f"is it reached from here (VPN, firewall)? Then {AGAIN}",
    )
