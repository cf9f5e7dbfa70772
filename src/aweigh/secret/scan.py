"""Finds secrets in text that is about to be given away: keys and tokens by their form, passwords by where they stand.

Three ways together: forms that providers document for their own tokens, addresses and assignments that hold a password,
and the very values of this environment's own secrets. A find names its line and its kind, and never the secret.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aweigh.secret.read import FILE, password_of

LEAST_OWN = 8
"""A shorter value of the environment stands in many a text that has nothing to do with it."""

LEAST_BITS = 2.8
"""Shannon's entropy of a password's characters, a character: words and placeholders mostly have less."""

PASSED = re.compile(r"aweigh: no secret \(.{3,}\)")
"""What the owner writes at the end of a line of code that holds something which only looks like a secret, and why."""


@dataclass(frozen=True, slots=True)
class Find:
    """A secret in a text: its line, counted from 1, and what it is."""

    line: int
    kind: str


_TOKENS: dict[str, str] = {
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{20,}|minisign encrypted secret key",
    "an AWS access key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b(?<!EXAMPLE)",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{40,}\b",
    "a GitLab token": r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_\-]{20,}",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}|\bxapp-\d-[A-Za-z0-9\-]{10,}",
    "a webhook's address": r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,}"
    r"|discord(?:app)?\.com/api/webhooks/\d+/[A-Za-z0-9_\-]{20,}|\.webhook\.office\.com/webhookb2/\S{20,}",
    "a Stripe key": r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}\b|\bwhsec_[A-Za-z0-9+/=]{24,}",
    "an API key": r"\bsk-(?:[a-z]+[\d]*-)*[A-Za-z0-9_\-]{32,}|\bgsk_[A-Za-z0-9]{40,}\b|\br8_[A-Za-z0-9]{30,}\b"
    r"|\bpplx-[A-Za-z0-9]{40,}\b|\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}\b",
    "a Google key": r"\bAIza[0-9A-Za-z_\-]{35}(?![0-9A-Za-z_\-])|\bGOCSPX-[A-Za-z0-9_\-]{28}"
    r"|\bya29\.[A-Za-z0-9_\-]{20,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{34,}\b|\bapi_org_[A-Za-z0-9]{34}\b",
    "a package index's token": r"\bpypi-AgE[A-Za-z0-9_\-]{50,}|\bnpm_[A-Za-z0-9]{36}\b|\brubygems_[a-f0-9]{48}\b"
    r"|\bcio[A-Za-z0-9]{32}\b|\bdckr_pat_[A-Za-z0-9_\-]{20,}|\boy2[a-z0-9]{43}\b",
    "a Heroku key": r"\bHRKU-[A-Za-z0-9_\-]{30,}",
    "a cloud token": r"\bdo[oprt]_v1_[a-f0-9]{64}\b|\bhvs\.[A-Za-z0-9_\-]{24,}|\bfo1_[A-Za-z0-9_\-]{30,}"
    r"|\bFlyV1 fm\d_\S{20,}|\bdapi[a-f0-9]{32}\b|\bnfp_[A-Za-z0-9]{36,}\b|\bsbp_[a-f0-9]{40}\b|\brnd_[A-Za-z0-9]{28,}\b"
    r"|\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-]{60,}|\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_\-.]{32,}"
    r"|\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9.\-_]{30,}|\bpul-[a-f0-9]{40}\b",
    "an Azure key": r"(?i:\bAccountKey|\bSharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}"
    r"|[?&]sv=\d{4}-\d\d-\d\d&\S*sig=[A-Za-z0-9%+/]{30,}",
    "a mail service's key": r"\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{30,}|\bkey-[a-f0-9]{32}\b"
    r"|\b[a-f0-9]{32}-us\d{1,2}\b|\bxkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}\b|\bre_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}\b",
    "a chat bot's token": r"\b\d{8,10}:AA[A-Za-z0-9_\-]{33}(?![A-Za-z0-9_\-])"
    r"|\b[MNO][A-Za-z0-9_\-]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,}",
    "a Twilio key": r"\bSK[a-f0-9]{32}\b",
    "a service's token": r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b|\bglsa_[A-Za-z0-9]{32}_[a-f0-9]{8}\b|\bglc_eyJ\S{30,}"
    r"|\bNRAK-[A-Z0-9]{27}\b|\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b|\blin_api_[A-Za-z0-9]{40}\b|\bsntry[su]_\S{30,}"
    r"|\bsq0(?:atp|csp)-[A-Za-z0-9_\-]{22,}|\bEAAA[A-Za-z0-9_\-]{60}\b|\bntn_[A-Za-z0-9]{40,}\b|\bfigd_[A-Za-z0-9_\-]{40,}"
    r"|\bATATT3[A-Za-z0-9_\-=]{100,}|\bATBB[A-Za-z0-9]{32}\b|\bCCIPAT_[A-Za-z0-9_]{40,}\b|\bbkua_[a-f0-9]{40}\b"
    r"|\bdd[ap]_[A-Za-z0-9]{34,}\b",
    "a signed token": r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}",
}
"""Forms of tokens as their providers write them, by what each is called in a message."""

_KINDS = list(_TOKENS)
_TOKEN = re.compile("|".join(f"(?P<k{i}>{pattern})" for i, pattern in enumerate(_TOKENS.values())))
_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.\-]{1,30}://[^\s/:@'\"<>]{0,200}:(?P<value>[^\s/@'\"<>]{1,200})@[^\s'\"<>]")
_NAMES = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret(?:[_\-]?(?:access[_\-]?)?key)?|(?:auth|access|refresh|bearer|api)?[_\-]?token"
    r"|(?:api|access|private|signing|encryption|master|account|client)[_\-]?(?:key|secret)|credentials?"
)
_ASSIGNED = re.compile(
    rf"(?i)(?<![A-Za-z0-9])(?:[A-Za-z0-9]+[_\-.])*(?:{_NAMES})(?:[_\-][A-Za-z0-9]+)?[\"']?\]?\s*"
    r"(?::\s*(?:str|bytes|\"str\")\s*=|:=|=>|=|:)\s*[rbf]{0,2}"
    r"(?:\"(?P<double>[^\"\n]{6,400})\"|'(?P<single>[^'\n]{6,400})'|(?P<bare>[^\s\"'(){}\[\],;#]{8,400}))"
)
_BEARER = re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<value>[A-Za-z0-9+/_.=\-]{20,})")
_PLACEHOLDER = re.compile(
    r"(?i)^[<\[{$%]|[>\]}%]$|\*{3,}|\.{3}|x{4,}|0{6,}|1234567|change.?me|example|placeholder|your|dummy|sample|redacted"
    r"|replace|insert|todo|none|null|true|false|secret$|password$|^env[:.]|^os\.|getenv|environ|^/|^\./|^~|^https?://|\s"
)
_CODE = (".py", ".pyi", ".js", ".ts", ".sh")
_NUMBER = re.compile(r"[+-]?[\d.,]+(?:[eE][+-]?\d+)?\Z", re.ASCII)
_WORDY = re.compile(r"[a-z]+(?:[_\-. ][a-z]+)*\Z", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSW(?:OR)?D|PASSPHRASE|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL|_KEY\Z|_PAT\Z|_PWD\Z|\APGPASS"
    r"|_DSN\Z"
)
_ADDRESS_NAME = re.compile(r"_URL\Z|_URI\Z|_DSN\Z|_PROXY\Z", re.IGNORECASE)
_NO_VALUE = re.compile(r"(?i)(?:true|false|yes|no|none|null|on|off|\d{1,9}|[./~].*|[a-z]+)\Z")


def find_secrets(text: str, *, name: str = "", own: Mapping[str, str] | None = None) -> list[Find]:
    """The secrets in a text, in the order of their lines; ``name`` is its file's, ``own`` those of ``own_secrets``.

    In code a bare word behind ``token =`` is an expression, and no secret; elsewhere it may be one.
    """
    found: dict[tuple[int, str], None] = {}
    starts = _Lines(text)
    for position, kind, passable in _all(text, code=name.endswith(_CODE), own=own or {}):
        line = starts.of(position)
        if passable and PASSED.search(starts.text(line)):
            continue
        found[line, kind] = None
    return [Find(line, kind) for line, kind in sorted(found)]


def own_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """What in an environment is secret by its variable's name, and passwords within addresses: value to variable."""
    found: dict[str, str] = {}
    for name, value in environ.items():
        text = value.strip()
        password = password_of(text) if _ADDRESS_NAME.search(name) or "://" in text else None
        if password is not None and len(password) >= LEAST_OWN:
            found[password] = name
        secret = _SECRET_NAME.search(name.upper()) and not name.upper().endswith((FILE, "_PATH", "_DIR", "_NAME"))
        if secret and len(text) >= LEAST_OWN and not _NO_VALUE.match(text):
            found[text] = name
    return found


def _all(text: str, *, code: bool, own: Mapping[str, str]) -> Iterator[tuple[int, str, bool]]:
    """Where a secret stands, what it is, and whether the owner may say that it is none."""
    for value, variable in own.items():
        at = text.find(value)
        if at >= 0:
            yield at, f"the value of this environment's {variable}", False
    for match in _TOKEN.finditer(text):
        kind = _KINDS[int(str(match.lastgroup)[1:])]
        if not _PLACEHOLDER_TOKEN.search(match[0]):
            yield match.start(), kind, kind != "a private key"
    for match in _URL.finditer(text):
        if not _PLACEHOLDER.search(match["value"]) and match["value"].lower() not in _NO_PASSWORDS:
            yield match.start(), "an address with a password", True
    for match in _ASSIGNED.finditer(text):
        value = match["double"] or match["single"] or ("" if code else match["bare"]) or ""
        if _is_dense(value.rstrip(".,")):
            yield match.start(), "a password or key that is assigned", True
    for match in _BEARER.finditer(text):
        if _is_dense(match["value"]):
            yield match.start(), "a header with credentials", True


_PLACEHOLDER_TOKEN = re.compile(r"(?i)example|x{8,}|0{10,}|your[_\-]")
_NO_PASSWORDS = frozenset({"password", "pass", "passwd", "secret", "pw", "pwd", "p", "hunter2", "token", "key"})


def _is_dense(value: str) -> bool:
    """Whether text is as random as passwords are, and no word, path, placeholder or expression."""
    if len(value) < LEAST_OWN or _PLACEHOLDER.search(value) or _WORDY.match(value) or _NUMBER.match(value):
        return False
    classes = sum(bool(re.search(one, value)) for one in (r"[a-z]", r"[A-Z]", r"\d", r"[^A-Za-z0-9]"))
    counts = Counter(value)
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    # Words that are put together with digits or signs, customer_id_2, are no passwords; a random tail is.
    digits = sum(one.isdigit() for one in value)
    return classes >= 2 and bits >= LEAST_BITS and (digits >= 2 or (classes >= 3 and bits >= LEAST_BITS + 0.4))


class _Lines:
    """A text by its lines, counted from 1."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, position: int) -> int:
        """The line of a position."""
        return self._text.count("\n", 0, position) + 1

    def text(self, line: int) -> str:
        """A line."""
        return self._text.split("\n", line)[line - 1]
