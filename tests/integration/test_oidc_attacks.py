"""Sign-in with a provider that lies, is slow, or is not who it says. Its tokens are made by hand, not by a library."""

import base64
import gzip
import hashlib
import hmac
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlsplit

import anyio
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.partly import slow_but_for

from aweigh.guard.identity import Role
from aweigh.guard.oidc import Oidc, SignInFailed, read_oidc
from aweigh.guard.oidc.fetch import MOST_BYTES, Web
from aweigh.guard.oidc.kept import open_kept
from aweigh.guard.oidc.pending import LASTS_S
from aweigh.guard.oidc.provider import PAUSE_S, ROTATION_S

NOW = 1_800_000_000.0
CALLBACK = "http://localhost:8000/oauth/callback"
METADATA = "http://169.254.169.254/latest/meta-data/"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVE_KEY = ec.generate_private_key(ec.SECP256R1())
EDWARDS_KEY = ed25519.Ed25519PrivateKey.generate()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(key, kid="1", **more):
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        facts = {"kty": "RSA", "n": number(public.public_numbers().n), "e": number(public.public_numbers().e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        facts = {
            "kty": "EC",
            "crv": "P-256",
            "x": number(public.public_numbers().x),
            "y": number(public.public_numbers().y),
        }
    else:
        facts = {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
    return {**facts, "kid": kid, **more}


def signature(signed, algorithm, key):
    if algorithm == "RS256":
        return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    if algorithm == "PS256":
        return key.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    if algorithm == "ES256":
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    if algorithm == "EdDSA":
        return key.sign(signed)
    if algorithm == "HS256":
        return hmac.new(key, signed, "sha256").digest()
    return b""


def token(claims, algorithm="RS256", key=KEY, **header):
    said = {"alg": algorithm, "kid": "1", **header}
    head = b64(json.dumps({name: value for name, value in said.items() if value is not None}).encode())
    body = b64(claims if isinstance(claims, bytes) else json.dumps(claims).encode())
    return f"{head}.{body}.{b64(signature(f'{head}.{body}'.encode(), algorithm, key))}"


class Provider:
    """A provider whose every answer can be changed: `answers` by path, `claims` and `make` for its tokens."""

    def __init__(self, port):
        self.issuer = f"http://127.0.0.1:{port}"
        self.asked = []
        self.forms = []
        self.answers = {}
        self.described = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        self.keys = [jwk(KEY)]
        self.claims = {}
        self.make = token
        self.nonce = ""

    def all_claims(self):
        usual = {
            "iss": self.issuer,
            "sub": "248289761001",
            "aud": "aweigh",
            "exp": NOW + 300,
            "iat": NOW,
            "nonce": self.nonce,
            "name": "Ana Lund",
            "email": "ana@example.org",
            "email_verified": True,
            "groups": ["data"],
        }
        return {name: value for name, value in {**usual, **self.claims}.items() if value is not None}

    def answer(self, path):
        """Return status, headers and the body in pieces."""
        if path in self.answers:
            return self.answers[path]()
        made = {
            "/.well-known/openid-configuration": lambda: self.described,
            "/jwks": lambda: {"keys": self.keys},
            "/token": lambda: {
                "access_token": "of no use",
                "token_type": "Bearer",
                "id_token": self.make(self.all_claims()),
            },
        }.get(path)
        return (404, {}, [b"{}"]) if made is None else (200, {}, [json.dumps(made()).encode()])


@contextmanager
def running(port=0):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = urlsplit(self.path).path
            provider.asked.append(path)
            status, headers, pieces = provider.answer(path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
            except OSError:
                pass  # whoever asked has gone

        def do_POST(self):
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            provider.forms.append((dict(parse_qsl(form)), self.headers.get("authorization")))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    provider = Provider(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def provider():
    with running() as found:
        yield found


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class Visit:
    """One server of ours and its time; `begin` and `end` are what a browser does."""

    def __init__(self, provider, folder, *, answer_s=5.0, environ=None, **settings):
        self.provider, self.clock = provider, Clock()
        environ = {"AWEIGH_STATE_DIR": str(folder), **(environ or {})}
        said = {"ISSUER": provider.issuer, "CLIENT_ID": "aweigh", "ROLES": "groups: data=predictor", **settings}
        found = read_oidc(environ | {f"AWEIGH_OIDC_{name}": value for name, value in said.items() if value})
        self.oidc = Oidc(
            found,
            open_kept(environ, state_dir=str(folder)),
            clock=self.clock,
            steady=self.clock,
            web=Web(loopback=True, answer_s=answer_s),
        )

    def begin(self, next_path="/"):
        started = anyio.run(self.oidc.start, CALLBACK, next_path)
        asked = {name: values[0] for name, values in parse_qs(urlsplit(started.url).query).items()}
        self.provider.nonce = asked["nonce"]
        return asked, started.cookie

    def end(self, asked, cookie, **changes):
        query = {"code": "c0de", "state": asked["state"], **changes}
        return anyio.run(self.oidc.finish, {name: value for name, value in query.items() if value is not None}, cookie)

    def sign_in(self):
        return self.end(*self.begin())

    def fails(self, how=None):
        with pytest.raises(SignInFailed) as caught:
            (how or self.sign_in)()
        return caught.value.reason


@pytest.fixture
def visit(provider, tmp_path):
    found = Visit(provider, tmp_path)
    yield found
    found.oidc.close()


# -- what goes well --------------------------------------------------------------------------------------------------


def test_an_honest_provider_signs_people_in(visit):
    found = visit.end(*visit.begin("/batch"))
    assert (found.subject, found.name, found.email) == ("248289761001", "Ana Lund", "ana@example.org")
    assert (found.role, found.next_path) == (Role.PREDICTOR, "/batch")


def test_the_verifier_that_is_sent_fits_the_challenge_and_is_never_shown_before(visit, provider):
    asked, cookie = visit.begin()
    visit.end(asked, cookie)
    form, _ = provider.forms[0]
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert (asked["code_challenge"], asked["code_challenge_method"]) == (b64(digest), "S256")
    assert form["code_verifier"] not in cookie
    assert (form["client_id"], form["redirect_uri"], asked["tenant"]) == ("aweigh", CALLBACK, "1")


@pytest.mark.parametrize("methods", [None, ["client_secret_basic"], ["client_secret_post"]])
def test_a_secret_goes_the_way_that_the_provider_takes_it(provider, tmp_path, methods):
    provider.described["token_endpoint_auth_methods_supported"] = methods
    Visit(provider, tmp_path, CLIENT_SECRET="a+b c&d").sign_in()
    form, header = provider.forms[0]
    if methods == ["client_secret_post"]:
        assert (form["client_secret"], header) == ("a+b c&d", None)
    else:
        assert "client_secret" not in form
        assert header == "Basic " + base64.b64encode(b"aweigh:a%2Bb+c%26d").decode()


@pytest.mark.parametrize(
    ("algorithm", "key"), [("RS256", KEY), ("PS256", KEY), ("ES256", CURVE_KEY), ("EdDSA", EDWARDS_KEY)]
)
def test_public_key_signatures_are_taken(visit, provider, algorithm, key):
    provider.keys = [jwk(OTHER_KEY, "0"), jwk(key)]
    provider.make = lambda claims: token(claims, algorithm, key)
    assert visit.sign_in().role is Role.PREDICTOR


def test_a_token_that_names_no_key_is_checked_with_all_that_fit(visit, provider):
    provider.keys = [jwk(OTHER_KEY, "0"), jwk(CURVE_KEY, "2"), jwk(KEY)]
    provider.make = lambda claims: token(claims, kid=None)
    assert visit.sign_in().subject == "248289761001"


# -- tokens that are not to be believed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://accounts.example.com"},
        {"iss": None},
        {"aud": "another"},
        {"aud": []},
        {"aud": None},
        {"aud": ["aweigh", "another"]},
        {"aud": ["aweigh", "another"], "azp": "another"},
        {"azp": "another"},
        {"azp": ["aweigh"]},
        {"exp": NOW - 61},
        {"exp": None},
        {"exp": "never"},
        {"exp": True},
        {"iat": NOW + 3600},
        {"iat": NOW - 86400},
        {"iat": None},
        {"nbf": NOW + 3600},
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": ["x"]},
        {"nonce": "\ud800"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"at_hash": b64(hashlib.sha256(b"another token").digest()[:16])},
        {"at_hash": 7},
    ],
    ids=str,
)
def test_a_token_for_somebody_else_some_other_time_or_some_other_place_is_refused(visit, provider, claims):
    provider.claims = claims
    assert visit.fails() == "sign_in_refused"


def test_a_token_that_belongs_to_the_access_token_is_taken(visit, provider):
    provider.claims = {"at_hash": b64(hashlib.sha256(b"of no use").digest()[:16]), "aud": ["aweigh"], "azp": "aweigh"}
    assert visit.sign_in().subject == "248289761001"


PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
DER = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

FORGED = {
    "not signed": lambda claims: token(claims, "none"),
    "not signed, in capitals": lambda claims: token(claims, "NONE"),
    "without its signature": lambda claims: token(claims).rpartition(".")[0] + ".",
    "without an algorithm": lambda claims: token(claims, None),
    "HS256 with the public key as PEM": lambda claims: token(claims, "HS256", PEM),
    "HS256 with the public key as DER": lambda claims: token(claims, "HS256", DER),
    "HS256 with the modulus": lambda claims: token(claims, "HS256", jwk(KEY)["n"].encode()),
    "HS256 with the client's id": lambda claims: token(claims, "HS256", b"aweigh"),
    "HS256 with nothing": lambda claims: token(claims, "HS256", b""),
    "another's key under the same name": lambda claims: token(claims, key=OTHER_KEY),
    "a key that came with it": lambda claims: token(claims, key=OTHER_KEY, jwk=jwk(OTHER_KEY)),
    "a key that it says where to find": lambda claims: token(
        claims, key=OTHER_KEY, kid="new", jku="http://127.0.0.1/k"
    ),
    "what must be understood": lambda claims: token(claims, crit=["exp"]),
    "RS256 for a curve": lambda claims: token(claims, "ES256", CURVE_KEY),
    "a short key": lambda claims: token(claims, key=SMALL_KEY, kid="small"),
    "a key for other purposes": lambda claims: token(claims, key=OTHER_KEY, kid="encrypts"),
    "a key of two": lambda claims: token(claims, "HS256", b"0123456789abcdef0123456789abcdef", kid="shared"),
    "changed afterwards": lambda claims: ".".join(
        [token(claims).split(".")[0], b64(json.dumps(claims | {"sub": "admin"}).encode()), token(claims).split(".")[2]]
    ),
    "encrypted": lambda claims: token(claims) + ".a.b",
    "no token": lambda claims: "no token",
    "nothing": lambda claims: "",
    "a number": lambda claims: 7,
    "text for claims": lambda claims: token(b'"ana"'),
    "a list for claims": lambda claims: token(b"[1]"),
    "not JSON": lambda claims: token(b"{"),
    "never expires": lambda claims: token(json.dumps(claims).replace(str(claims["exp"]), "1e999").encode()),
    "deep": lambda claims: token(b'{"a":' + b"[" * 20_000),
    "a header that is deep": lambda claims: f"{b64(b'[' * 20_000)}.e30.AA",
    "large": lambda claims: token(claims | {"more": "x" * 200_000}),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_is_refused(visit, provider, forged):
    provider.keys = [
        jwk(KEY),
        jwk(SMALL_KEY, "small"),
        jwk(OTHER_KEY, "encrypts", use="enc"),
        {"kty": "oct", "kid": "shared", "k": b64(b"0123456789abcdef0123456789abcdef")},
        {"kty": "RSA", "kid": "odd", "n": 7, "e": []},
        {"kty": "EC", "kid": "off the curve", "crv": "P-256", "x": b64(b"1" * 32), "y": b64(b"2" * 32)},
    ]
    provider.make = FORGED[forged]
    assert visit.fails() in {"sign_in_refused", "provider_down"}
    assert set(provider.asked) <= {"/.well-known/openid-configuration", "/jwks", "/token"}
    provider.make = token
    assert visit.sign_in().subject == "248289761001"


def test_an_algorithm_that_the_provider_does_not_use_is_refused(visit, provider):
    provider.described["id_token_signing_alg_values_supported"] = ["RS256"]
    provider.keys = [jwk(CURVE_KEY)]
    provider.make = lambda claims: token(claims, "ES256", CURVE_KEY)
    assert visit.fails() == "sign_in_refused"


@pytest.mark.parametrize("said", [[], ["none"], ["HS256"], ["none", "HS256"]])
def test_a_provider_that_signs_in_no_safe_way_is_not_used(visit, provider, said):
    provider.described["id_token_signing_alg_values_supported"] = said
    assert visit.fails() == "sign_in_refused"


# -- sign-ins that this browser has not begun ------------------------------------------------------------------------


def test_a_sign_in_is_finished_once(visit):
    asked, cookie = visit.begin()
    visit.end(asked, cookie)
    assert visit.fails(lambda: visit.end(asked, cookie)) == "sign_in_stale"


def test_a_sign_in_that_failed_is_used_up_too(visit, provider):
    asked, cookie = visit.begin()
    provider.claims = {"nonce": "another"}
    assert visit.fails(lambda: visit.end(asked, cookie)) == "sign_in_refused"
    provider.claims = {}
    assert visit.fails(lambda: visit.end(asked, cookie)) == "sign_in_stale"


def test_of_many_who_finish_one_sign_in_at_once_one_is_let_in(visit):
    asked, cookie = visit.begin()
    let_in, reasons = [], []

    async def end():
        try:
            let_in.append(await visit.oidc.finish({"code": "c0de", "state": asked["state"]}, cookie))
        except SignInFailed as error:
            reasons.append(error.reason)

    async def crowd():
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(end)

    anyio.run(crowd)
    assert len(let_in) == 1
    assert reasons == ["sign_in_stale"] * 19


def test_login_csrf_an_answer_meant_for_another_browser_signs_nobody_in(visit, provider):
    """The attacker begins, takes the address that the provider would send them back to, and lures somebody there."""
    attackers, _ = visit.begin()
    victims, victims_cookie = visit.begin()
    assert visit.fails(lambda: visit.end(attackers, None)) == "sign_in_stale"
    assert visit.fails(lambda: visit.end(attackers, victims_cookie)) == "sign_in_stale"
    assert provider.forms == []
    assert visit.end(victims, victims_cookie).subject == "248289761001"


def test_a_code_of_another_sign_in_is_found_out_by_its_nonce(visit, provider):
    """The attacker has a code of somebody's sign-in, and ends their own with it."""
    visit.begin()
    victims_nonce = provider.nonce
    asked, cookie = visit.begin()
    provider.nonce = victims_nonce
    assert visit.fails(lambda: visit.end(asked, cookie)) == "sign_in_refused"


def test_mix_up_an_answer_from_another_provider_is_not_taken_to_this_one(visit, provider):
    asked, cookie = visit.begin()
    assert visit.fails(lambda: visit.end(asked, cookie, iss="https://evil.example.com")) == "sign_in_refused"
    assert provider.forms == []
    asked, cookie = visit.begin()
    assert visit.end(asked, cookie, iss=provider.issuer).subject == "248289761001"


def test_mix_up_a_provider_that_says_who_it_is_must_say_so(visit, provider):
    provider.described["authorization_response_iss_parameter_supported"] = True
    assert visit.fails() == "sign_in_refused"
    assert provider.forms == []


def test_a_sign_in_does_not_wait_for_ever(visit):
    asked, cookie = visit.begin()
    visit.clock.now += LASTS_S + 1
    assert visit.fails(lambda: visit.end(asked, cookie)) == "sign_in_stale"


def test_a_cookie_that_was_changed_or_sealed_elsewhere_is_none(visit, provider, tmp_path):
    other = Visit(provider, tmp_path / "other")
    _, foreign = other.begin()
    other.oidc.close()
    asked, cookie = visit.begin()
    changed = [cookie[:-2] + ("AA" if cookie[-2:] != "AA" else "BB"), "A" + cookie[1:], foreign, "x", "", "A" * 2000]
    for one in changed:
        if one != cookie:
            assert visit.fails(lambda one=one: visit.end(asked, one)) == "sign_in_stale"
    assert visit.end(asked, cookie).subject == "248289761001"


def test_a_sign_in_that_was_begun_with_another_provider_is_not_ended_with_this_one(provider, tmp_path):
    asked, cookie = Visit(provider, tmp_path).begin()
    with running() as other:
        visit = Visit(other, tmp_path)
        assert visit.fails(lambda: visit.end(asked, cookie)) == "sign_in_stale"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"error": "access_denied", "code": None}, "sign_in_cancelled"),
        ({"error": "server_error", "code": None}, "sign_in_refused"),
        ({"error": "<script>", "error_description": "<script>alert(1)</script>"}, "sign_in_refused"),
        ({"code": None}, "sign_in_refused"),
        ({"code": ""}, "sign_in_refused"),
        ({"code": "x" * 5000}, "sign_in_refused"),
        ({"state": None}, "sign_in_stale"),
        ({"state": "é\ud800"}, "sign_in_stale"),
    ],
    ids=str,
)
def test_an_answer_without_a_code_signs_nobody_in(visit, provider, said, reason):
    asked, cookie = visit.begin()
    assert visit.fails(lambda: visit.end(asked, cookie, **said)) == reason
    assert provider.forms == []


def ends_at_another(provider, folder, environ):
    one, two = (Visit(provider, folder, environ=environ) for _ in range(2))
    asked, cookie = one.begin()
    assert two.end(asked, cookie).subject == "248289761001"
    assert one.fails(lambda: one.end(asked, cookie)) == "sign_in_stale"
    one.oidc.close()
    two.oidc.close()


def test_two_servers_of_one_machine_are_as_one(provider, tmp_path):
    ends_at_another(provider, tmp_path, {})


def test_two_servers_of_one_database_are_as_one(provider, tmp_path, postgres):
    ends_at_another(provider, tmp_path, {"DATABASE_URL": postgres})


# -- whom it lets in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "let_in"),
    [
        ({"email": "ANA@Example.ORG"}, True),
        ({"email_verified": "true"}, True),
        ({"email_verified": False}, False),
        ({"email_verified": "false"}, False),
        ({"email_verified": 1}, False),
        ({"email_verified": None}, False),
        ({"email": None}, False),
        ({"email": ["ana@example.org"]}, False),
        ({"email": "ana@example.org.evil.com"}, False),
        ({"email": "ana@evilexample.org"}, False),
        ({"email": "ana@sub.example.org"}, False),
        ({"email": "evil.com@example.org@evil.com"}, False),
        ({"email": "ana@evil.com\n@example.org"}, False),
        ({"email": '"ana@evil.com"@example.org'}, False),
        ({"email": "@example.org"}, False),
    ],
    ids=str,
)
def test_only_a_verified_address_of_a_domain_lets_in(provider, tmp_path, claims, let_in):
    visit = Visit(provider, tmp_path, DOMAINS="example.org, example.net", ROLES="*=viewer")
    provider.claims = claims
    if let_in:
        assert visit.sign_in().role is Role.VIEWER
    else:
        assert visit.fails() == "not_on_the_list"


def test_who_is_on_no_list_is_not_let_in_and_the_log_can_say_who_it_was(visit, provider):
    provider.claims = {"groups": ["others"]}
    with pytest.raises(SignInFailed) as caught:
        visit.sign_in()
    assert (caught.value.reason, caught.value.subject) == ("not_on_the_list", "248289761001")


def test_what_the_token_does_not_say_is_asked_for(visit, provider):
    provider.described["userinfo_endpoint"] = f"{provider.issuer}/userinfo"
    provider.answers["/userinfo"] = lambda: (200, {}, [b'{"sub": "248289761001", "groups": ["data"], "iss": "x"}'])
    provider.claims = {"groups": None}
    assert visit.sign_in().role is Role.PREDICTOR
    provider.asked.clear()
    provider.claims = {}
    visit.sign_in()
    assert "/userinfo" not in provider.asked


@pytest.mark.parametrize("body", [b'{"sub": "another", "groups": ["data"]}', b'{"groups": ["data"]}', b"[]"])
def test_what_is_told_of_another_person_is_not_taken(visit, provider, body):
    provider.described["userinfo_endpoint"] = f"{provider.issuer}/userinfo"
    provider.answers["/userinfo"] = lambda: (200, {}, [body])
    provider.claims = {"groups": None}
    assert visit.fails() in {"sign_in_refused", "provider_down"}


@pytest.mark.parametrize("name", ["\u202eadmin\u200b", " Ana\n\tLund ", "x" * 500, "\x00", ""])
def test_a_name_is_shown_as_text_of_one_line(visit, provider, name):
    provider.claims = {"name": name}
    found = visit.sign_in().name
    assert found
    assert found.isprintable()
    assert len(found) <= 128


# -- providers that are no help --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://accounts.example.com"},
        {"issuer": None},
        {"token_endpoint": None},
        {"jwks_uri": METADATA},
        {"jwks_uri": METADATA.replace("http:", "https:")},
        {"jwks_uri": "https://2852039166/"},
        {"jwks_uri": "https://[fe80::1]/"},
        {"jwks_uri": "https://[::ffff:169.254.169.254]/"},
        {"token_endpoint": METADATA},
        {"token_endpoint": "http://example.com/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "https://user:password@example.com/"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://example.com/\r\nset-cookie: a=b"},
        {"userinfo_endpoint": METADATA},
        {"end_session_endpoint": "http://example.com"},
    ],
    ids=str,
)
def test_a_description_that_cannot_be_is_refused(visit, provider, changes):
    provider.described |= changes
    assert visit.fails() in {"sign_in_refused", "provider_down"}
    assert provider.asked == ["/.well-known/openid-configuration"]


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(visit, provider, path, status):
    for target in (METADATA, f"{provider.issuer}/secret"):
        provider.answers[path] = lambda target=target: (status, {"location": target}, [b""])
        began = time.monotonic()
        assert visit.fails() == "provider_down"
        assert time.monotonic() - began < 4
        assert "/secret" not in provider.asked
        visit.clock.now += PAUSE_S + 1


def forever():
    while True:
        yield b"x" * 65536


def drop_by_drop():
    for _ in range(600):
        time.sleep(0.1)
        yield b" "


BAD_ANSWERS = {
    "too large": lambda: (200, {}, [b" " * (MOST_BYTES + 1)]),
    "without an end": lambda: (200, {}, forever()),
    "packed": lambda: (200, {"content-encoding": "gzip"}, [gzip.compress(b" " * 50_000_000)]),
    "drop by drop": lambda: (200, {}, drop_by_drop()),
    "not JSON": lambda: (200, {"content-type": "text/html"}, [b"<h1>Welcome to the hotel</h1>"]),
    "deep": lambda: (200, {}, [b"[" * 100_000]),
    "not text": lambda: (200, {}, [b'{"keys": "\xff"}']),
    "an error": lambda: (503, {}, [b"later"]),
    "shorter than it says": lambda: (200, {"content-length": "1000"}, [b"{}"]),
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token"])
@pytest.mark.parametrize("bad", slow_but_for(BAD_ANSWERS, *(BAD_ANSWERS.keys() - {"drop by drop"})))
def test_a_bad_answer_ends_in_a_word_soon(provider, tmp_path, path, bad):
    visit = Visit(provider, tmp_path, answer_s=1.0)
    provider.answers[path] = BAD_ANSWERS[bad]
    began = time.monotonic()
    assert visit.fails() == "provider_down"
    assert time.monotonic() - began < 5
    del provider.answers[path]
    visit.clock.now += PAUSE_S + 1
    assert visit.sign_in().subject == "248289761001"


def test_a_token_that_is_refused_is_no_sign_in(visit, provider):
    provider.answers["/token"] = lambda: (400, {}, [b'{"error": "invalid_grant"}'])
    assert visit.fails() == "sign_in_refused"


def test_a_provider_that_is_away_is_not_asked_again_at_once(provider, tmp_path):
    provider.answers["/.well-known/openid-configuration"] = lambda: (500, {}, [b""])
    visit = Visit(provider, tmp_path)
    assert [visit.fails() for _ in range(5)] == ["provider_down"] * 5
    assert len(provider.asked) == 1
    visit.clock.now += PAUSE_S + 1
    provider.answers.clear()
    assert visit.sign_in().subject == "248289761001"


def test_a_provider_that_cannot_be_reached_is_told_of_at_once(tmp_path):
    with running() as provider:
        visit = Visit(provider, tmp_path)
    began = time.monotonic()
    assert visit.fails() == "provider_down"
    assert time.monotonic() - began < 2


def test_new_keys_are_found_and_made_up_ones_do_not_make_us_ask_for_ever(visit, provider):
    visit.sign_in()
    visit.clock.now += ROTATION_S + 1
    provider.keys = [jwk(OTHER_KEY, "new")]
    provider.make = lambda claims: token({**claims, "iat": visit.clock.now}, key=OTHER_KEY, kid="new")
    assert visit.sign_in().subject == "248289761001"
    asked = provider.asked.count("/jwks")
    assert asked == 2
    provider.make = lambda claims: token(claims, key=OTHER_KEY, kid="made up")
    assert {visit.fails() for _ in range(10)} == {"sign_in_refused"}
    assert provider.asked.count("/jwks") == asked


def test_a_key_that_was_taken_back_is_not_believed_for_more_than_an_hour(visit, provider):
    visit.sign_in()
    provider.keys = [jwk(OTHER_KEY, "new")]
    visit.clock.now += 3601
    provider.claims = {"iat": visit.clock.now, "exp": visit.clock.now + 300}
    assert visit.fails() == "sign_in_refused"


def test_the_log_has_no_secret_of_a_sign_in(provider, tmp_path):
    visit = Visit(provider, tmp_path, CLIENT_SECRET="hush-hush")
    provider.answers["/token"] = lambda: (400, {}, [b'{"error": "invalid_grant", "error_description": "hush-hush"}'])
    asked, cookie = visit.begin()
    with pytest.raises(SignInFailed) as caught:
        visit.end(asked, cookie)
    told = f"{caught.value} {caught.value.hint} {visit.oidc.settings!r}"
    assert not [one for one in ("hush-hush", "c0de", asked["state"], asked["nonce"], cookie) if one in told]


def test_signing_out_at_the_provider_is_offered_where_it_has_a_page_for_it(visit, provider):
    assert anyio.run(visit.oidc.sign_out_url, "http://localhost:8000/login") is None
    visit.clock.now += 3601
    provider.described["end_session_endpoint"] = f"{provider.issuer}/logout"
    url = urlsplit(anyio.run(visit.oidc.sign_out_url, "http://localhost:8000/login"))
    assert dict(parse_qsl(url.query)) == {
        "client_id": "aweigh",
        "post_logout_redirect_uri": "http://localhost:8000/login",
    }
