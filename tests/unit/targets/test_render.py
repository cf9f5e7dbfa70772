"""Heroku's documents: what the platform reads, and nothing that a shell or a reader takes for more."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.errors import UsageError
from aweigh.targets.heroku.button import check_repository, readme
from aweigh.targets.heroku.dynos import DYNOS
from aweigh.targets.heroku.render import Shape, addons_of, described, render, source_of
from aweigh.targets.procfile import read_procfile
from aweigh.targets.release import Release

SCHEMA = json.loads(Path(__file__).with_name("app.json.schema.json").read_text())

RELEASE = Release(
    name="my-model",
    python="3.12",
    processes={
        "web": "aweigh serve penguins.aweigh --host 0.0.0.0 --auth password --workers auto",
        "worker": "aweigh worker penguins.aweigh",
        "release": "aweigh migrate",
    },
    files={"penguins.aweigh": b"bundle", "wheels/aweigh.whl": b"wheel"},
    requirements="click==8.1 --hash=sha256:00\n",
    config={"AWEIGH_PROXIES": "1", "AWEIGH_JOBS": "worker"},
    secrets=("AWEIGH_CACHE_SECRET",),
    stores=("postgresql", "redis"),
    bundle="penguins.aweigh",
)


SAID = replace(RELEASE, description="Says which penguin.")


def valid(document):
    """Hold a document against the published schema, which knows neither all sizes nor all stacks."""
    schema = json.loads(json.dumps(SCHEMA))
    schema["definitions"]["dynoSize"]["enum"] = sorted({*schema["definitions"]["dynoSize"]["enum"], *DYNOS})
    jsonschema.Draft7Validator(schema).validate(document)
    return document


def test_the_documents_and_nothing_else():
    files = render(RELEASE)
    assert set(files) == {"Procfile", ".python-version", "requirements.txt", "app.json"}
    assert files["Procfile"].decode() == (
        "web: aweigh serve penguins.aweigh --host 0.0.0.0 --auth password --workers auto\n"
        "worker: aweigh worker penguins.aweigh\n"
        "release: aweigh migrate\n"
    )
    assert files[".python-version"] == b"3.12\n"
    assert files["requirements.txt"] == RELEASE.requirements.encode()
    assert files == render(RELEASE)
    assert set(source_of(RELEASE, files)) == {*files, *RELEASE.files}


@pytest.mark.shows("heroku", "render", how="schema")
def test_app_json_is_what_the_schema_takes():
    document = valid(json.loads(render(SAID, Shape(size="standard-2x", replicas=2))["app.json"]))
    assert document["formation"] == {
        "web": {"quantity": 2, "size": "standard-2x"},
        "worker": {"quantity": 1, "size": "standard-2x"},
    }
    assert document["addons"] == ["heroku-postgresql:essential-0", "heroku-redis:mini"] == list(addons_of(RELEASE))
    assert document["env"]["AWEIGH_CACHE_SECRET"]["generator"] == "secret"
    assert document["env"]["AWEIGH_PROXIES"]["value"] == "1"
    assert document["env"]["AWEIGH_HOSTS"] == {
        "description": "The names by which the app is asked, with commas.",
        "required": False,
    }
    assert document["buildpacks"] == [{"url": "heroku/python"}]
    assert document["description"] == "Says which penguin."
    assert "WEB_CONCURRENCY" not in document["env"]


def test_a_review_app_is_the_smallest_of_everything_and_has_secrets_of_its_own():
    shape = Shape(size="performance-m", replicas=3, addons=("heroku-postgresql:standard-0", "heroku-redis:premium-0"))
    document = valid(json.loads(render(RELEASE, shape)["app.json"]))
    assert document["addons"] == ["heroku-postgresql:standard-0", "heroku-redis:premium-0"]
    review = document["environments"]["review"]
    assert review["formation"] == {"web": {"quantity": 1, "size": "basic"}, "worker": {"quantity": 1, "size": "basic"}}
    assert review["addons"] == ["heroku-postgresql:essential-0", "heroku-redis:mini"]
    # Whole, as Heroku does not say whether it is added to what stands above or takes its place.
    assert review["env"] == document["env"]
    assert {name for name, one in review["env"].items() if one.get("generator") == "secret"} == {
        *("AWEIGH_CACHE_SECRET", "AWEIGH_DEPLOY_SECRET"),
    }
    fir = json.loads(render(RELEASE, Shape(review_size="dyno-1c-0.5gb"))["app.json"])
    assert fir["environments"]["review"]["formation"]["web"]["size"] == "dyno-1c-0.5gb"


def test_what_its_check_asks_with_is_made_up_where_there_is_a_bundle_alone():
    assert "AWEIGH_DEPLOY_SECRET" in json.loads(render(RELEASE)["app.json"])["env"]
    assert "AWEIGH_DEPLOY_SECRET" not in json.loads(render(replace(RELEASE, bundle=None))["app.json"])["env"]


@pytest.mark.parametrize(
    "plan", ["", "heroku postgres", "heroku-redis:", ":mini", "a:b:c", "a\nb", "$(id)", "ä", "../x"]
)
def test_no_other_add_on_reaches_app_json(plan):
    with pytest.raises(UsageError, match="is no add-on"):
        render(RELEASE, Shape(addons=(plan,)))


# -- the button


def test_a_readme_has_the_button_what_it_makes_and_how_to_come_in():
    text = readme(replace(SAID, name="my-model"), check_repository("https://github.com/me/my-model.git"))
    template = "https://www.heroku.com/deploy?template=https://github.com/me/my-model"
    assert f"[![Deploy](https://www.herokucdn.com/deploy/button.svg)]({template})" in text
    assert "Says which penguin." in text
    assert "its dynos, heroku-postgresql:essential-0, heroku-redis:mini" in text
    assert "first administrator" in text
    assert "OWNER" not in text


def test_a_readme_without_an_address_says_what_to_put_there():
    text = readme(replace(RELEASE, processes={"web": "aweigh serve m.aweigh --host 0.0.0.0 --auth oidc"}), None)
    assert "template=https://github.com/OWNER/REPOSITORY" in text
    assert "It asks for `AWEIGH_OIDC_ISSUER`" in text
    assert "first administrator" not in text


@given(st.text(max_size=200))
def test_what_somebody_wrote_of_a_model_is_no_markup(text):
    line = readme(replace(RELEASE, description=text), None).splitlines()[2]
    assert not set(line) & set("[]`<>*#!\\") or line.startswith("[![Deploy]")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://github.com/me/m", "https://github.com/me/m"),
        ("https://github.com/me/m/", "https://github.com/me/m"),
        ("https://github.com/me/m.git", "https://github.com/me/m"),
        ("https://github.com/me/m/tree/a/b-1", "https://github.com/me/m/tree/a/b-1"),
    ],
)
def test_the_repository_is_one_that_a_button_reads(address, found):
    assert check_repository(address) == found


@pytest.mark.parametrize(
    "address",
    ["", "me/m", "http://github.com/me/m", "https://gitlab.com/me/m", "https://github.com/me", "https://github.com/me/..",
     "https://github.com/me/m)](https://x.y", "https://github.com/me/m?x=1", "https://github.com/me/m\nx",
     "https://github.com/me/m/tree/../x", "https://u:p@github.com/me/m"],
)  # fmt: skip
def test_another_address_is_refused(address):
    with pytest.raises(UsageError, match="no repository that a button can read"):
        check_repository(address)


@pytest.mark.parametrize("size", list(DYNOS))
def test_every_size(size):
    document = valid(json.loads(render(RELEASE, Shape(size=size))["app.json"]))
    assert document["formation"]["web"] == {"quantity": 1, "size": size}


def test_without_a_door_there_is_no_add_on():
    document = valid(json.loads(render(replace(RELEASE, stores=(), secrets=(), config={}))["app.json"]))
    assert "addons" not in document


def test_what_only_the_owner_knows_is_asked_for():
    web = {"web": "aweigh serve m.aweigh --host 0.0.0.0 --auth oidc"}
    document = valid(json.loads(render(replace(RELEASE, processes=web))["app.json"]))
    required = {name for name, one in document["env"].items() if one.get("required")}
    assert required == {"AWEIGH_OIDC_ISSUER", "AWEIGH_OIDC_CLIENT_ID", "AWEIGH_OIDC_CLIENT_SECRET"}


def test_what_the_owner_wrote_is_not_written_again():
    own = replace(
        RELEASE,
        own=frozenset({"Procfile", "requirements.txt", "runtime.txt"}),
        processes={"web": "sh setup.sh && streamlit run app.py --server.port $PORT", "worker_2": "python x.py; echo"},
    )
    files = render(own)
    assert set(files) == {"app.json"}
    assert set(valid(json.loads(files["app.json"]))["formation"]) == {"web"}
    assert render(replace(own, own=own.own | {"app.json"})) == {}
    assert set(render(replace(RELEASE, requirements=None, own=frozenset({"poetry.lock"})))) == {
        *("Procfile", ".python-version", "app.json")
    }


EVIL = [
    "$(id)",
    "`id`",
    "a;b",
    "a\nweb: x",
    'a"b',
    "a'b",
    "a|b",
    "a&b",
    "a>b",
    "\x00",
    "a\rb",
    "${X}",
    "*\u202e",
    "ä",
    "\\",
]


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_of_a_shell_s_own_reaches_a_command_line(evil):
    with pytest.raises(UsageError):
        render(replace(RELEASE, processes={"web": f"aweigh serve {evil}.aweigh"}))
    with pytest.raises(UsageError):
        render(replace(RELEASE, processes={"web": "aweigh serve", evil: "aweigh worker"}))


@pytest.mark.parametrize("evil", [*EVIL, "", "x", "-a-", "Ab-c", "a" * 31, "a_b", "a.b"])
def test_no_other_name_reaches_app_json(evil):
    with pytest.raises(UsageError, match="No app on Heroku"):
        render(replace(RELEASE, name=evil))


@pytest.mark.parametrize("evil", [one for one in EVIL if one != "*\u202e"] + ["x" * 1001])
def test_no_other_setting_reaches_app_json(evil):
    for change in ({"config": {"A": evil}}, {"config": {evil: "1"}}, {"secrets": (evil,)}):
        with pytest.raises(UsageError):
            render(replace(RELEASE, **change))


@pytest.mark.parametrize("python", ["", "3", "python-3.12", "3.12\nx", "3.12.1.1", "latest", "3.١٢"])
def test_no_other_python(python):
    with pytest.raises(UsageError, match="no version of Python"):
        render(replace(RELEASE, python=python))


@pytest.mark.parametrize(("size", "replicas"), [("huge", 1), ("", 1), ("basic", 2), ("eco", 2), ("standard-1x", -1)])
def test_sizes_and_numbers_that_cannot_be(size, replicas):
    with pytest.raises(UsageError):
        render(RELEASE, Shape(size=size, replicas=replicas))


@given(st.text(max_size=400))
def test_a_description_is_one_line_of_plain_words(text):
    found = described(text)
    assert len(found) <= 200
    assert not set(found) & set("\n\r\t\0\x1b`$;'\"\\<>{}[]|&*#!~^=?@\u2028\u202e")
    document = valid(json.loads(render(replace(RELEASE, description=text))["app.json"]))
    assert document["description"]


@given(st.text(max_size=80))
def test_a_procfile_is_read_back_as_it_was_meant_or_is_refused(text):
    try:
        content = render(replace(RELEASE, processes={"web": text}))["Procfile"].decode()
    except UsageError:
        return
    assert read_procfile(content).processes == {"web": text.strip()}
