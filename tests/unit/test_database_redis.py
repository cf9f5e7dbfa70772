"""A Redis behind TLS: its certificate is looked at unless somebody says otherwise."""

import pytest

from aweigh.database.redis import UNVERIFIED, connect
from aweigh.secret import Secret

pytest.importorskip("redis")


@pytest.mark.parametrize(
    ("url", "said", "looked_at"),
    [
        ("rediss://:secret@cache.example:6380/0", None, True),
        ("rediss://:secret@cache.example:6380/0", "0", True),
        ("rediss://:secret@cache.example:6380/0", "1", False),
    ],
)
def test_a_certificate_is_looked_at_unless_it_is_said(monkeypatch, url, said, looked_at):
    if said is None:
        monkeypatch.delenv(UNVERIFIED, raising=False)
    else:
        monkeypatch.setenv(UNVERIFIED, said)
    with connect(Secret(url), extra="redis") as client:
        connection = client.connection_pool.make_connection()
        assert (connection.cert_reqs != 0, connection.check_hostname) == (looked_at, looked_at)


def test_what_has_no_certificate_takes_no_notice(monkeypatch):
    monkeypatch.setenv(UNVERIFIED, "1")
    with connect(Secret("redis://cache.example/0"), extra="redis") as client:
        assert "ssl_cert_reqs" not in client.connection_pool.connection_kwargs
