"""The three forms are one: helm and kustomize make of theirs what the plain YAML is, whatever texts are in it."""

import base64
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import find_tool, require_tool
from tests.kube_plans import ALONE, ENTRIES, EVIL, RELEASE, SCALINGS, STORES, held, plan
from tests.partly import slow_but_for

from aweigh.errors import UsageError
from aweigh.targets.kubernetes.documents import FORMS, README, render
from aweigh.targets.kubernetes.helm import schema_of, values_of
from aweigh.targets.kubernetes.objects import objects_of
from aweigh.targets.kubernetes.plain import plain_of

EVERYTHING = {
    "entry": ENTRIES["ingress with tls"], "scaling": SCALINGS["queue"], "stores": STORES["inside"],
    "metrics_namespace": "monitoring", "pull_secret": "registry", "settings": {"AWEIGH_SWEEPS": "off"},
}  # fmt: skip


def run(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, **more)


def written(chosen, form, folder):
    for name, content in render(chosen, form).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def by_name(objects):
    return {(one["kind"], one["metadata"]["name"]): one for one in objects if one is not None}


def charted(folder, *more, namespace="models"):
    """What helm makes of a chart."""
    made = run(find_tool("helm"), "template", "penguins", str(folder), "--namespace", namespace, *more)
    assert made.returncode == 0, made.stderr
    return by_name(yaml.safe_load_all(made.stdout))


def wanted(chosen):
    return by_name(json.loads(json.dumps(objects_of(chosen))))


def kserve(chosen):
    return msgspec.structs.replace(chosen, serving="kserve", bundle="3f9c0a77b1d2")


WORST = slow_but_for(
    EVIL,
    *("$(touch x)", "$$", "'\"", "a: b", "\\n", "~", "0x1f", "!!python/object:os.system", "---", "é🐧"),
    *("{{ .Values.image }}", '{{- fail "x" -}}', "{{/*", "`{{`", ""),
)
PLANS = {
    "plain": lambda: plan(),
    "alone": lambda: plan(ALONE),
    "several alone": lambda: plan(ALONE, replicas=3),
    "scaled alone": lambda: plan(ALONE, scaling=SCALINGS["cpu"]),
    "everything": lambda: plan(**EVERYTHING),
    "with a bundle": lambda: msgspec.structs.replace(plan(**EVERYTHING), bundle="3f9c0a77b1d2", secrets_version="7"),
    "keda": lambda: plan(scaling=SCALINGS["keda"], entry=ENTRIES["ingress"]),
    "gateway": lambda: plan(entry=ENTRIES["gateway"]),
    "gateway here": lambda: plan(entry=ENTRIES["gateway here"], counts={"web": 2, "worker": 3}),
    "api alone": lambda: plan(replace(ALONE, has_ui=False), entry=ENTRIES["ingress"]),
    "not ours": lambda: plan(replace(ALONE, processes={"web": "streamlit run app.py", "clock": "a $PORT 'b'"})),
    "kserve": lambda: kserve(plan(scaling=SCALINGS["cpu"], entry=ENTRIES["ingress"])),
    "kserve alone": lambda: kserve(plan(ALONE)),
    "hosts of the owner's": lambda: plan(settings={"AWEIGH_HOSTS": "*", "AWEIGH_DRAIN_S": "40"}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_plain_yaml_is_one_file_for_each_object_in_their_order(name):
    chosen = PLANS[name]()
    files = plain_of(chosen)
    assert list(files) == sorted(files)
    read = [yaml.safe_load(files[one]) for one in files]
    assert read == json.loads(json.dumps(objects_of(chosen)))
    assert plain_of(PLANS[name]()) == files


@pytest.mark.needs("helm")
@pytest.mark.parametrize("name", PLANS)
def test_helm_makes_the_plain_yaml_of_the_charts_own_values(name, tmp_path):
    chosen = PLANS[name]()
    assert charted(written(chosen, "helm", tmp_path)) == wanted(chosen)


@pytest.mark.needs("helm")
@pytest.mark.parametrize("name", ["plain", "everything", "kserve", "not ours"])
def test_helm_finds_nothing_amiss_in_the_chart(name, tmp_path):
    made = run(find_tool("helm"), "lint", "--strict", str(written(PLANS[name](), "helm", tmp_path)))
    assert made.returncode == 0, made.stdout + made.stderr
    assert "[WARNING]" not in made.stdout


@pytest.mark.needs("helm", "kubernetes-validate")
@pytest.mark.parametrize("scaling", slow_but_for(SCALINGS, "fixed", "keda"))
@pytest.mark.parametrize("entry", slow_but_for(ENTRIES, "none", "ingress with tls", "gateway"))
def test_other_values_of_a_chart_are_the_plan_that_was_wished_so(entry, scaling, tmp_path):
    """From the chart of a plain plan, by its values alone, what the plan with that entry and scaling is."""
    chosen = plan(entry=ENTRIES[entry], scaling=SCALINGS[scaling], metrics_namespace="monitoring")
    asked = {key: one for key, one in values_of(chosen).items() if key != "release"}
    (tmp_path / "values.json").write_text(json.dumps(asked))
    found = charted(written(plan(), "helm", tmp_path / "chart"), "--values", str(tmp_path / "values.json"))
    for one in found.values():
        held(one)
    assert without_release(found) == without_release(wanted(chosen))
    jobs = [name for kind, name in found if kind == "Job"]
    assert jobs != [name for kind, name in wanted(plan()) if kind == "Job"]


def without_release(objects):
    """The same, whatever the digest of the release."""
    text = json.dumps([objects[key] for key in sorted(objects)])
    found = json.loads(text)
    for one in found:
        if one["kind"] == "Job":
            one["metadata"]["name"] = "job"
        template = one.get("spec", {}).get("template", {})
        for notes in (one["metadata"].get("annotations", {}), template.get("metadata", {}).get("annotations", {})):
            notes.pop("aweigh.io/release", None)
    return sorted(found, key=json.dumps)


@pytest.mark.needs("helm")
def test_another_image_or_namespace_is_another_release_and_more_replicas_are_none(tmp_path):
    chosen = plan()
    folder = written(chosen, "helm", tmp_path)

    def job(*more, **where):
        return next(name for kind, name in charted(folder, *more, **where) if kind == "Job")

    first = job()
    assert job("--set", "replicas.web=3") == first
    assert job("--set", f"image.digest=sha256:{'cd' * 32}") != first
    assert job(namespace="other") != first
    other = charted(folder, namespace="other")
    assert {one["metadata"]["namespace"] for one in other.values()} == {"other"}


@pytest.mark.needs("helm")
@pytest.mark.parametrize(
    "said", ["replica.web=2", "scaling.by=lots", "image.digest=latest", "entry.way=door", "config.A.B=1"]
)
def test_a_value_that_cannot_be_is_refused_by_the_charts_schema(said, tmp_path):
    folder = written(plan(), "helm", tmp_path)
    made = run(find_tool("helm"), "template", "penguins", str(folder), "--namespace", "models", "--set", said)
    assert made.returncode != 0
    assert "values don't meet the specifications" in made.stderr


def test_the_schema_of_the_values_holds_for_them():
    import jsonschema

    for make in PLANS.values():
        values = values_of(make())
        jsonschema.Draft7Validator(schema_of(values)).validate(values)


# -- kustomize -------------------------------------------------------------------------------------------------------


@pytest.mark.needs("kubectl")
@pytest.mark.parametrize("name", slow_but_for(PLANS, "plain", "everything", "not ours"))
def test_kustomize_makes_the_plain_yaml_of_the_base(name, tmp_path):
    chosen = PLANS[name]()
    made = run(find_tool("kubectl"), "kustomize", str(written(chosen, "kustomize", tmp_path) / "base"))
    assert made.returncode == 0, made.stderr
    assert by_name(yaml.safe_load_all(made.stdout)) == wanted(chosen)


@pytest.mark.needs("kubectl", "kubernetes-validate")
@pytest.mark.parametrize("name", ["plain", "everything", "kserve alone"])
def test_kustomize_makes_of_the_overlay_what_it_says_and_leaves_the_rest(name, tmp_path):
    chosen = PLANS[name]()
    folder = written(chosen, "kustomize", tmp_path)
    made = run(find_tool("kubectl"), "kustomize", str(folder / "overlays" / "example"))
    assert made.returncode == 0, made.stderr
    found = by_name(yaml.safe_load_all(made.stdout))
    for one in found.values():
        held(one)
        assert one["metadata"]["labels"]["example.org/team"] == "models"
    assert found["ConfigMap", "penguins-config"]["data"]["AWEIGH_SWEEPS"] == "on"
    assert found.keys() - {("ConfigMap", "penguins-config")} == wanted(chosen).keys() - {
        ("ConfigMap", "penguins-config")
    }
    if name == "plain":
        was, now = wanted(chosen)["Deployment", "penguins-web"], found["Deployment", "penguins-web"]
        assert now["spec"] == was["spec"]


# -- texts -----------------------------------------------------------------------------------------------------------


def texts(evil):
    """A plan with a text in every place that takes one."""
    release = replace(RELEASE, description=f"{evil}\n---\n{evil}", processes={**RELEASE.processes, "clock": "echo x"})
    chosen = plan(release, settings={"AWEIGH_NOTE": evil, "AWEIGH_SWEEPS": "off"})
    words = {**chosen.processes, "clock": ("echo", evil)}
    return msgspec.structs.replace(chosen, processes=words, config=chosen.config | {"AWEIGH_FORM": evil})


def shape(objects):
    """Which objects there are, and which of their fields, without the texts."""

    def of(one):
        if isinstance(one, dict):
            return {key: of(each) for key, each in one.items()}
        return [of(each) for each in one] if isinstance(one, list) else type(one).__name__

    return sorted(json.dumps(of(one)) for one in objects)


@pytest.mark.parametrize("evil", WORST)
def test_a_text_comes_out_of_plain_yaml_as_it_went_in(evil):
    chosen = texts(evil)
    read = [yaml.safe_load(one) for one in plain_of(chosen).values()]
    assert read == json.loads(json.dumps(objects_of(chosen)))
    assert shape(read) == shape(yaml.safe_load(one) for one in plain_of(texts("x")).values())


@pytest.mark.needs("helm")
@pytest.mark.parametrize("evil", WORST)
def test_no_text_is_a_template_to_helm(evil, tmp_path):
    chosen = texts(evil)
    found = charted(written(chosen, "helm", tmp_path))
    assert found == wanted(chosen)
    assert found["ConfigMap", "penguins-config"]["data"]["AWEIGH_NOTE"] == evil
    described = found["Deployment", "penguins-web"]["metadata"]["annotations"]["aweigh.io/description"]
    assert described == f"{evil}\n---\n{evil}"


@pytest.mark.needs("kubectl")
@pytest.mark.parametrize("evil", ["$(touch x)", "{{ .Values.image }}", "---", "!!python/object:os.system", "é🐧", "$$"])
def test_no_text_is_more_than_a_text_to_kustomize(evil, tmp_path):
    chosen = texts(evil)
    made = run(find_tool("kubectl"), "kustomize", str(written(chosen, "kustomize", tmp_path) / "base"))
    assert by_name(yaml.safe_load_all(made.stdout)) == wanted(chosen)


ODD = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40) | st.lists(
    st.sampled_from(["{{", "}}", "{", "}", "-", "`", '"', "'", "\\", "$(", ")", "\n", ":", " ", "#", "<", "\u2028"]),
    max_size=12,
).map("".join)  # fmt: skip


@given(ODD, ODD)
def test_any_text_is_read_by_yaml_as_it_was_written_and_has_no_delimiter(description, note):
    try:
        chosen = plan(replace(RELEASE, description=description), settings={"AWEIGH_NOTE": note})
    except UsageError:
        assert not note.isprintable()
        return
    read = [yaml.safe_load(one) for one in plain_of(chosen).values()]
    assert read == json.loads(json.dumps(objects_of(chosen)))
    templates = render(chosen, "helm")
    plain_templates = render(plan(settings={"AWEIGH_NOTE": "x"}), "helm")
    for name, content in templates.items():
        if name.startswith("templates/"):
            assert content.count(b"{{") == plain_templates[name].count(b"{{")
    values = yaml.safe_load(templates["values.yaml"])
    assert values["settings"] == {"AWEIGH_NOTE": note}


@pytest.mark.needs("helm")
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ODD, ODD)
def test_helm_reads_any_text_as_it_was_written(tmp_path, description, note):
    try:
        chosen = plan(replace(RELEASE, description=description), settings={"AWEIGH_NOTE": note})
    except UsageError:
        return
    folder = written(chosen, "helm", tmp_path / "chart")
    try:
        assert charted(folder) == wanted(chosen)
    finally:
        shutil.rmtree(folder)


def test_no_template_of_a_chart_holds_a_text_of_the_owners_but_with_its_braces_written_out():
    templates = {
        name: one for name, one in render(texts("{{ fail }}"), "helm").items() if name.startswith("templates/")
    }
    assert not [name for name, one in templates.items() if b"{{ fail }}" in one]
    assert any(b"\\x7b\\x7b fail" in one for one in templates.values())


@pytest.mark.parametrize("form", FORMS)
def test_no_secret_is_in_any_document_and_the_readme_says_how_it_is_made(form):
    documents = render(plan(stores=STORES["inside"]), form)
    assert not [one for one in documents.values() if b"kind: Secret\n" in one]
    told = documents[README].decode()
    assert "kubectl create secret generic penguins-secrets --namespace models" in told
    assert "AWEIGH_DEPLOY_SECRET" in told
    assert "DATABASE_URL" not in told
    assert """printf '%s=%s\\n' DATABASE_URL "$DATABASE_URL\"""" in render(plan(), form)[README].decode()
    assert Path(README).suffix == ".md"


def test_the_command_of_the_readme_makes_the_secret_and_has_no_secret_on_a_command_line(tmp_path):
    kubectl = require_tool("kubectl")
    told = render(plan(), "yaml")[README].decode()
    script = re.search(r"```sh\n(\{\n.*?)```", told, re.DOTALL)[1]
    assert "from-literal" not in script
    asked = script.rstrip() + " --dry-run=client -o json"
    address = 'postgresql://a:b$c"d@db/x?y=1'
    done = subprocess.run(
        ["sh", "-c", asked], capture_output=True, text=True, check=True,
        env={"PATH": f"{Path(kubectl).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "DATABASE_URL": address},
    )  # fmt: skip
    data = {key: base64.b64decode(one).decode() for key, one in json.loads(done.stdout)["data"].items()}
    assert data["DATABASE_URL"] == address
    assert len(data["AWEIGH_DEPLOY_SECRET"]) == 64
