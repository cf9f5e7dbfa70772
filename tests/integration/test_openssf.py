"""Signatures of the OpenSSF's model signing: its tool takes ours, we take its, and nobody takes what was changed."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys

import msgspec
import pandas as pd
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.partly import partly_slow

from aweigh import pack
from aweigh.__main__ import main
from aweigh.bundle.build import assemble
from aweigh.bundle.dsse import pae
from aweigh.bundle.ec import EcPrivateKey, make_ec_key, read_ec_private, read_ec_public
from aweigh.bundle.files import write_folder
from aweigh.bundle.keys import make_key, write_private
from aweigh.bundle.openssf import (
    MAX_OPENSSF_BYTES,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    check_files,
    file_digests,
    sign_files,
    signed_files,
)
from aweigh.bundle.verify import open_bundle
from aweigh.errors import UntrustedBundle
from aweigh.secret import Secret

ANA, EVE = make_ec_key("p256"), make_ec_key("p256")
FORMS = ["archive", "folder"]
OTHER_FILES = "is of other files than these"
OTHER_KEY = "is not of this key"
NONE = "is no OpenSSF signature of version 1.0"


def tool(*arguments, code=0):
    """Run the OpenSSF's own tool."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def write_keys(folder, name, key):
    write_private(key, folder / f"{name}.key")
    (folder / f"{name}.pub").write_bytes(key.public.pem())


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Return a real bundle as one file."""
    from sklearn.linear_model import LinearRegression

    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 6.5]})
    model = LinearRegression().fit(frame[["x"]], frame["y"])
    return pack(model, frame, target="y", name="line", output=tmp_path_factory.mktemp("packed")).path


def unpack(path, folder):
    bundle = open_bundle(path)
    write_folder({name: member.read() for name, member in bundle.members.items()}, folder)


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


@pytest.fixture
def bundle(form, packed, tmp_path):
    """Return a copy of the bundle, in one of its forms, beside the keys of Ana and Eve."""
    for name, key in (("ana", ANA), ("eve", EVE)):
        write_keys(tmp_path, name, key)
    if form == "archive":
        return shutil.copy(packed, tmp_path / "line.aweigh")
    unpack(packed, tmp_path / "line")
    return tmp_path / "line"


@pytest.fixture
def place(form, tmp_path):
    """Return where the signature of the bundle lies unless told otherwise."""
    return tmp_path / {"archive": "line.aweigh.sig", "folder": "model.sig"}[form]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "config"))

    def call(*arguments, code=0):
        found = main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        assert found == code, out + err
        return out + err

    yield call
    os.environ.pop("AWEIGH_TRUST", None)


@pytest.fixture
def signed(run, bundle, place):
    """Return the bundle with Ana's signature, made by us, beside it."""
    run("sign", bundle, "--format", "openssf", "--key", "ana.key")
    assert place.exists()
    return bundle


def check(run, bundle, *more, key="ana.pub", code=0):
    return run("verify", bundle, "--format", "openssf", "--key", key, *more, code=code)


# -- both tools ------------------------------------------------------------------------------------------------------


@pytest.mark.needs("model-signing")
@pytest.mark.parametrize("kind", partly_slow("p256", slow=["p384"]))
@pytest.mark.parametrize("form", partly_slow("archive", slow=["folder"]), indirect=True)
def test_their_tool_takes_what_we_sign_and_nothing_else(run, bundle, place, kind):
    run("keygen", "release", "--type", kind)
    run("sign", bundle, "--format", "openssf", "--key", "release.key")
    asked = ["verify", "key", bundle, "--signature", place, "--public_key"]
    assert "Verification succeeded" in tool(*asked, "release.pub").stdout
    assert "Key mismatch" in tool(*asked, "ana.pub", code=1).stderr
    spoil(bundle)
    assert "Signature mismatch" in tool(*asked, "release.pub", code=1).stderr


@pytest.mark.needs("model-signing")
@pytest.mark.parametrize(
    "curve", partly_slow(ec.SECP256R1, slow=[ec.SECP384R1, ec.SECP521R1]), ids=lambda one: one.name
)
def test_we_take_what_their_tool_signs_and_nothing_else(run, bundle, tmp_path, curve):
    write_keys(tmp_path, "release", EcPrivateKey(ec.generate_private_key(curve())))
    tool("sign", "key", bundle, "--signature", "their.sig", "--private_key", "release.key")
    more = ["--signature", "their.sig"]
    assert "every file is signed by the key" in check(run, bundle, *more, key="release.pub")
    assert OTHER_KEY in check(run, bundle, *more, key="ana.pub", code=3)
    spoil(bundle)
    assert OTHER_FILES in check(run, bundle, *more, key="release.pub", code=3)


@pytest.mark.needs("model-signing")
def test_what_we_sign_is_what_their_tool_signs_but_for_paths_that_it_passes_over(run, tmp_path):
    """The order of the files too, which the digest over all of them depends on."""
    run("keygen", "release", "--type", "p256")
    for name in ("a/b", "a/b.c", "a-b/c", "a.b", "B", "ü/x", "a/ü"):
        (tmp_path / "any" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "any" / name).write_text(name)
    tool("sign", "key", "any", "--signature", "their.sig", "--private_key", "release.key")
    theirs = json.loads((tmp_path / "their.sig").read_text())
    ours = json.loads(sign_files("any", file_digests(tmp_path / "any"), read_ec_private(tmp_path / "release.key")))
    statements = [json.loads(base64.b64decode(one["dsseEnvelope"].pop("payload"))) for one in (ours, theirs)]
    passed_over = statements[1]["predicate"]["serialization"].pop("ignore_paths")
    assert statements[0] == statements[1]
    assert sorted(passed_over) == [".git", ".gitattributes", ".github", ".gitignore"]
    for one in (ours, theirs):
        assert len(base64.b64decode(one["dsseEnvelope"]["signatures"][0].pop("sig"))) > 64
    assert ours == theirs, "the same parts around it"


@pytest.mark.needs("model-signing")
@pytest.mark.parametrize("form", ["folder"], indirect=True)
def test_a_file_that_their_tool_was_told_to_pass_over_is_not_passed_over(run, bundle):
    tool(
        "sign", "key", bundle, "--signature", "their.sig", "--private_key", "ana.key",
        "--ignore-paths", bundle / "card.md",
    )  # fmt: skip
    (bundle / "card.md").write_text("another card")
    tool("verify", "key", bundle, "--signature", "their.sig", "--public_key", "ana.pub")
    assert OTHER_FILES in check(run, bundle, "--signature", "their.sig", code=3)


# -- what was changed ------------------------------------------------------------------------------------------------


def spoil(bundle):
    """Change one byte of the bundle, in the middle of a file."""
    path = bundle / "card.md" if bundle.is_dir() else bundle
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_signing_leaves_the_bundle_as_it_is_and_is_told_in_one_document(run, bundle, place):
    before = file_digests(bundle)
    told = json.loads(run("sign", bundle, "--format", "openssf", "--key", "ana.key", "--json"))
    assert told == {
        "path": str(bundle), "digest": open_bundle(bundle).digest, "keyid": ANA.public.keyid, "signature": str(place),
    }  # fmt: skip
    assert file_digests(bundle) == before
    found = json.loads(check(run, bundle, "--json"))
    assert found["openssf"] == {"keyid": ANA.public.keyid, "signature": str(place)}
    assert "openssf" not in json.loads(run("verify", bundle, "--json"))


def test_what_sign_says_comes_next_succeeds(run, bundle):
    for more in ([], ["--signature", "my own.sig"]):
        told = run("sign", bundle, "--format", "openssf", "--key", "ana.key", *more)
        command = told.splitlines()[-1].partition("aweigh ")[2]
        where = " --signature 'my own.sig'" if more else ""
        assert command == f"verify {bundle} --format openssf{where} --key ana.pub"
        check(run, bundle, *more)


def test_a_changed_byte_is_found(run, signed):
    spoil(signed)
    assert OTHER_FILES in check(run, signed, code=3)


@pytest.mark.parametrize("form", ["folder"], indirect=True)
@pytest.mark.parametrize("change", ["added", "hidden", "removed", "renamed", "moved", "link", "signature"])
def test_a_file_more_or_less_in_a_folder_is_found(run, signed, tmp_path, change):
    card, hidden = signed / "card.md", signed / ".git"
    if change == "added":
        (signed / "more.txt").write_text("more")
    elif change == "hidden":  # what their tool passes over
        hidden.mkdir()
        (hidden / "more.txt").write_text("more")
    elif change == "removed":
        card.unlink()
    elif change == "renamed":
        card.rename(signed / "Card.md")
    elif change == "moved":
        card.rename(signed / "model" / "card.md")
    elif change == "link":
        shutil.copy(card, tmp_path / "card.md")
        card.unlink()
        card.symlink_to(tmp_path / "card.md")
    else:
        run("sign", signed)
    told = check(run, signed, code=3)
    assert ("holds a link" if change == "link" else OTHER_FILES) in told


@pytest.mark.parametrize("form", partly_slow("archive", slow=["folder"]), indirect=True)
def test_another_whole_bundle_is_not_what_was_signed(run, signed, tmp_path, form):
    """It would pass every check of its own manifest."""
    from sklearn.linear_model import LinearRegression

    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 6.6]})
    model = LinearRegression().fit(frame[["x"]], frame["y"])
    other = pack(model, frame, target="y", name="line", output=tmp_path / "other")
    if form == "archive":
        shutil.copy(other.path, signed)
    else:
        shutil.rmtree(signed)
        unpack(other.path, signed)
    run("verify", signed)
    assert OTHER_FILES in check(run, signed, code=3)


def test_the_same_files_in_the_other_form_are_another_model(run, signed, packed, place, tmp_path, form):
    if form == "archive":
        unpack(packed, tmp_path / "other")
    else:
        shutil.copy(packed, tmp_path / "other")
    assert OTHER_FILES in check(run, tmp_path / "other", "--signature", place, code=3)


def test_another_key_is_refused(run, signed):
    assert OTHER_KEY in check(run, signed, key="eve.pub", code=3)


def test_a_bundle_may_bear_both_signatures_when_this_one_is_made_last(run, bundle, place):
    run("keygen", "own")
    run("sign", bundle, "--key", "own.key")
    run("sign", bundle, "--format", "openssf", "--key", "ana.key")
    told = check(run, bundle, "--trust", "own.pub")
    assert "by own (key" in told
    assert "every file is signed by the key" in told
    run("sign", bundle, "--remove")
    assert OTHER_FILES in check(run, bundle, code=3)


@pytest.mark.parametrize("form", ["folder"], indirect=True)
def test_it_lets_no_code_run(run, bundle, tmp_path):
    whole = open_bundle(bundle)
    parts = {name: whole.read(name) for name in whole.manifest.files} | {"app.py": b"x = 1\n"}
    write_folder(assemble(parts, msgspec.structs.replace(whole.manifest, code=True, files={})), tmp_path / "coded")
    run("sign", "coded", "--format", "openssf", "--key", "ana.key")
    assert "you have not signed it" in check(run, "coded", code=3)


def refused(content, why, *, digests=None, key=ANA):
    with pytest.raises(UntrustedBundle) as caught:
        check_files(content, DIGESTS if digests is None else digests, key.public)
    assert why in caught.value.message
    assert caught.value.exit_code == 3
    return caught.value.message


DIGESTS = {"card.md": hashlib.sha256(b"card").hexdigest(), "model/model.onnx": hashlib.sha256(b"model").hexdigest()}
GOOD = sign_files("line", DIGESTS, ANA)


def changed(*path, to):
    """Return the good signature with one part of its document changed, or left out (...)."""
    document = json.loads(GOOD)
    at = part(document, path[:-1])
    if to is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = to(at[path[-1]]) if callable(to) else to
    return json.dumps(document).encode()


def part(document, path):
    for step in path:
        document = document[step]
    return document


def payload_of(content):
    return base64.b64decode(json.loads(content)[ENVELOPE]["payload"])


def swapped_payload(text):
    return base64.b64encode(base64.b64decode(text).replace(DIGESTS["card.md"].encode(), b"0" * 64)).decode()


def one_bit(text):
    content = bytearray(base64.b64decode(text))
    content[20] ^= 1
    return base64.b64encode(content).decode()


ENVELOPE = "dsseEnvelope"
SIGNATURE = (ENVELOPE, "signatures", 0)
OTHER = json.loads(sign_files("line", DIGESTS | {"more": "0" * 64}, ANA))["dsseEnvelope"]["signatures"][0]["sig"]
OF_EVE = json.loads(sign_files("line", DIGESTS, EVE))


def test_the_signature_as_it_was_made_is_taken():
    check_files(GOOD, DIGESTS, ANA.public)
    assert signed_files(GOOD, ANA.public) == DIGESTS
    check_files(changed("mediaType", to=lambda same: same), DIGESTS, ANA.public)


CHANGES = {
    "the payload": ((ENVELOPE, "payload"), swapped_payload, OTHER_KEY),
    "no payload": ((ENVELOPE, "payload"), "", OTHER_KEY),
    "a payload that is no base64": ((ENVELOPE, "payload"), lambda text: text[:-1] + "!", NONE),
    "a payload with a line break": ((ENVELOPE, "payload"), lambda text: text + "\n", NONE),
    "the signature of other files": ((*SIGNATURE, "sig"), OTHER, OTHER_KEY),
    "the signature of another key": ((*SIGNATURE, "sig"), OF_EVE[ENVELOPE]["signatures"][0]["sig"], OTHER_KEY),
    "no signature": ((*SIGNATURE, "sig"), "", OTHER_KEY),
    "a bit of the signature": ((*SIGNATURE, "sig"), one_bit, OTHER_KEY),
    "signatures": ((ENVELOPE, "signatures"), [], NONE),
    "two signatures": ((ENVELOPE, "signatures"), lambda one: one * 2, NONE),
    "a name for the key": ((*SIGNATURE, "keyid"), ANA.public.keyid, NONE),
    "the payload's type": ((ENVELOPE, "payloadType"), "application/vnd.aweigh.bundle.v1+json", NONE),
    "the payload's type left out": ((ENVELOPE, "payloadType"), ..., NONE),
    "the media type": (("mediaType",), "application/vnd.dev.sigstore.bundle+json;version=0.2", NONE),
    "the media type's newer version": (("mediaType",), "application/vnd.dev.sigstore.bundle.v0.4+json", NONE),
    "the media type left out": (("mediaType",), ..., NONE),
    "whose key": (("verificationMaterial", "publicKey", "hint"), EVE.public.keyid, OTHER_KEY),
    "whose key left out": (("verificationMaterial", "publicKey", "hint"), ..., NONE),
    "whose key null": (("verificationMaterial", "publicKey", "hint"), None, NONE),
    "a key that it brings itself": (("verificationMaterial", "publicKey", "rawBytes"), "AAAA", NONE),
    "a certificate": (("verificationMaterial", "certificate"), {"rawBytes": "AAAA"}, NONE),
    "an entry of a log": (("verificationMaterial", "tlogEntries"), [{}], NONE),
    "one more part": (("more",), 1, NONE),
    "two kinds of content": (("messageSignature",), {"signature": "AAAA"}, NONE),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_signature_is_refused(change):
    path, to, why = CHANGES[change]
    content = changed(*path, to=to)
    assert json.loads(content) != json.loads(GOOD)
    refused(content, why)
    refused(json.dumps(OF_EVE).encode(), OTHER_KEY)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"null", b"\xff", GOOD[:-1], GOOD + b"{}", b"[" * 100_000, GOOD.decode().encode("utf-16"),
        GOOD.replace(b'{"mediaType"', b'{"mediaType":"x","mediaType"', 1),
        GOOD.replace(b'"keyid":""', b'"keyid":"","keyid":""', 1),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_signature_is_told_in_a_sentence(content):
    refused(content, NONE)


def test_a_signature_is_read_up_to_a_bound(run, signed, place):
    place.write_bytes(place.read_bytes() + b" " * MAX_OPENSSF_BYTES)
    assert "larger than 10 MiB" in check(run, signed, code=3)


def test_the_largest_bundle_has_a_signature_within_the_bound():
    names = [f"{number:04}/{'é' * 126}/{'é' * 123}" for number in range(4096)]
    assert max(len(name.encode()) for name in names) > 500
    digests = dict.fromkeys(names, "0" * 64)
    assert signed_files(sign_files("all", digests, ANA), ANA.public) == digests


# -- what the right key has signed, and is something else ------------------------------------------------------------


def forged(change=lambda statement: None, *, payload=None, payload_type=PAYLOAD_TYPE):
    """Return what Ana's own key has signed: the good statement, changed."""
    statement = json.loads(payload_of(GOOD))
    change(statement)
    content = json.dumps(statement).encode() if payload is None else payload
    document = json.loads(GOOD)
    document[ENVELOPE]["payload"] = base64.b64encode(content).decode()
    document[ENVELOPE]["signatures"][0]["sig"] = base64.b64encode(ANA.sign(pae(payload_type, content))).decode()
    return json.dumps(document).encode()


def resources(statement):
    return statement["predicate"]["resources"]


def rooted(change):
    """Change the list of files, and make the digest over all of them anew."""

    def both(statement):
        change(statement)
        whole = b"".join(bytes.fromhex(one["digest"]) for one in resources(statement))
        statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(whole).hexdigest()

    return both


def hashed(**more):
    return lambda statement: statement["predicate"]["serialization"].update(more)


WRONG_FILES = {
    "one left out": rooted(lambda one: resources(one).pop()),
    "one left out and passed over": rooted(
        lambda one: (resources(one).pop(), hashed(ignore_paths=["model/model.onnx", "model"])(one))
    ),
    "none": rooted(lambda one: resources(one).clear()),
    "one more": rooted(lambda one: resources(one).append(resources(one)[0] | {"name": "more"})),
    "another name": rooted(lambda one: resources(one)[0].update(name="./card.md")),
    "another digest": rooted(lambda one: resources(one)[0].update(digest="0" * 64)),
    "each the other's": rooted(
        lambda one: [this.update(digest=digest) for this, digest in zip(
            resources(one), [that["digest"] for that in reversed(resources(one))], strict=True)]
    ),
}  # fmt: skip
NO_STATEMENT = {
    "one twice": rooted(lambda one: resources(one).append(resources(one)[0])),
    "one twice, differently": rooted(lambda one: resources(one).append(resources(one)[0] | {"digest": "0" * 64})),
    "another digest over all": lambda one: one["subject"][0]["digest"].update(sha256="0" * 64),
    "files in another order than was hashed": lambda one: resources(one).reverse(),
    "two subjects": lambda one: one["subject"].append(one["subject"][0]),
    "no subject": lambda one: one["subject"].clear(),
    "another hash": lambda one: resources(one)[0].update(algorithm="blake2b"),
    "another hash for all": hashed(hash_type="blake3"),
    "parts of files": hashed(method="shards", shard_size=1000),
    "a digest in capitals": lambda one: resources(one)[0].update(digest=resources(one)[0]["digest"].upper()),
    "a digest and a line break": lambda one: resources(one)[0].update(digest=resources(one)[0]["digest"] + "\n"),
    "the type before 1.0": lambda one: one.update(predicateType="https://model_signing/Digests/v0.1"),
    "another type": lambda one: one.update(predicateType=PREDICATE_TYPE + ".1"),
    "another statement": lambda one: one.update(_type="https://in-toto.io/Statement/v0.1"),
    "one more part": lambda one: one.update(more=1),
    "no predicate": lambda one: one.pop("predicate"),
}


def test_a_statement_of_the_right_key_is_taken_as_the_standard_has_it():
    """Its version 1.0 lets more stand in the predicate; paths that are passed over change nothing here."""
    for change in (
        lambda _: None,
        hashed(ignore_paths=[".git", "card.md"]),
        hashed(allow_symlinks=True),
        lambda one: one["predicate"].update(more={"a": 1}),
        lambda one: one["subject"][0].update(name="renamed"),
        rooted(lambda one: resources(one).reverse()),
    ):
        check_files(forged(change), DIGESTS, ANA.public)


@pytest.mark.parametrize("change", WRONG_FILES)
def test_a_statement_of_the_right_key_over_other_files_is_refused(change):
    refused(forged(WRONG_FILES[change]), OTHER_FILES)


@pytest.mark.parametrize("change", NO_STATEMENT)
def test_what_the_right_key_signed_and_is_no_such_statement_is_refused(change):
    refused(forged(NO_STATEMENT[change]), NONE)


def test_what_the_right_key_signed_as_something_else_is_refused():
    statement = payload_of(GOOD)
    check_files(forged(payload=statement), DIGESTS, ANA.public)
    refused(forged(payload=statement, payload_type="application/json"), OTHER_KEY)
    refused(forged(payload=statement.replace(b'{\n  "_type"', b'{"_type":"x",  "_type"', 1)), NONE)
    for payload in (b"", b"{}", b"\xff", b"[" * 100_000):
        refused(forged(payload=payload), NONE)


def test_errors_hold_nothing_of_the_signature():
    texts = {refused(forged(lambda one: one.update(more="\x1b[2Jmarker")), NONE)}
    texts |= {refused(forged(rooted(lambda one: resources(one)[0].update(name="marker"))), OTHER_FILES)}
    texts |= {refused(changed("mediaType", to="marker"), NONE)}
    assert not any("marker" in text for text in texts)


# -- keys and options ------------------------------------------------------------------------------------------------


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(("kind", "curve"), [("p256", "prime256v1"), ("p384", "secp384r1")])
def test_keys_are_those_of_openssl_and_its_are_taken(run, tmp_path, kind, curve):
    run("keygen", "ours", "--type", kind)
    assert (tmp_path / "ours.key").stat().st_mode & 0o077 == 0
    text = subprocess.run(["openssl", "pkey", "-in", "ours.key", "-noout", "-text"], capture_output=True, check=True)
    assert curve in text.stdout.decode()
    for command in (
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", "theirs.key"],
        ["openssl", "pkey", "-in", "theirs.key", "-pubout", "-out", "theirs.pub"],
        ["openssl", "dgst", f"-sha{kind[1:]}", "-sign", "theirs.key", "-out", "sig", "theirs.pub"],
    ):
        subprocess.run(command, capture_output=True, check=True)
    (tmp_path / "theirs.key").chmod(0o600)
    public = read_ec_public(tmp_path / "theirs.pub")
    assert read_ec_private(tmp_path / "theirs.key").public == public
    message = (tmp_path / "theirs.pub").read_bytes()
    assert public.keyid == hashlib.sha256(message).hexdigest()
    assert public.verifies((tmp_path / "sig").read_bytes(), message)
    assert not public.verifies((tmp_path / "sig").read_bytes(), message + b"!")


def test_an_encrypted_key_signs_with_its_passphrase(run, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("AWEIGH_KEY_PASSPHRASE", "salt and sea")
    run("keygen", "hidden", "--type", "p256", "--passphrase")
    assert b"ENCRYPTED" in (tmp_path / "hidden.key").read_bytes()
    old = read_ec_private(tmp_path / "hidden.key", passphrase=Secret("salt and sea"))._key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"salt and sea"),
    )
    (tmp_path / "old.key").touch(mode=0o600)
    (tmp_path / "old.key").write_bytes(old)
    for name in ("hidden.key", "old.key"):
        run("sign", bundle, "--format", "openssf", "--key", name, "--signature", f"{name}.sig")
        check(run, bundle, "--signature", f"{name}.sig", key="hidden.pub")
    monkeypatch.setenv("AWEIGH_KEY_PASSPHRASE", "another")
    assert "passphrase is another" in run("sign", bundle, "--format", "openssf", "--key", "hidden.key", code=2)


def test_a_key_of_another_kind_is_refused(run, bundle, tmp_path):
    write_keys(tmp_path, "edwards", make_key())
    write_keys(tmp_path, "koblitz", EcPrivateKey(ec.generate_private_key(ec.SECP256K1())))
    for name in ("edwards", "koblitz"):
        told = run("sign", bundle, "--format", "openssf", "--key", f"{name}.key", code=2)
        assert "of another kind than P-256" in told
        assert "--type p256" in told
        (tmp_path / "any.sig").write_bytes(GOOD)
        told = check(run, bundle, "--signature", "any.sig", key=f"{name}.pub", code=2)
        assert "of another kind than P-256" in told
    assert "of another kind than Ed25519" in run("sign", bundle, "--key", "ana.key", code=2)
    assert "is a private key" in check(run, bundle, "--signature", "any.sig", key="ana.key", code=2)


def test_without_the_package_that_knows_the_curves_the_extra_is_named(run, bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    for command in (
        ["keygen", "release", "--type", "p256"],
        ["sign", bundle, "--format", "openssf", "--key", "ana.key"],
        ["verify", bundle, "--format", "openssf", "--key", "ana.pub"],
    ):
        assert "[openssf]" in run(*command, code=2)


def test_a_key_that_others_may_read_signs_nothing(run, bundle, place, tmp_path):
    (tmp_path / "ana.key").chmod(0o644)
    assert "Others than you may read" in run("sign", bundle, "--format", "openssf", "--key", "ana.key", code=2)
    assert not place.exists()


def test_a_damaged_bundle_is_not_signed(run, bundle, place):
    spoil(bundle)
    run("sign", bundle, "--format", "openssf", "--key", "ana.key", code=3)
    assert not place.exists()


def test_no_signature_is_written_over(run, signed, place):
    before = place.read_bytes()
    assert "there already" in run("sign", signed, "--format", "openssf", "--key", "eve.key", code=2)
    assert place.read_bytes() == before


@pytest.mark.parametrize("form", ["folder"], indirect=True)
@pytest.mark.parametrize("said", ["line", ".", "../line", "line/"])
def test_the_signature_of_a_folder_lies_beside_it_however_it_is_named(run, bundle, place, tmp_path, monkeypatch, said):
    if said in {".", "../line"}:
        monkeypatch.chdir(bundle)
    run("sign", said, "--format", "openssf", "--key", tmp_path / "ana.key")
    assert place.exists()
    check(run, said, key=tmp_path / "ana.pub")
    assert json.loads(payload_of(place.read_bytes()))["subject"][0]["name"] == "line"
    within = bundle / "model" / "model.sig"
    told = run("sign", bundle, "--format", "openssf", "--key", tmp_path / "ana.key", "--signature", within, code=2)
    assert "a file too many" in told
    assert not within.exists()


@pytest.mark.parametrize("form", ["archive"], indirect=True)
def test_options_that_do_not_go_together_are_an_error(run, bundle, tmp_path):
    openssf = ["--format", "openssf"]
    assert "--key NAME.key" in run("sign", bundle, *openssf, code=2)
    assert "--remove" in run("sign", bundle, *openssf, "--key", "ana.key", "--remove", code=2)
    assert "--format openssf" in run("sign", bundle, "--signature", "x.sig", code=2)
    assert "--key NAME.pub" in run("verify", bundle, *openssf, code=2)
    assert "--format openssf" in run("verify", bundle, "--key", "ana.pub", code=2)
    assert "--format openssf" in run("verify", bundle, "--signature", "x.sig", code=2)
    assert "cannot be read" in check(run, bundle, code=2)
    assert "cannot be written" in run("sign", bundle, *openssf, "--key", "ana.key", "--signature", "no/x.sig", code=2)
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix == ".sig") == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are of POSIX")
@pytest.mark.parametrize("form", ["archive"], indirect=True)
def test_a_pipe_holds_nobody_up(run, bundle, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in check(run, bundle, "--signature", "pipe", code=2)
    (tmp_path / "any.sig").write_bytes(GOOD)
    assert "neither a file nor a folder" in check(run, "pipe", "--signature", "any.sig", code=3)
    assert "cannot be read" in check(run, "gone", "--signature", "any.sig", code=3)
