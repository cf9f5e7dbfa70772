"""Documents of an app as a deployment writes them, in small."""

import copy

APP, NAMESPACE = "penguins", "models"
PORT = {"name": "http", "containerPort": 8080, "protocol": "TCP"}


def labels(component=""):
    found = {"app.kubernetes.io/name": "penguins", "app.kubernetes.io/instance": APP}
    found |= {"app.kubernetes.io/managed-by": "aweigh"}
    return found | ({"app.kubernetes.io/component": component} if component else {})


def pods(image, release, component, bundle):
    return {
        "metadata": {
            "labels": labels(component),
            "annotations": {"aweigh.io/release": release, "aweigh.io/bundle": bundle},
        },
        "spec": {
            "containers": [{
                "name": component, "image": image,
                "envFrom": [{"secretRef": {"name": f"{APP}-secrets", "optional": True}}],
                "env": [{"name": "PORT", "value": "8080"}],
                **({"ports": [PORT]} if component == "web" else {}),
            }],
        },
    }  # fmt: skip


def deployment(image, release, *, component="web", replicas=1, bundle="b1"):
    selector = {"app.kubernetes.io/instance": APP, "app.kubernetes.io/component": component}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": f"{APP}-{component}", "namespace": NAMESPACE, "labels": labels(component)},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": selector},
            "template": pods(image, release, component, bundle),
        },
    }  # fmt: skip


def service():
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": APP, "namespace": NAMESPACE, "labels": labels("web")},
        "spec": {
            "selector": {"app.kubernetes.io/instance": APP, "app.kubernetes.io/component": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }  # fmt: skip


def settings(text="1"):
    return {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": f"{APP}-release", "namespace": NAMESPACE, "labels": labels()},
        "data": {"AWEIGH_PROXIES": text},
    }  # fmt: skip


def migration(image, release):
    template = pods(image, release, "migrate", "b1")
    template["spec"] = {**copy.deepcopy(template["spec"]), "restartPolicy": "Never"}
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": f"{APP}-migrate-{release}", "namespace": NAMESPACE, "labels": labels("migrate")},
        "spec": {"backoffLimit": 4, "template": template},
    }  # fmt: skip


def objects(image="registry.example/penguins:1", release="r1", **more):
    """All of a release, in their order; each call makes them anew."""
    return [settings(), migration(image, release), service(), deployment(image, release, **more)]


def kubeconfig(server, namespace=NAMESPACE):
    """A kubeconfig that leads to the stand-in."""
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "local",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "ada", "user": {"token": "t"}}],
        "contexts": [{"name": "local", "context": {"cluster": "c", "user": "ada", "namespace": namespace}}],
    }  # fmt: skip
