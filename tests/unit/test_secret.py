"""Secrets show nothing of themselves, are read from the environment or from private files, and leave with no bundle."""

import copy
import dataclasses
import json
import logging
import os
import pickle
import random
import string
import traceback
from concurrent.futures import ProcessPoolExecutor

import msgspec
import pytest

from aweigh.bundle.archive import list_archive
from aweigh.bundle.build import assemble
from aweigh.bundle.manifest import Manifest
from aweigh.bundle.secrets import refuse_secrets
from aweigh.errors import ConfigError, HoldsSecret
from aweigh.jobs.place import database_of
from aweigh.jobs.store import open_store
from aweigh.secret import REDACTED, Secret
from aweigh.secret.read import read_secret
from aweigh.secret.scan import find_secrets, own_secrets
from aweigh.server.settings import Settings, read_settings

HUSH = "pearl-of-7-seas"


# -- the type --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        format,
        "{:>40}".format,
        "%s".__mod__,
        "%r".__mod__,
        lambda one: f"{one} {one!r} {one!s} {one:x}",
        lambda one: repr([one]) + repr({"a": one}) + repr((one, {one})),
        lambda one: repr(Settings(metrics_token=one, cache_secret=one, redis_url=one)),
        lambda one: repr(dataclasses.asdict(Settings(metrics_token=one))),
        lambda one: repr(copy.deepcopy({"a": copy.copy(one)})),
        lambda one: json.dumps({"a": one}, default=str),
        lambda one: msgspec.json.encode({"a": one}, enc_hook=str).decode(),
    ],
    ids=range(13),
)
def test_however_a_secret_is_shown_it_is_redacted(shown):
    text = shown(Secret(HUSH))
    assert HUSH not in text
    assert REDACTED in text


def test_a_secret_in_a_log_is_redacted(caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("t").debug("with %s and %r and %s", Secret(HUSH), Secret(HUSH), {"k": Secret(HUSH)})
    assert HUSH not in caplog.text
    assert caplog.text.count(REDACTED) == 3


def test_a_traceback_with_locals_shows_none():
    def fails(held):
        kept = [held]
        raise ValueError(kept)

    try:
        fails(Secret(HUSH))
    except ValueError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "held = Secret(redacted)" in told
    assert HUSH not in told


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol):
    with pytest.raises(TypeError, match="not written down"):
        pickle.dumps({"a": Secret(HUSH)}, protocol)
    with pytest.raises(TypeError, match="not written down"):
        Secret(HUSH).__getstate__()


def test_a_secret_does_not_travel_to_another_process():
    with ProcessPoolExecutor(1) as pool, pytest.raises(TypeError, match="not written down"):
        pool.submit(str, Secret(HUSH)).result()


WRITERS = [json.dumps, msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins]


@pytest.mark.parametrize("write", WRITERS, ids=range(len(WRITERS)))
def test_json_refuses_a_secret(write):
    with pytest.raises(TypeError) as caught:
        write({"a": Secret(HUSH)})
    assert HUSH not in str(caught.value)


def test_a_secret_is_compared_and_does_not_change():
    one = Secret(HUSH)
    assert one == Secret(HUSH) != Secret("other")
    assert one != HUSH
    assert len({one, Secret(HUSH)}) == 1
    assert (bool(Secret("")), bool(one), one.reveal()) == (False, True, HUSH)
    for change in (lambda: setattr(one, "_value", "x"), lambda: delattr(one, "_value"), lambda: setattr(one, "x", 1)):
        with pytest.raises(AttributeError):
            change()
    assert not hasattr(one, "__dict__")


# -- where secrets come from -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "field"),
    [("AWEIGH_METRICS_TOKEN", "metrics_token"), ("AWEIGH_CACHE_SECRET", "cache_secret"), ("REDIS_URL", "redis_url")],
)
def test_each_secret_of_the_server_may_be_in_a_private_file(tmp_path, variable, field):
    value = f"redis://:{HUSH}@127.0.0.1:1/0"
    path = tmp_path / "secret"
    path.write_text(value + "\n")
    path.chmod(0o600)
    found = read_settings({f"{variable}_FILE": str(path)})
    assert getattr(found, field) == Secret(value)
    assert HUSH not in repr(found)


def test_the_database_may_be_named_in_a_private_file_and_its_password_is_nowhere(tmp_path):
    path = tmp_path / "url"
    path.write_text(f"postgres://u:{HUSH}@127.0.0.1:1/x\n")
    path.chmod(0o400)
    environ = {"DATABASE_URL_FILE": str(path)}
    assert database_of(environ).reveal() == path.read_text().strip()
    store = open_store(environ, state_dir=str(tmp_path))
    assert store.news_url is not None
    assert HUSH not in repr(store) + repr(vars(store.records)) + repr(vars(store.files))
    store.close()


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o606, 0o444])
def test_a_file_that_others_reach_is_refused_with_a_hint(tmp_path, mode):
    path = tmp_path / "secret"
    path.write_text(HUSH)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="AWEIGH_METRICS_TOKEN_FILE") as caught:
        read_settings({"AWEIGH_METRICS_TOKEN_FILE": str(path)})
    assert "chmod 600" in caught.value.hint
    assert HUSH not in str(caught.value)


def test_what_is_no_secret_s_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    made = {"empty": b" \n", "large": b"x" * 70_000, "binary": HUSH.encode("utf-16")}
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    for name in ("pipe", "none", ".", *made):
        with pytest.raises(ConfigError) as caught:
            read_secret({"A_FILE": str(tmp_path / name)}, "A")
        assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)
        assert str(tmp_path) not in str(caught.value)


def test_a_secret_that_is_said_twice_is_refused():
    with pytest.raises(ConfigError, match="both set"):
        read_secret({"A": HUSH, "A_FILE": "x"}, "A")
    assert read_secret({"A": "", "A_FILE": " "}, "A") is None


# -- the scan --------------------------------------------------------------------------------------------------------

_random = random.Random(20261122)
ALNUM, HEX = string.ascii_letters + string.digits, "0123456789abcdef"


def some(count, of=ALNUM):
    """Return so many random characters, no two of the first alike: no placeholder."""
    return "".join(_random.choice(of) for _ in range(count))


UPPER = string.ascii_uppercase + string.digits
# Put together here, so that no scanner of repositories takes this file for a leak.
TOKENS = {
    "pem": "-----BEGIN " + "PRIVATE KEY-----",
    "pem rsa": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "pem openssh": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "pem encrypted": "-----BEGIN " + "ENCRYPTED PRIVATE KEY-----",
    "pgp": "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----",
    "putty": "PuTTY-User-" + "Key-File-3: ssh-ed25519",
    "age": "AGE-SECRET-" + "KEY-1" + some(58, UPPER),
    "aws": "AK" + "IA" + some(16, UPPER),
    "aws session": "AS" + "IA" + some(16, UPPER),
    "github": "gh" + "p_" + some(36),
    "github app": "gh" + "s_" + some(36),
    "github fine": "github" + "_pat_" + some(22) + "_" + some(59),
    "gitlab": "gl" + "pat-" + some(20),
    "slack bot": "xo" + "xb-" + some(12, string.digits) + "-" + some(24),
    "slack hook": "https://hooks." + "slack.com/services/T" + some(8, UPPER) + "/B" + some(8, UPPER) + "/" + some(24),
    "discord hook": "https://discord" + ".com/api/webhooks/" + some(18, string.digits) + "/" + some(60),
    "stripe": "sk_" + "live_" + some(24),
    "stripe restricted": "rk_" + "live_" + some(24),
    "api key": "sk-" + "proj-" + some(48),
    "api key of two words": "sk-" + "ab-api03-" + some(90),
    "google": "AI" + "za" + some(35),
    "google oauth": "GOC" + "SPX-" + some(28),
    "hugging face": "h" + "f_" + some(34),
    "pypi": "py" + "pi-AgEIcHlwaS5vcmc" + some(70),
    "npm": "np" + "m_" + some(36),
    "docker": "dckr" + "_pat_" + some(27),
    "heroku": "HR" + "KU-" + some(36),
    "digitalocean": "do" + "p_v1_" + some(64, HEX),
    "vault": "hv" + "s." + some(95),
    "fly": "fo" + "1_" + some(43),
    "databricks": "da" + "pi" + some(32, HEX),
    "terraform": some(14) + ".atlas" + "v1." + some(67),
    "planetscale": "pscale" + "_tkn_" + some(43),
    "doppler": "dp." + "pt." + some(43),
    "pulumi": "pu" + "l-" + some(40, HEX),
    "supabase": "sb" + "p_" + some(40, HEX),
    "netlify": "nf" + "p_" + some(36),
    "azure storage": "AccountName=a;Account" + "Key=" + some(86) + "==;EndpointSuffix=x",
    "azure sas": "https://a.blob.core.windows.net/c?sv=" + "2024-01-01&se=2027&si" + "g=" + some(43) + "%3D",
    "sendgrid": "S" + "G." + some(22) + "." + some(43),
    "mailgun": "ke" + "y-" + some(32, HEX),
    "mailchimp": some(32, HEX) + "-us" + "14",
    "brevo": "xkey" + "sib-" + some(64, HEX) + "-" + some(16),
    "telegram": some(10, "123456789") + ":A" + "A" + some(33),
    "discord bot": "M" + some(25) + "." + some(6) + "." + some(38),
    "twilio": "S" + "K" + some(32, HEX),
    "shopify": "shp" + "at_" + some(32, HEX),
    "grafana": "gl" + "sa_" + some(32) + "_" + some(8, HEX),
    "new relic": "NR" + "AK-" + some(27, UPPER),
    "postman": "PM" + "AK-" + some(24, HEX) + "-" + some(34, HEX),
    "linear": "lin" + "_api_" + some(40),
    "square": "sq0" + "atp-" + some(22),
    "atlassian": "ATA" + "TT3" + some(180),
    "jwt": "ey" + "J" + some(30) + ".ey" + "J" + some(60) + "." + some(43),
    "postgres": "postgresql://app:" + some(16) + "@db.internal:5432/x",
    "redis": "rediss://:" + some(20) + "@cache.internal:6380/0",
    "index": "https://deploy:" + some(18) + "@packages.internal/simple/x",
    "odd password": "amqp://me:" + "a1!" + some(9) + "@mq:5672",
    "toml": 'password = "' + some(14) + '"',
    "json": '{"api_key": "' + some(32, HEX) + '"}',
    "yaml": "client_secret: " + some(30),
    "env": "export DB_PASSWORD=" + some(15),
    "dotted": "spring.datasource.password=" + some(16),
    "python": "SECRET_KEY = '" + some(50) + "'",
    "typed python": 'token: str = "' + some(40, HEX) + '"',
    "index of a dict": 'config["auth_token"] = "' + some(40, HEX) + '"',
    "keyword": 'connect(user="me", passwd="' + some(16) + '")',
    "header": "Authorization: Bearer " + some(40),
    "basic": "Authorization: Basic " + some(27) + "=",
    "with a suffix": 'aws_secret_access_key_prod = "' + some(40) + '"',
}


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("around", ["{}", "see {} there", "line one\nline two\n  {}\nline four"])
def test_a_secret_is_found_on_its_line(name, around):
    found = find_secrets(around.format(TOKENS[name]), name="card.md")
    line = 1 + around.split("{}")[0].count("\n")
    assert {one.line for one in found} == {line}
    assert all(TOKENS[name][-8:] not in one.kind for one in found)


HARMLESS = [
    "numpy==2.4.6 --hash=sha256:" + some(64, HEX),
    "The model's digest is " + some(64, HEX) + ", its key id " + some(64, HEX) + ".",
    "commit 5f2c8e9b1d0a4f6e8c7b3a2d1e0f9c8b7a6d5e4f",
    "uuid 123e4567-e89b-42d3-a456-426614174000",
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
    "AKIAIOSFODNN7EXAMPLE",
    'password = "changeme"',
    'password = "your-password-here"',
    'api_key = "<your key>"',
    'token = "${API_TOKEN_2}"',
    'token = "{{ api_token_2 }}"',
    "token = os.environ['API_TOKEN_2']",
    "password = read_password(path_2)",
    "secret: Secret | None = None",
    "DATABASE_URL=postgres://user:password@host/name",
    "redis://localhost:6379/0",
    "https://example.org:8443/path@2x.png",
    "mailto:ana@example.org and https://example.org/@ana",
    "Authorization: Bearer $AWEIGH_METRICS_TOKEN",
    "The column `password_age_days` counts days since the password was changed 12 times.",
    "| token_count | integer | 1 to 4096 |",
    "tokens: 1234, secret santa: yes, passport: B",
    "- `api_key_rotations` (integer, days): 0 to 365 in the sample.",
    "key = 'customer_id_2'",
    "primary_key = order_line_id",
    'secret_name = "projects/demo/secrets/database"',
    'token_file = "/run/secrets/token_2"',
    "token = 'tok_test_xxxxxxxxxxxx'",
    "sk-learn and sk-image are scikits; risk-adjusted-return-on-capital-employed-in-percent",
    "The word shibboleth is a password of old.",
    'tokenizer = "bert-base-uncased"',
    'token_pattern = "word_or_two"',
    "max_tokens = 4096",
    "password: required",
    "author: Ana, pass: 12, bypass: valve-7",
    "lat 52.5200066 lon 13.4049540, iban DE89370400440532013000",
    "SKU SK1234567890, part AK47-2026-XZ",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4",
    '{"probabilities": {"token": 0.123456789, "secret": 0.876543211}}',
    "Adelie 0.981273645, Chinstrap 0.011827364",
    'PassengerId,Survived,Pclass,Name,Ticket\n1,0,3,"Braund, Mr. Owen Harris",A/5 21171',
]


@pytest.mark.parametrize("text", HARMLESS)
@pytest.mark.parametrize("name", ["card.md", "model/code/m.py"])
def test_what_only_looks_like_a_secret_is_none(text, name):
    assert find_secrets(text, name=name) == []


def test_an_expression_in_code_is_no_secret_and_text_in_quotes_is():
    assert find_secrets("token = fetch2token9(Xy7)", name="a.py") == []
    assert [one.line for one in find_secrets("x = 1\ntoken = 'q7Xy9PmL2zKw'", name="a.py")] == [2]


def test_the_owner_may_say_of_a_line_of_code_that_it_holds_none_but_not_of_a_key():
    line = "token = 'q7Xy9PmL2zKw'"
    assert find_secrets(f"{line}  # aweigh: no secret (a public test vector)", name="a.py") == []
    assert find_secrets(f"{line}  # aweigh: no secret ()", name="a.py")
    assert find_secrets(TOKENS["pem"] + "  # aweigh: no secret (but it is)", name="a.py")
    own = {"q7Xy9PmL2zKw": "MY_TOKEN"}
    assert find_secrets("x = 'q7Xy9PmL2zKw'  # aweigh: no secret (but it is)", own=own)


def test_the_environment_s_own_secrets_are_known_and_words_of_it_are_not():
    environ = {
        "MY_TOKEN": "blue-whale-42",
        "DATABASE_URL": "postgres://u:salty%2Fwater9@h/x",
        "GITHUB_TOKEN_FILE": "somewhere",
        "KEY_PATH": "some/where/else",
        "CI_TOKEN": "true",
        "RETRY_KEY": "12345678",
        "API_KEY": "short",
        "HOME": "home-of-somebody-1",
    }
    assert own_secrets(environ) == {"blue-whale-42": "MY_TOKEN", "salty/water9": "DATABASE_URL"}
    found = find_secrets("a\nof the blue-whale-42 kind", own=own_secrets(environ))
    assert [(one.line, one.kind) for one in found] == [(2, "the value of this environment's MY_TOKEN")]


def test_a_scan_is_quick_on_a_large_text():
    """Patterns that go back and forth would take minutes."""
    for text in ("a" * 300_000, "token " * 50_000, "eyJ" * 100_000, "a://" * 60_000, "pass" * 70_000, "-" * 300_000):
        assert find_secrets(text) == []


# -- bundles ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def parts(root):
    """Return the files of a stored bundle without its manifest, and the manifest without files."""
    members = list_archive(root / "tests" / "bundles" / "format-1-onnx.aweigh")
    found = {name: member.read() for name, member in members.items()}
    manifest = msgspec.json.decode(found.pop("manifest.json"), type=Manifest)
    return found, msgspec.structs.replace(manifest, files={})


@pytest.mark.parametrize("name", ["card.md", "requirements.txt", "examples.json", "schema.json"])
def test_no_bundle_is_made_that_holds_a_secret(parts, name):
    files, _ = parts
    secret = TOKENS["github"]
    with pytest.raises(HoldsSecret) as caught:
        refuse_secrets(files | {name: b"one\ntwo " + secret.encode()}, environ={})
    assert f"{name}, line 2: a GitHub token" in str(caught.value)
    assert secret not in str(caught.value) + str(caught.value.hint)


def test_assemble_refuses_and_a_bundle_without_secrets_passes(parts, monkeypatch):
    files, manifest = parts
    assert assemble(files, manifest)["card.md"] == files["card.md"]
    with pytest.raises(HoldsSecret, match=r"card.md, line 2"):
        assemble(files | {"card.md": b"# A\n" + TOKENS["aws"].encode()}, manifest)
    told = msgspec.structs.replace(manifest, model=TOKENS["postgres"])
    with pytest.raises(HoldsSecret, match=r"manifest.json, line \d+: an address with a password"):
        assemble(files, told)
    monkeypatch.setenv("DEPLOY_TOKEN", "blue-whale-42")
    with pytest.raises(HoldsSecret, match="DEPLOY_TOKEN") as caught:
        assemble(files | {"card.md": b"blue-whale-42"}, manifest)
    assert "blue-whale" not in str(caught.value)


def test_the_environment_s_own_secrets_are_looked_for_in_models_too(parts):
    files, _ = parts
    environ = {"DEPLOY_TOKEN": "blue-whale-42"}
    with pytest.raises(HoldsSecret, match=r"model/model\.onnx: the value of this environment's DEPLOY_TOKEN"):
        refuse_secrets(files | {"model/model.onnx": b"\x08\x00blue-whale-42\x00"}, environ=environ)
