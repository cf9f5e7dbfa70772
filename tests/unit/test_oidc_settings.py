"""What the environment says of a provider, and what its claims make of somebody."""

import pytest

from aweigh.errors import ConfigError
from aweigh.guard.identity import Role
from aweigh.guard.oidc import read_oidc
from aweigh.guard.oidc.roles import read_roles

LEAST = {"ISSUER": "https://id.example.org", "CLIENT_ID": "aweigh", "ROLES": "*=viewer"}


def read(public_url="", **said):
    named = {f"AWEIGH_OIDC_{name}": value for name, value in {**LEAST, **said}.items()}
    return read_oidc({**named, "AWEIGH_PUBLIC_URL": public_url})


def test_without_an_issuer_there_is_no_provider():
    assert read_oidc({"AWEIGH_PUBLIC_URL": "https://models.example.org"}) is None


def test_the_least_that_is_said_and_what_holds_then():
    found = read()
    assert (found.scopes, found.client_secret, found.public_url) == (("openid", "email", "profile"), None, None)
    assert (found.name, found.domains, found.roles.default) == ("id.example.org", frozenset(), Role.VIEWER)


def test_all_that_can_be_said():
    found = read(
        "https://models.example.org:8443/",
        CLIENT_SECRET="hush",
        SCOPES="openid email groups openid",
        DOMAINS="Example.org, example.com",
        NAME="Our sign-in",
    )
    assert found.public_url == "https://models.example.org:8443"
    assert found.scopes == ("openid", "email", "groups")
    assert found.domains == {"example.org", "example.com"}
    assert found.name == "Our sign-in"
    assert "hush" not in repr(found)
    assert found.client_secret.reveal() == "hush"


@pytest.mark.parametrize(
    "said",
    [
        {"ISSUER": "http://id.example.org"},
        {"ISSUER": "id.example.org"},
        {"ISSUER": "https://id.example.org?a=b"},
        {"ISSUER": "https://id.example.org#a"},
        {"ISSUER": "https://ana:secret@id.example.org"},
        {"ISSUER": "https://169.254.169.254"},
        {"ISSUER": ""},
        {"CLIENT_ID": ""},
        {"ROLES": ""},
        {"ROLES": "groups: data=boss"},
        {"ROLES": "data=viewer"},
        {"ROLES": "groups: data"},
        {"ROLES": "groups: =viewer"},
        {"ROLES": "groups: data=none"},
        {"ROLES": "*=viewer; *=admin"},
        {"ROLES": "{}"},
        {"ROLES": '{"groups": "viewer"}'},
        {"ROLES": '{"groups": {"data": "boss"}}'},
        {"ROLES": '{"groups": ['},
        {"ROLES": "https://example.org/roles: data=viewer, x"},
        {"SCOPES": "email profile"},
        {"SCOPES": 'openid "'},
        {"DOMAINS": "ana@example.org"},
        {"DOMAINS": "*.example.org"},
        {"CLIENT_SECRET": "a", "CLIENT_SECRET_FILE": "b"},
        {"CLIENT_SECRET_FILE": "nowhere/at/all"},
        {"AUDIENCE": "aweigh"},
        {"public_url": "http://models.example.org"},
        {"public_url": "https://models.example.org/app"},
        {"public_url": "models.example.org"},
    ],
    ids=str,
)
def test_what_cannot_be_is_told_with_what_to_do(said):
    with pytest.raises(ConfigError) as caught:
        read(**said)
    assert "AWEIGH_" in caught.value.message


def test_a_secret_is_read_from_a_file_that_only_its_owner_reads(tmp_path):
    path = tmp_path / "secret"
    path.write_text(" hush \n")
    path.chmod(0o600)
    assert read(CLIENT_SECRET_FILE=str(path)).client_secret.reveal() == "hush"
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="AWEIGH_OIDC_CLIENT_SECRET_FILE"):
        read(CLIENT_SECRET_FILE=str(path))


WORDS = "groups: data=predictor, ops=operator; email: boss@example.org=admin; realm_access.roles: look=viewer"
JSON = (
    '{"groups": {"data": "predictor", "ops": "Operator"}, "email": {"boss@example.org": "admin"},'
    ' "realm_access.roles": {"look": "viewer"}}'
)


@pytest.mark.parametrize("text", [WORDS, JSON])
@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["data"]}, Role.PREDICTOR),
        ({"groups": "data"}, Role.PREDICTOR),
        ({"groups": ["data", "ops", "x"]}, Role.OPERATOR),
        ({"groups": ["Data"]}, None),
        ({"groups": ["data,ops"]}, None),
        ({"groups": {"data": True}}, None),
        ({"groups": [["data"]]}, None),
        ({"groups": None}, None),
        ({}, None),
        ({"email": "Boss@Example.org", "email_verified": True}, Role.ADMIN),
        ({"email": "boss@example.org", "email_verified": False}, None),
        ({"email": "boss@example.org"}, None),
        ({"realm_access": {"roles": ["look"]}}, Role.VIEWER),
        ({"realm_access": ["look"]}, None),
        ({"realm_access.roles": ["look"]}, Role.VIEWER),
    ],
)
def test_claims_give_the_highest_role_that_fits(text, claims, role):
    assert read_roles(text).role_of(claims) == role


def test_everybody_else_has_the_role_of_the_star_and_none_is_none():
    assert read_roles("groups: data=admin; *=viewer").role_of({"groups": ["x"]}) is Role.VIEWER
    assert read_roles("groups: data=admin, *=viewer").role_of({}) is Role.VIEWER
    assert read_roles("groups: data=admin; *=none").role_of({}) is None
    assert read_roles('{"groups": {"cn=data,ou=x": "admin"}, "*": "viewer"}').role_of({}) is Role.VIEWER


def test_values_may_have_signs_in_them():
    assert read_roles("groups: urn:x:y=admin").role_of({"groups": ["urn:x:y"]}) is Role.ADMIN
    assert read_roles("groups: a=b=viewer").role_of({"groups": ["a=b"]}) is Role.VIEWER
    assert read_roles('{"groups": {"cn=data,ou=x": "admin"}}').role_of({"groups": ["cn=data,ou=x"]}) is Role.ADMIN
    assert read_roles("https://example.org/roles: a=viewer").role_of({"https://example.org/roles": "a"}) is Role.VIEWER
    assert read_roles("is_staff: true=admin").role_of({"is_staff": True}) is Role.ADMIN
    assert read_roles("level: 3=admin").role_of({"level": 3}) is Role.ADMIN
