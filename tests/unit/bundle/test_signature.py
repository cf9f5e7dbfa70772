"""Signatures and who is trusted: what counts, what does not, and every way to pass one for the other."""

import base64
import datetime as dt
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from aweigh.__main__ import main
from aweigh.bundle.dsse import pae
from aweigh.bundle.files import write_folder
from aweigh.bundle.keys import (
    PublicKey,
    make_key,
    own_folder,
    own_key,
    own_public,
    read_private,
    read_public,
    write_private,
)
from aweigh.bundle.signature import PAYLOAD_TYPE, check_payload, check_signature, sign
from aweigh.bundle.trust import Trust, TrustedKey, read_trust
from aweigh.bundle.verify import verify
from aweigh.errors import ConfigError, DamagedBundle, UntrustedBundle, UsageError
from aweigh.secret import Secret

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
ANA, BOB, EVE = make_key(), make_key(), make_key()


def digest_of(files):
    return hashlib.sha256(files["manifest.json"]).hexdigest()


def signed(files, *keys, name="penguins"):
    content = None
    for key in keys:
        content = sign(name, digest_of(files), key, before=content)
    return files | {"signature.json": content}


def trust(*keys, signatures=1, **more):
    names = {id(ANA): "ana", id(BOB): "bob", id(EVE): "eve"}
    return Trust(tuple(TrustedKey(names[id(key)], key.public, **more) for key in keys), signatures)


def refused(path, policy, why, *, error=UntrustedBundle):
    with pytest.raises(error) as caught:
        verify(path, trust=policy)
    assert why in caught.value.message
    return caught.value


# -- what counts -----------------------------------------------------------------------------------------------------


def test_a_bundle_is_taken_when_a_trusted_one_has_signed_it(write, files):
    path = write(signed(files, ANA))
    bundle = verify(path, trust=trust(ANA, BOB))
    assert [(one.name, one.keyid) for one in bundle.signers] == [("ana", ANA.public.keyid)]
    assert bundle.digest == digest_of(files), "a signature changes no version"
    assert "signature.json" not in bundle.names
    assert verify(path).signers == (), "nobody was asked for"


def test_without_one_it_is_refused(write, files):
    assert "--trust" in refused(write(files), trust(ANA), "penguins is not signed").hint
    refused(write(signed(files, EVE)), trust(ANA), "nobody trusted here has signed it")


def test_as_many_as_are_needed_must_have_signed_each_with_a_key_of_their_own(write, files):
    policy = trust(ANA, BOB, signatures=2)
    refused(write(signed(files, ANA, EVE)), policy, "1 of 2 signatures")
    refused(write(signed(files, ANA, ANA)), policy, "1 of 2 signatures")
    assert len(verify(write(signed(files, ANA, BOB)), trust=policy).signers) == 2
    twice = Trust((*trust(ANA).keys, *trust(ANA, bundles=("penguins",)).keys), 1)
    assert len(verify(write(signed(files, ANA)), trust=twice).signers) == 1


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"revoked": "laptop stolen"}, "the key of ana is revoked (laptop stolen)"),
        ({"begins": NOW + dt.timedelta(seconds=1)}, "the key of ana counts from 2026-06-01 12:00 on"),
        ({"ends": NOW}, "the key of ana counted until 2026-06-01 12:00"),
        ({"bundles": ("fraud-*", "penguin")}, "ana may not sign bundles named 'penguins'"),
    ],
)
def test_a_key_counts_for_what_the_policy_says_and_when(files, more, why):
    content = signed(files, ANA)["signature.json"]
    known = {"name": "penguins", "digest": digest_of(files), "has_code": False, "now": NOW}
    with pytest.raises(UntrustedBundle) as caught:
        check_signature(content, trust=trust(ANA, **more), **known)
    assert why in caught.value.message
    within = {"begins": NOW, "ends": NOW + dt.timedelta(seconds=1), "bundles": ("fraud-*", "peng*")}
    assert check_signature(content, trust=trust(ANA, **within), **known)


def test_a_key_that_is_revoked_in_one_entry_counts_in_none(write, files):
    policy = Trust((*trust(ANA).keys, *trust(ANA, revoked="lost").keys))
    refused(write(signed(files, ANA)), policy, "revoked (lost)")


def test_code_is_signed_by_who_may_sign_code(write, changed):
    files = signed(changed(add={"app.py": b"x = 1\n"}, code=True), ANA)
    error = refused(write(files), trust(ANA), "ana may not sign bundles that run their maker's own Python")
    assert "code = true" in error.hint, "what to write, as a key alone never counts for code"
    assert "code = true" not in refused(write(files), trust(ANA, revoked="lost"), "revoked").hint
    assert verify(write(files), trust=trust(ANA, code=True)).manifest.code


def test_the_user_trusts_what_they_have_signed_and_nobody_else_s(write, changed, monkeypatch, tmp_path):
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "config"))
    files = changed(add={"app.py": b"x = 1\n"}, code=True)
    refused(write(files), None, "you have not signed it")
    mine = own_key({"AWEIGH_CONFIG_DIR": str(tmp_path / "config")})
    assert verify(write(signed(files, mine))).signers[0].name == "the owner of this server"
    refused(write(signed(files, EVE)), None, "nobody trusted here has signed it")


# -- what is passed for a signature ----------------------------------------------------------------------------------


def forged(content, **changes):
    return json.dumps(json.loads(content) | changes).encode()


def test_a_signature_of_another_bundle_is_none(write, files, changed):
    other = changed(name="penguin-two")
    content = sign("penguin-two", digest_of(other), ANA)
    refused(write(files | {"signature.json": content}), trust(ANA), "of another bundle", error=DamagedBundle)
    renamed = sign("penguin-two", digest_of(files), ANA)
    refused(write(files | {"signature.json": renamed}), trust(ANA), "of another bundle", error=DamagedBundle)
    refused(write(files | {"signature.json": content}), None, "of another bundle", error=DamagedBundle)


def test_a_name_on_another_s_signature_is_found_out(write, files):
    content = signed(files, EVE)["signature.json"]
    lying = content.replace(EVE.public.keyid.encode(), ANA.public.keyid.encode())
    refused(write(files | {"signature.json": lying}), trust(ANA, EVE), "claims to be ana's is not", error=DamagedBundle)


def test_bytes_that_were_signed_as_something_else_do_not_count(files):
    payload = base64.b64decode(json.loads(signed(files, ANA)["signature.json"])["payload"])
    for message in (payload, pae("text/plain", payload), pae(PAYLOAD_TYPE, payload) + b" "):
        sig = base64.b64encode(ANA.sign(message)).decode()
        content = forged(signed(files, ANA)["signature.json"], signatures=[{"keyid": ANA.public.keyid, "sig": sig}])
        with pytest.raises(DamagedBundle, match="claims to be ana's is not"):
            check_signature(content, name="penguins", digest=digest_of(files), has_code=False, trust=trust(ANA))


@pytest.mark.parametrize(
    "change",
    [
        {"payloadType": "application/vnd.in-toto+json"}, {"payload": "!!!"}, {"payload": ""}, {"signatures": []},
        {"more": 1}, {"signatures": [{"keyid": "a", "sig": "x"}]}, {"signatures": [{"keyid": "a"}]},
        {"signatures": [{"keyid": "a", "sig": "AA=="}] * 2}, {"payload": None}, {"signatures": [{}] * 99},
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_refused_even_where_nobody_asks_for_one(write, files, change):
    content = forged(signed(files, ANA)["signature.json"], **change)
    for policy in (None, trust(ANA)):
        refused(write(files | {"signature.json": content}), policy, "", error=DamagedBundle)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\x80\x04}.", b"{" * 70_000])
def test_neither_is_anything_else(write, files, content):
    refused(write(files | {"signature.json": content}), None, "signature", error=DamagedBundle)


def test_another_manifest_under_a_good_signature_is_found_out(write, files, changed):
    other = changed(model="another")
    refused(
        write(other | {"signature.json": signed(files, ANA)["signature.json"]}), trust(ANA), "another bundle",
        error=DamagedBundle,
    )  # fmt: skip


def test_a_signature_too_many_is_refused_before_it_is_written(files):
    known = {"name": "penguins", "digest": digest_of(files)}
    content = signed(files, *(make_key() for _ in range(15)), ANA)["signature.json"]
    assert len(check_payload(content, **known)) == 16
    with pytest.raises(UsageError, match="it has 16 of 16") as caught:
        sign(*known.values(), BOB, before=content)
    assert "--remove" in caught.value.hint
    assert sign(*known.values(), ANA, before=content) == content, "once more by the same key is none too many"


@pytest.mark.parametrize(
    "wrong",
    [{"keyid": "a"}, {"keyid": ANA.public.keyid.upper()}, {"keyid": "a" * 65}, {"sig": "AA=="}, {"sig": ""},
     {"sig": base64.b64encode(bytes(65)).decode()}],
)  # fmt: skip
def test_a_signature_has_64_bytes_and_its_key_64_hex_digits(write, files, wrong):
    good = {"keyid": EVE.public.keyid, "sig": base64.b64encode(bytes(64)).decode()}
    content = signed(files, ANA)["signature.json"]
    known = json.loads(content)["signatures"]
    assert verify(write(files | {"signature.json": forged(content, signatures=[*known, good])}), trust=trust(ANA))
    path = write(files | {"signature.json": forged(content, signatures=[*known, good | wrong])})
    refused(path, trust(ANA), "64", error=DamagedBundle)


@pytest.mark.parametrize(
    ("before", "after"), [(b'{"payload":', b'{"payload":"","payload":'), (b'"keyid":', b'"keyid":"","keyid":')]
)
def test_a_key_that_stands_twice_is_refused(write, files, before, after):
    content = json.dumps(dict(sorted(json.loads(signed(files, ANA)["signature.json"]).items())), separators=(",", ":"))
    assert before in content.encode()
    twice = content.encode().replace(before, after)
    assert json.loads(twice) == json.loads(content), "most readers take the last"
    refused(write(files | {"signature.json": twice}), trust(ANA), "no DSSE envelope", error=DamagedBundle)


# -- keys ------------------------------------------------------------------------------------------------------------


def test_keys_are_files_that_openssl_reads(tmp_path):
    path = tmp_path / "k.key"
    write_private(ANA, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_private(path).public == ANA.public
    (tmp_path / "m").write_bytes(b"message")
    (tmp_path / "k.pub").write_bytes(ANA.public.pem())
    made = ["openssl", "pkeyutl", "-sign", "-inkey", path, "-rawin", "-in", tmp_path / "m", "-out", tmp_path / "s"]
    subprocess.run(made, check=True)
    assert (tmp_path / "s").read_bytes() == ANA.sign(b"message")
    assert read_public((tmp_path / "k.pub").read_bytes(), name="k").verifies((tmp_path / "s").read_bytes(), b"message")
    assert repr(ANA) == f"PrivateKey(of {ANA.public.keyid[:12]})"


def test_a_key_is_never_written_over_and_its_passphrase_is_asked_for(tmp_path):
    path = tmp_path / "k.key"
    write_private(ANA, path, passphrase=Secret("pass"))
    for wrong in (None, Secret("word")):
        with pytest.raises(UsageError):
            read_private(path, passphrase=wrong)
    assert read_private(path, passphrase=Secret("pass")).public == ANA.public
    with pytest.raises(UsageError, match="there already"):
        write_private(BOB, path)
    assert read_private(path, passphrase=Secret("pass")).public == ANA.public


def test_a_key_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "k.key"
    write_private(ANA, path)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="Others than you may read") as caught:
        read_private(path)
    assert "chmod 600" in caught.value.hint


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_who_may_read_another_user_s_key_did_not_choose_its_mode(tmp_path, monkeypatch):
    path = tmp_path / "k.key"
    write_private(ANA, path)
    path.chmod(0o440)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert read_private(path).public == ANA.public


def test_a_key_that_cannot_be_kept_from_others_is_not_written(tmp_path, monkeypatch):
    def without_modes(path, flags, mode=0o777, **more):
        number = really(path, flags, mode, **more)
        if flags & os.O_CREAT:
            os.fchmod(number, 0o644)  # as a file system without modes shows it
        return number

    really = os.open
    monkeypatch.setattr(os, "open", without_modes)
    with pytest.raises(UsageError, match="cannot be kept from others"):
        write_private(ANA, tmp_path / "k.key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["write", "fsync", "link"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_key_takes_its_name_whole_or_not_at_all(tmp_path, monkeypatch, step, error):
    there = []

    def stopped(*_):
        there.append((tmp_path / "own.key").exists())
        raise error

    if step == "write":
        monkeypatch.setattr(os, "fdopen", stopped)
    else:
        monkeypatch.setattr(os, step, stopped)
    with pytest.raises((KeyboardInterrupt, UsageError)):
        own_key({"AWEIGH_CONFIG_DIR": str(tmp_path)})
    monkeypatch.undo()
    assert there == [False]
    assert list(tmp_path.iterdir()) == [], "nothing half is left, under any name"
    assert own_key({"AWEIGH_CONFIG_DIR": str(tmp_path)}).public


def test_of_two_that_make_the_own_key_at_once_both_have_the_same(tmp_path, monkeypatch):
    def slower(part, path, **more):
        really(part, path, **more) if more else write_quicker(path)
        really(part, path, **more)

    def write_quicker(path):
        monkeypatch.undo()
        write_private(ANA, path)

    really = os.link
    monkeypatch.setattr(os, "link", slower)
    assert own_key({"AWEIGH_CONFIG_DIR": str(tmp_path)}).public == ANA.public
    assert sorted(one.name for one in tmp_path.iterdir()) == ["own.key", "own.pub"]


def test_the_public_half_of_the_own_key_lies_beside_it(tmp_path):
    environ = {"AWEIGH_CONFIG_DIR": str(tmp_path / "config")}
    key, path = own_key(environ), tmp_path / "config" / "own.pub"
    assert read_public(path.read_bytes(), name="own.pub") == key.public == own_public(environ)
    assert [one.key for one in read_trust(path).keys] == [key.public]
    path.write_bytes(EVE.public.pem())
    assert own_public(environ) == key.public, "it is for others: nobody is trusted for lying there"
    own_key(environ)
    assert path.read_bytes() == key.public.pem()
    path.unlink()
    path.mkdir()
    assert own_key(environ).public == key.public, "a folder that takes no file has a key all the same"


def test_only_a_key_that_is_not_there_is_none(tmp_path, monkeypatch):
    assert own_public({"AWEIGH_CONFIG_DIR": str(tmp_path / "gone")}) is None
    (tmp_path / "file").write_text("")
    for ask in (own_public, own_key):
        with pytest.raises(UsageError, match="cannot be read"):
            ask({"AWEIGH_CONFIG_DIR": str(tmp_path / "file")})  # as for a folder that may not be looked into

    def homeless():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UsageError, match="no home folder"):
        own_public({})


def test_the_own_folder_never_depends_on_where_one_stands(tmp_path):
    assert own_folder({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "aweigh"
    for relative in ("config", "./x", "", " "):
        assert own_folder({"XDG_CONFIG_HOME": relative}) == Path.home() / ".config" / "aweigh"


P = 2**255 - 19
Y8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
SMALL = [(y | sign << 255).to_bytes(32, "little") for y in (0, 1, P - 1, P, P + 1, Y8, P - Y8) for sign in (0, 1)]


def test_the_point_of_order_8_is_one():
    """Three doublings, y(2Q) = (y² + x²) / (2 + x² - y²) on -x² + y² = 1 + dx²y², lead to the neutral y = 1."""
    d = -121665 * pow(121666, -1, P) % P
    for y in (Y8, P - Y8):
        ys = [y]
        for _ in range(3):
            x2 = (ys[-1] ** 2 - 1) * pow(d * ys[-1] ** 2 + 1, -1, P) % P
            ys.append((ys[-1] ** 2 + x2) * pow(2 + x2 - ys[-1] ** 2, -1, P) % P)
        assert ys[1:] == [0, P - 1, 1]


@pytest.mark.parametrize("raw", SMALL, ids=bytes.hex)
def test_a_key_that_anybody_can_sign_for_is_refused(raw):
    head = bytes.fromhex("302a300506032b6570032100")
    pem = b"-----BEGIN PUBLIC KEY-----\n%b\n-----END PUBLIC KEY-----\n" % base64.b64encode(head + raw)
    with pytest.raises(UsageError, match="anybody can sign for"):
        read_public(pem, name="k")


def test_such_a_key_does_verify_what_nobody_signed():
    nothing = (1).to_bytes(32, "little")
    assert PublicKey(nothing).verifies(nothing + bytes(32), b"any message")


def test_a_key_of_an_algorithm_that_nobody_knows_is_refused():
    content = bytes.fromhex("302a300506032b657f032100") + bytes(32)
    pem = b"-----BEGIN PUBLIC KEY-----\n%b\n-----END PUBLIC KEY-----\n" % base64.b64encode(content)
    with pytest.raises(UsageError, match="holds no public key"):
        read_public(pem, name="k")


def pem_of(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


@pytest.mark.parametrize(
    "content", [b"", b"ssh-ed25519 AAAA", ANA.pem(None), pem_of(ec.generate_private_key(ec.SECP256R1()))],
    ids=["nothing", "another form", "a private key", "another kind"],
)  # fmt: skip
def test_what_is_no_public_key_is_refused(content):
    with pytest.raises(UsageError):
        read_public(content, name="k")


def test_the_digest_of_a_key_is_that_of_its_raw_bytes():
    raw = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    assert raw.hex().startswith("3b6a27bc")  # of the test vectors of RFC 8032's reference implementation
    pem = pem_of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert read_public(pem, name="k").keyid == hashlib.sha256(raw).hexdigest()


# -- policies --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for name, key in (("ana", ANA), ("bob", BOB)):
        (tmp_path / f"{name}.pub").write_bytes(key.public.pem())
    return tmp_path


def test_a_policy_is_a_file_a_key_or_a_folder_of_keys(folder):
    assert [(one.signer, one.code) for one in read_trust(folder).keys] == [("ana", False), ("bob", False)]
    assert [one.key for one in read_trust(folder / "bob.pub").keys] == [BOB.public]
    (folder / "trust.toml").write_text(
        'signatures = 2\n[[keys]]\nsigner = "Ana"\nfile = "ana.pub"\nbundles = ["peng*"]\nfrom = 2026-01-01\n'
        'until = 2027-01-01T12:00:00+02:00\ncode = true\n[[keys]]\nsigner = "Bob"\nrevoked = "lost"\n'
        f'public = """{BOB.public.pem().decode()}"""\n'
    )
    for path in (folder, folder / "trust.toml"):
        policy = read_trust(path)
        assert policy.signatures == 2
        ana, bob = policy.keys
        assert (ana.signer, ana.bundles, ana.code, bob.revoked) == ("Ana", ("peng*",), True, "lost")
        assert ana.begins == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        assert ana.ends == dt.datetime(2027, 1, 1, 10, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text",
    [
        "", "keys = []", "nonsense", "[keys]\n", "signatures = 3\n{key}", "signatures = true\n{key}", "more = 1\n{key}",
        "{key}\nbundles = []", "{key}\nbundles = 'x'", "{key}\nfrom = '2026-01-01'", "{key}\ncode = 1",
        "{key}\nfrom = 2027-01-01\nuntil = 2026-01-01", "{key}\nrevoked = 1", "{key}\nwho = 1", "{key}\npublic = 'x'",
        "[[keys]]\nfile = 'ana.pub'", "[[keys]]\nsigner = 'a'", "[[keys]]\nsigner = 'a'\nfile = 'gone.pub'",
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused_and_trusts_nobody(folder, text):
    path = folder / "p.toml"
    path.write_text(text.replace("{key}", "[[keys]]\nsigner = 'a'\nfile = 'ana.pub'"))
    with pytest.raises((ConfigError, UsageError)):
        read_trust(path)


def test_a_folder_without_keys_is_no_policy(tmp_path):
    with pytest.raises(ConfigError, match="There is no key in"):
        read_trust(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trust(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    "text",
    ["{key}\nrevoked = ''", "{key}\nrevoked = ' '", "{key}\nfrom = 0001-01-01T00:00:00+02:00",
     "{key}\nuntil = 9999-12-31T23:59:59-02:00", "signatures = " + "1" * 5000 + "\n{key}",
     "more = " + "[" * 5000 + "]" * 5000],
    ids=["blank", "a space", "before the years", "after them", "a long number", "deep"],
)  # fmt: skip
def test_a_policy_that_python_cannot_take_is_refused_in_words(folder, text):
    path = folder / "p.toml"
    path.write_text(text.replace("{key}", "[[keys]]\nsigner = 'a'\nfile = 'ana.pub'"))
    with pytest.raises(ConfigError) as caught:
        read_trust(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(("said", "why"), [("true", "revoked"), ("'lost'", "lost"), ("false", "")])
def test_a_key_is_revoked_by_a_reason_or_by_true(folder, said, why):
    (folder / "p.toml").write_text(f"[[keys]]\nsigner = 'a'\nfile = 'ana.pub'\nrevoked = {said}\n")
    assert read_trust(folder / "p.toml").keys[0].revoked == why


def test_a_folder_whose_policy_is_gone_does_not_trust_every_key(folder):
    (folder / "trust.toml").symlink_to(folder / "gone" / "trust.toml")
    with pytest.raises(ConfigError, match=r"trust\.toml cannot be read"):
        read_trust(folder)
    (folder / "trust.toml").unlink()
    (folder / "trust.toml").mkdir()
    with pytest.raises(ConfigError, match=r"trust\.toml cannot be read"):
        read_trust(folder)


@pytest.mark.parametrize("name", ["policy.toml", "Trust.toml", "trust.TOML", ".toml.toml"])
def test_a_folder_with_a_policy_under_another_name_is_refused(folder, name):
    (folder / name).write_text("signatures = 2")
    with pytest.raises(ConfigError, match="would not be read") as caught:
        read_trust(folder)
    assert "trust.toml" in caught.value.hint


def test_a_key_file_that_is_gone_is_named(folder):
    (folder / "p.toml").write_text("[[keys]]\nsigner = 'a'\nfile = 'gone.pub'\n")
    for path in (folder / "p.toml", folder / "gone.pub"):
        with pytest.raises(ConfigError) as caught:
            read_trust(path)
        assert f"{folder / 'gone.pub'} cannot be read" in caught.value.message


def test_no_key_of_a_folder_is_dropped_in_silence(tmp_path):
    for number in range(256):
        (tmp_path / f"{number}.pub").write_bytes(ANA.public.pem())
    assert len(read_trust(tmp_path).keys) == 256
    (tmp_path / "last.pub").write_bytes(BOB.public.pem())
    with pytest.raises(ConfigError, match="more than 256"):
        read_trust(tmp_path)


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("AWEIGH_TRUST", raising=False)

    def call(*arguments):
        code = main([str(one) for one in arguments])
        return code, *capsys.readouterr()

    yield call
    os.environ.pop("AWEIGH_TRUST", None)  # told to the processes that a command would start


def test_from_a_key_to_a_bundle_that_is_known_to_be_somebodys(run, write, files, monkeypatch):
    path = write(files)
    code, out, _ = run("keygen", "ana")
    assert code == 0
    assert out.splitlines()[-1] == "  next      aweigh sign BUNDLE --key ana.key"
    code, out, _ = run("sign", path, "--key", "ana.key")
    assert (code, out.splitlines()[-1]) == (0, f"  next      aweigh verify {path} --trust ana.pub")
    code, out, _ = run("verify", path, "--trust", "ana.pub", "--json")
    assert [one["name"] for one in json.loads(out)["signers"]] == ["ana"]
    monkeypatch.delenv("AWEIGH_TRUST")
    assert "by key" in run("inspect", path)[1]
    assert run("keygen", "bob")[0] == 0
    code, _, err = run("verify", path, "--trust", "bob.pub")
    assert (code, "nobody trusted here has signed it" in err) == (3, True)
    monkeypatch.delenv("AWEIGH_TRUST")
    assert run("sign", path, "--key", "bob.key")[0] == 0
    assert run("verify", path, "--trust", "ana.pub")[0] == 0, "the first signature stays"
    assert run("sign", path, "--remove")[0] == 0
    assert run("verify", path, "--trust", "ana.pub")[0] == 3
    assert run("keygen", "ana")[0] == 2, "never written over"


def test_a_damaged_bundle_is_not_signed(run, files, tmp_path):
    write_folder(files, tmp_path / "b")
    (tmp_path / "b" / "card.md").write_text("another")
    code, _, err = run("sign", "b")
    assert (code, "card.md" in err) == (3, True)
    assert not (tmp_path / "b" / "signature.json").exists()
