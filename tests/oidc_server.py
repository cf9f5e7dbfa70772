"""An OpenID Connect provider that nobody here wrote: django-oauth-toolkit, with a page to sign in at and two people.

    python oidc_server.py PORT FOLDER REDIRECT_URI [REDIRECT_URI ...]

What is below are settings, as an operator of it writes them. Every start has a new key, as after a rotation. Which
groups somebody is in is told by userinfo alone, as some providers have it.
"""

import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.core.management import call_command
from django.urls import include, path
from django.views.generic import TemplateView

PORT, FOLDER, REDIRECT_URIS = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
ISSUER = f"http://127.0.0.1:{PORT}/o"
PASSWORD = "correct horse battery staple"
CLIENT_ID, CLIENT_SECRET, PUBLIC_CLIENT_ID, OTHER_CLIENT_ID = "aweigh", "s3cret/with+odd=signs&", "public", "other"
PEOPLE = {
    "ana": {"email": "ana@example.org", "email_verified": True, "groups": ["data", "all"], "name": "Ana Lund"},
    "ben": {"email": "ben@example.org", "email_verified": False, "groups": ["all"], "name": "Ben Ode"},
}

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
LOGIN = '<form method="post">{% csrf_token %}{{ form.as_p }}<button type="submit">Sign in</button></form>'

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "provider.sqlite"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    # Tables without the history of how they came to be, and passwords that are checked at once: this is a test.
    MIGRATION_MODULES=dict.fromkeys(("auth", "contenttypes", "sessions", "oauth2_provider")),
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"],
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {"registration/login.html": LOGIN, "home.html": "<p>The provider's own page</p>"},
                    ),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ],
    LOGIN_URL="/login",
    SESSION_COOKIE_NAME="provider_session",
    CSRF_COOKIE_NAME="provider_csrf",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": ISSUER,
        "OIDC_RSA_PRIVATE_KEY": KEY.decode(),
        "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
        "OIDC_RP_INITIATED_LOGOUT_ALWAYS_PROMPT": False,
        "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Validator",
        "SCOPES": {"openid": "Sign in", "profile": "Name and groups", "email": "E-mail address"},
        "PKCE_REQUIRED": True,
        "REQUEST_APPROVAL_PROMPT": "auto",
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http"],
    },
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402  (wants the settings)
from django.contrib.auth.views import LoginView  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Validator(OAuth2Validator):
    """What the provider says of people."""

    def get_additional_claims(self, request):
        about = PEOPLE[request.user.username]
        return {name: about[name] for name in ("email", "email_verified", "name")}

    def get_userinfo_claims(self, request):
        return super().get_userinfo_claims(request) | {"groups": PEOPLE[request.user.username]["groups"]}


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("login", LoginView.as_view()),
    path("", TemplateView.as_view(template_name="home.html")),
]


def fill():
    """Make the tables, the people and the applications, once."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    if User.objects.exists():
        return
    for name in PEOPLE:
        User.objects.create_user(name, password=PASSWORD)
    for client_id, kind in ((CLIENT_ID, "confidential"), (PUBLIC_CLIENT_ID, "public"), (OTHER_CLIENT_ID, "public")):
        Application.objects.create(
            client_id=client_id,
            client_secret=CLIENT_SECRET if kind == "confidential" else "",
            client_type=kind,
            authorization_grant_type="authorization-code",
            redirect_uris=" ".join(REDIRECT_URIS),
            post_logout_redirect_uris=" ".join(uri.replace("/oauth/callback", "/login") for uri in REDIRECT_URIS),
            algorithm="RS256",
            skip_authorization=True,
            name=client_id,
        )


class Server(ThreadingMixIn, WSGIServer):
    """One thread a request: browsers keep connections open."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Says nothing of what is asked."""

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    fill()
    from django.core.wsgi import get_wsgi_application

    with make_server("127.0.0.1", PORT, get_wsgi_application(), Server, Quiet) as server:
        server.serve_forever()
