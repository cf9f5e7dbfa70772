"""Sign-in with a provider that nobody here wrote (django-oauth-toolkit), each step as a browser takes it."""

import contextlib
import re
import time
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import anyio
import httpx
import pytest
from tests.partly import partly_slow

from aweigh.errors import ConfigError
from aweigh.guard.guard import open_guard
from aweigh.guard.oidc import Oidc, SignInFailed, open_oidc, read_oidc
from aweigh.guard.oidc.kept import open_kept
from aweigh.guard.oidc.provider import PAUSE_S, ROTATION_S
from aweigh.server.access.oauth import OAuth

pytestmark = pytest.mark.needs("django-oauth-toolkit")

PASSWORD = "correct horse battery staple"
SECRET = "s3cret/with+odd=signs&"
ROLES = "groups: data=predictor"


@pytest.fixture(scope="module")
def ports(free_port):
    """The provider's port, and those that servers of ours are registered with."""
    return [free_port() for _ in range(4)]


@pytest.fixture(scope="module")
def provider(ports, open_provider, tmp_path_factory):
    callbacks = [f"http://127.0.0.1:{port}/oauth/callback" for port in ports[1:]]
    with open_provider(ports[0], tmp_path_factory.mktemp("provider"), *callbacks) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def ours(start_server, penguins):
    """Return what serves the penguins on a port to those who sign in with a provider, and ends with the block."""

    @contextlib.contextmanager
    def serve(port, folder, issuer, **settings):
        said = {"ISSUER": issuer, "CLIENT_ID": "aweigh", "CLIENT_SECRET": SECRET, "ROLES": ROLES} | settings
        env = {f"AWEIGH_OIDC_{name}": value for name, value in said.items() if value}
        env |= {"AWEIGH_STATE_DIR": str(folder), "AWEIGH_JOBS": "off", "AWEIGH_DRAIN_DELAY_S": "0"}
        server = start_server(penguins.path, "--no-ui", "--auth", "oidc", port=port, env=env)
        try:
            yield server.url
        finally:
            server.stop()
        assert "Traceback" not in server.errors(), server.errors()

    return serve


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def server(ours, ports, state, provider):
    with ours(ports[1], state, provider) as url:
        yield url


@pytest.fixture
def guard(state):
    found = open_guard({"AWEIGH_STATE_DIR": str(state)})
    yield found
    found.close()


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, timeout=30) as found:
        yield found


def to_callback(client, server, *, name="ana", next_path="/batch?a=1"):
    """Go to the provider, sign in there, and stop where it sends the browser back to."""
    started = client.get(f"{server}/oauth/start", params={"next": next_path})
    return through_provider(client, started.headers["location"], server, name=name)


def through_provider(client, url, back, *, name="ana"):
    reply = client.get(url)
    for _ in range(10):
        if reply.is_redirect:
            url = urljoin(str(reply.url), reply.headers["location"])
            if url.startswith(f"{back}/"):
                return url
            reply = client.get(url)
        else:
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', reply.text)[1]
            form = {"csrfmiddlewaretoken": token, "username": name, "password": PASSWORD}
            reply = client.post(reply.url, data=form)
    return pytest.fail("the provider does not send the browser back", pytrace=False)


def who(client, server):
    reply = client.get(f"{server}/v1/me")
    return "nobody" if reply.status_code == 401 else "{name}, {role}".format(**reply.json())


def told(reply, server):
    """Why the sign-in page is shown again."""
    assert reply.status_code == 303
    assert reply.headers["location"].startswith("/login?problem=")
    assert not [one for one in reply.headers.get_list("set-cookie") if "Max-Age=0" not in one]
    return dict(parse_qsl(urlsplit(reply.headers["location"]).query))["problem"]


def changed(url, **changes):
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | changes
    return parts._replace(query=urlencode({name: value for name, value in query.items() if value is not None})).geturl()


def test_somebody_signs_in_with_the_provider_and_is_where_they_wanted_to_go(client, server, provider):
    """Confidential client, PKCE, nonce; groups come from userinfo, as the ID token does not have them."""
    assert who(client, server) == "nobody"
    reply = client.get(to_callback(client, server))
    assert (reply.status_code, reply.headers["location"]) == (303, "/batch?a=1")
    assert (reply.headers["cache-control"], reply.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert who(client, server) == "ana@example.org, predictor"
    cookies = [one for one in reply.headers.get_list("set-cookie") if "Max-Age=0" not in one]
    assert len(cookies) == 1
    assert cookies[0].endswith("; HttpOnly; SameSite=Lax")


@pytest.mark.slow
def test_a_public_client_needs_no_secret(client, ours, ports, tmp_path, provider):
    with ours(ports[2], tmp_path, provider, CLIENT_ID="public", CLIENT_SECRET=None) as server:
        client.get(to_callback(client, server))
        assert who(client, server) == "ana@example.org, predictor"


def test_a_wrong_secret_signs_nobody_in(client, ours, ports, tmp_path, provider):
    with ours(ports[2], tmp_path, provider, CLIENT_SECRET="a guess") as server:
        assert told(client.get(to_callback(client, server)), server) == "sign_in_refused"
        assert who(client, server) == "nobody"


def test_who_is_on_no_list_is_not_let_in_and_is_not_remembered(client, server, guard):
    assert told(client.get(to_callback(client, server, name="ben")), server) == "not_on_the_list"
    assert who(client, server) == "nobody"
    assert [one for one in guard.people() if "ben" in one.name.lower()] == []
    refusals = [one for one in guard.latest_audit() if one.event == "session.refused"]
    assert refusals[0].what["why"] == "not_on_the_list"


@pytest.mark.slow
def test_an_address_that_is_not_verified_is_of_no_domain(client, ours, ports, tmp_path, provider):
    with ours(ports[2], tmp_path, provider, ROLES="*=viewer", DOMAINS="example.org") as server:
        assert told(client.get(to_callback(client, server, name="ben")), server) == "not_on_the_list"
        with httpx.Client(trust_env=False, timeout=30) as other:
            other.get(to_callback(other, server))
            assert who(other, server) == "ana@example.org, viewer"


@pytest.mark.slow
def test_somebody_is_the_same_person_every_time_with_the_role_of_today(client, ours, ports, tmp_path, provider):
    people = []
    for roles, role in ((ROLES, "predictor"), ("groups: data=operator", "operator"), ("groups: all=viewer", "viewer")):
        with ours(ports[2], tmp_path, provider, ROLES=roles) as server:
            client.get(to_callback(client, server))
            assert who(client, server) == f"ana@example.org, {role}"
        with contextlib.closing(open_guard({"AWEIGH_STATE_DIR": str(tmp_path)})) as guard:
            people.append([(one.id, one.oidc) for one in guard.people()])
    assert people[0] == people[1] == people[2]
    ((issuer, _),) = [oidc for _, oidc in people[0] if oidc is not None]
    assert issuer == provider


def test_whom_the_provider_does_not_list_any_more_is_signed_out(client, ours, ports, tmp_path, provider):
    with ours(ports[2], tmp_path, provider) as server:
        client.get(to_callback(client, server))
        assert who(client, server) == "ana@example.org, predictor"
    with ours(ports[2], tmp_path, provider, ROLES="groups: nobody=viewer") as server:
        assert who(client, server) == "ana@example.org, predictor"
        assert told(client.get(to_callback(client, server)), server) == "not_on_the_list"
        assert who(client, server) == "nobody"


def test_a_disabled_person_is_not_let_in_by_the_provider(client, ours, ports, tmp_path, provider):
    with ours(ports[2], tmp_path, provider) as server:
        client.get(to_callback(client, server))
        with contextlib.closing(open_guard({"AWEIGH_STATE_DIR": str(tmp_path)})) as guard:
            guard.set_disabled(guard.person("ana@example.org").id, True, by=None)
        assert told(client.get(to_callback(client, server)), server) == "not_on_the_list"


def test_a_name_that_is_anothers_is_not_taken_over(client, ours, ports, tmp_path, provider):
    """A person with a password has the e-mail address for a name: the provider's one is somebody else."""
    with contextlib.closing(open_guard({"AWEIGH_STATE_DIR": str(tmp_path)})) as guard:
        from aweigh.guard.identity import Role

        here = guard.add_person("ana@example.org", Role.ADMIN, by=None)
        guard.set_password(here.id, "a long and quiet evening", by=None)
    with ours(ports[2], tmp_path, provider) as server:
        client.get(to_callback(client, server))
        assert who(client, server) == "Ana Lund, predictor"


def test_a_new_session_takes_the_place_of_the_old_one(client, server, guard):
    client.get(to_callback(client, server))
    (before,) = [value for name, value in client.cookies.items() if re.fullmatch(r"aweigh_\d+", name)]
    client.get(to_callback(client, server))
    (after,) = [value for name, value in client.cookies.items() if re.fullmatch(r"aweigh_\d+", name)]
    assert before != after
    assert guard.identify(before.encode(), "session") is None
    assert guard.identify(after.encode(), "session") is not None


def test_an_answer_is_taken_once(client, server):
    callback = to_callback(client, server)
    kept = dict(client.cookies)
    client.get(callback)
    with httpx.Client(trust_env=False, cookies=kept) as again:
        assert told(again.get(callback), server) == "sign_in_stale"
        assert who(again, server) == "nobody"


def test_login_csrf_an_answer_signs_in_only_the_browser_that_began(client, server):
    """The attacker lures somebody to the end of a sign-in of their own."""
    attackers = to_callback(client, server)
    with httpx.Client(trust_env=False, timeout=30) as victim:
        assert told(victim.get(attackers), server) == "sign_in_stale"
        victim.get(f"{server}/oauth/start")
        assert told(victim.get(attackers), server) == "sign_in_stale"
        assert who(victim, server) == "nobody"


def test_code_injection_the_provider_refuses_a_code_of_another_sign_in(client, server):
    """PKCE at work: the state and the cookie are the attacker's own, the code is somebody else's."""
    with httpx.Client(trust_env=False, timeout=30) as victim:
        code = dict(parse_qsl(urlsplit(to_callback(victim, server)).query))["code"]
    attackers = to_callback(client, server, name="ben")
    assert told(client.get(changed(attackers, code=code)), server) == "sign_in_refused"
    assert who(client, server) == "nobody"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"state": "another"}, "sign_in_stale"),
        ({"state": None}, "sign_in_stale"),
        ({"iss": "https://evil.example.com"}, "sign_in_refused"),
        ({"code": "made up"}, "sign_in_refused"),
        ({"code": None, "error": "access_denied"}, "sign_in_cancelled"),
    ],
    ids=str,
)
def test_an_answer_that_was_changed_on_the_way_signs_nobody_in(client, server, changes, problem):
    assert told(client.get(changed(to_callback(client, server), **changes)), server) == problem
    assert who(client, server) == "nobody"


def test_an_answer_that_says_something_twice_is_not_taken(client, server):
    callback = to_callback(client, server)
    assert told(client.get(f"{callback}&code=another"), server) == "sign_in_refused"


@pytest.mark.parametrize(
    "asked",
    partly_slow(
        "https://evil.example.com",
        "//evil.example.com",
        "/\\evil.example.com",
        "javascript:alert(1)",
        "/x\r\nset-cookie: a=b",
        slow=[
            "\\\\evil.example.com",
            "/%2f%2fevil.example.com",
            "/\t/evil.example.com",
            "/oauth/logout",
            "///evil.example.com",
            "evil.example.com",
            "https:evil.example.com",
            "/" + "x" * 5000,
        ],
    ),
)
def test_sign_in_leads_to_no_other_site(client, server, asked):
    reply = client.get(to_callback(client, server, next_path=asked))
    assert (reply.status_code, reply.headers["location"]) == (303, "/")


@pytest.mark.parametrize("path", ["/oauth/start", "/oauth/callback", "/oauth/logout"])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
def test_only_get_is_taken(client, server, path, method):
    reply = client.request(method, server + path)
    assert (reply.status_code, reply.headers.get_list("set-cookie")) == (405, [])
    assert reply.headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["/oauth/", "/oauth/other", "/oauth/start/x"])
def test_there_is_nothing_else_below_oauth(client, server, path):
    assert client.get(server + path).status_code == 404


def test_signing_out_at_the_provider_leads_back(client, server, provider):
    client.get(to_callback(client, server))
    reply = client.get(f"{server}/oauth/logout")
    assert reply.headers["location"].startswith(f"{provider}/logout/?client_id=aweigh&post_logout_redirect_uri=")
    # As no ID token was kept, the provider asks whether it is meant.
    reply = client.get(reply.headers["location"])
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', reply.text))
    reply = client.post(reply.url, data={**fields, "allow": "Logout"})
    assert reply.headers["location"].rstrip("?") == f"{server}/login"
    assert client.get(f"{server}/oauth/start").is_redirect
    page = client.get(client.get(f"{server}/oauth/start").headers["location"], follow_redirects=True)
    assert "password" in page.text, "the provider asks who it is again"


@pytest.mark.slow
def test_while_the_provider_is_away_people_are_told_at_once_and_nothing_else_suffers(
    client, ours, ports, tmp_path, free_port
):
    with ours(ports[3], tmp_path, f"http://127.0.0.1:{free_port()}") as server:
        for _ in range(3):
            began = time.monotonic()
            assert told(client.get(f"{server}/oauth/start?next=/batch"), server) == "provider_down"
            assert time.monotonic() - began < 5
        assert "cannot be reached" in client.get(f"{server}/login?problem=provider_down").text
        assert client.get(f"{server}/oauth/logout").headers["location"] == "/login"


@pytest.mark.slow
def test_a_provider_that_comes_late_is_found_and_its_new_keys_too(ports, tmp_path, client, open_provider, free_port):
    """The provider starts after our server, and again with another key: people sign in all the same."""
    port, back, now = free_port(), f"http://127.0.0.1:{ports[3]}", [0.0]
    folder, callback = tmp_path, f"{back}/oauth/callback"
    settings = {"ISSUER": f"http://127.0.0.1:{port}/o", "CLIENT_ID": "public", "ROLES": ROLES}
    found = read_oidc({f"AWEIGH_OIDC_{name}": value for name, value in settings.items()})
    kept = open_kept({}, state_dir=str(tmp_path / "state"))
    oidc = Oidc(found, kept, steady=lambda: now[0])

    def sign_in():
        started = anyio.run(oidc.start, callback, "/")
        answer = through_provider(client, started.url, back)
        return anyio.run(oidc.finish, dict(parse_qsl(urlsplit(answer).query)), started.cookie)

    with contextlib.closing(kept):
        with pytest.raises(SignInFailed, match="cannot be asked"):
            sign_in()
        now[0] += PAUSE_S + 1
        with open_provider(port, folder, callback):
            first = sign_in()
        with open_provider(port, folder, callback):
            with pytest.raises(SignInFailed, match="a key that the provider does not have"):
                sign_in()
            now[0] += ROTATION_S + 1
            assert sign_in() == first


def test_the_cookie_of_a_sign_in_holds_nothing_to_read(client, server):
    reply = client.get(f"{server}/oauth/start?next=/secret-page")
    asked = dict(parse_qsl(urlsplit(reply.headers["location"]).query))
    (cookie,) = reply.headers.get_list("set-cookie")
    assert "; HttpOnly; SameSite=Lax" in cookie
    assert "Max-Age=600" in cookie
    assert asked["state"] not in cookie
    assert "secret-page" not in cookie
    assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")


def in_process(folder, issuer, **said):
    settings = {"ISSUER": issuer, "CLIENT_ID": "public", "ROLES": ROLES}
    environ = {f"AWEIGH_OIDC_{name}": value for name, value in settings.items()} | said
    return open_guard({}, state_dir=str(folder)), open_oidc(environ, state_dir=str(folder))


def test_over_tls_the_cookie_is_of_this_host_alone_and_the_way_back_is_the_public_one(tmp_path, provider):
    guard, oidc = in_process(tmp_path, provider, AWEIGH_PUBLIC_URL="https://models.example.org")
    app = OAuth(guard, oidc, secure=lambda scope: True, knows_hosts=False)

    async def start():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://evil.example.com") as client:
            return await client.get("/oauth/start")

    with contextlib.closing(guard), contextlib.closing(oidc):
        reply = anyio.run(start)
    assert dict(parse_qsl(urlsplit(reply.headers["location"]).query))["redirect_uri"] == (
        "https://models.example.org/oauth/callback"
    )
    assert reply.headers["set-cookie"].startswith("__Host-aweigh-oauth=")
    assert reply.headers["set-cookie"].endswith("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure")


def test_a_server_that_does_not_know_its_own_address_says_so_at_the_start(tmp_path):
    guard, oidc = in_process(tmp_path, "https://id.example.org")
    with contextlib.closing(guard), contextlib.closing(oidc), pytest.raises(ConfigError) as caught:
        OAuth(guard, oidc, secure=lambda scope: True, knows_hosts=False)
    assert "AWEIGH_PUBLIC_URL" in caught.value.hint
