"""Forms of personal data in one cell: e-mail, phone, IBAN, payment card, SSN, network address, a person's page.

A form that has a checksum is believed only with it: ISO 13616 (IBAN, modulo 97), ISO/IEC 7812 (cards, Luhn). Phones are
E.164 and the usual ways of writing national numbers; SSNs leave out what the SSA never gives (areas 000, 666, 9xx).
"""

import ipaddress
import re
from collections.abc import Callable

from aweigh.schema.personal_words import Kind

_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
_EMAIL = re.compile(rf"(?:mailto:)?{_LOCAL}@{_DOMAIN}", re.ASCII)
_SSN = re.compile(r"(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}", re.ASCII)
_IBAN = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?", re.ASCII)
_CARD = re.compile(r"(?:\d[ \-]?){12,18}\d", re.ASCII)
_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}[:\-]){5}[0-9A-Fa-f]{2}", re.ASCII)
_LINK = re.compile(
    r"[a-z][a-z0-9+.\-]*://(?:[^/\s@:]+(?::[^/\s@]*)?@[^/\s]+"
    r"|[^/\s]+/(?:(?:~|@)[\w.\-]+|(?:u|user|users|profile|profiles|people|member|members|in|author)/[\w.\-%]+)"
    r"|[^\s]*[?&](?:user|username|user_id|userid|uid|email|account|customer)=[^&\s]+)\S*",
    re.IGNORECASE,
)
_PHONE = re.compile(
    r"(?:\+|00)[1-9](?:[ .\-/]?\(?\d{1,4}\)?){2,7}"  # with its country
    r"|(?:1[ .\-])?\([2-9]\d{2}\) ?[2-9]\d{2}[ .\-]\d{4}|(?:1[ .\-])?[2-9]\d{2}([ .\-])[2-9]\d{2}\1\d{4}"  # of NANP
    r"|\(?0[1-9]\d{0,3}\)?(?:[ .\-/]\d{2,8}){1,5}",  # behind a trunk prefix
    re.ASCII,
)
_DATED = re.compile(
    r"\d{4}[.\-/]\d\d?[.\-/]\d\d?|\d\d?[.\-/]\d\d?[.\-/](?:\d{4}|\d\d)|\d{1,3}(?:\.\d{1,3}){3}", re.ASCII
)
LEAST_PHONE, MOST_PHONE = 8, 15
"""Digits of a phone number: E.164 allows 15; fewer than 8, with its code, are a house's own number."""
COMMON_OCTET = 100
"""A version such as 2.10.0.7 has no number of three digits, and nearly every address has one."""
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "ES": 24, "FI": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24,
    "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29,
    "XK": 20,
}  # fmt: skip
"""Characters of an IBAN by its country (ISO 13616 registry)."""
_CARDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01]|720)\d{12,13}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|6(?:011|5\d\d)\d{12}|35\d{14}|62\d{14,17}",
    re.ASCII,
)


def is_email(text: str) -> bool:
    """Whether the text is one e-mail address."""
    return _EMAIL.fullmatch(text) is not None


def is_ssn(text: str) -> bool:
    """Whether the text is a social security number of the United States, with its hyphens."""
    return _SSN.fullmatch(text) is not None


def is_iban(text: str) -> bool:
    """Whether the text is an IBAN: its country's length, and the remainder of modulo 97."""
    packed = text.replace(" ", "").upper()
    if IBAN_LENGTHS.get(packed[:2]) != len(packed) or not packed.isalnum() or not packed.isascii():
        return False
    return int("".join(str(int(one, 36)) for one in packed[4:] + packed[:4])) % 97 == 1


def is_card(text: str) -> bool:
    """Whether the text is a payment card's number: an issuer's prefix, its length, and Luhn's sum."""
    digits = text.replace(" ", "").replace("-", "")
    return _CARDS.fullmatch(digits) is not None and luhn(digits)


def luhn(digits: str) -> bool:
    """Whether the digits' sum by Luhn is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, one in enumerate(reversed(digits)):
        doubled = int(one) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def is_network(text: str) -> bool:
    """Whether the text is an IP address and no version number, or a MAC address."""
    if _MAC.fullmatch(text):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.version == 6 or max(address.packed) >= COMMON_OCTET


def is_link(text: str) -> bool:
    """Whether the text is an address of the web that names a person."""
    return _LINK.fullmatch(text) is not None


def is_phone(text: str) -> bool:
    """Whether the text is a phone number as people write it, and no date."""
    if not _PHONE.fullmatch(text) or _DATED.fullmatch(text):
        return False
    return LEAST_PHONE <= sum(one.isdigit() for one in text) <= MOST_PHONE


FORMS: dict[Kind, Callable[[str], bool]] = {
    "email": is_email,
    "bank": is_iban,
    "national": is_ssn,
    "card": is_card,
    "network": is_network,
    "link": is_link,
    "phone": is_phone,
}
"""Whether a whole cell is one, the sure ones first."""

_WITHIN: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (re.compile(rf"(?<![\w.]){_EMAIL.pattern}", re.ASCII), is_email),
    (re.compile(rf"(?<![\w\-]){_SSN.pattern}(?![\w\-])", re.ASCII), is_ssn),
    (re.compile(rf"(?<!\w){_IBAN.pattern}(?!\w)", re.ASCII), is_iban),
    (re.compile(rf"(?<![\w\-.]){_CARD.pattern}(?![\w\-]|\.\d)", re.ASCII), is_card),
    (re.compile(r"(?<![\w.])\+[1-9](?:[ .\-/]?\(?\d{1,4}\)?){2,7}(?!\w)", re.ASCII), is_phone),
)
MOST_SEARCHED = 2_000


def holds_one(text: str) -> bool:
    """Whether somewhere in the text there is an e-mail address, a phone with its country, an IBAN, a card or an SSN."""
    text = text[:MOST_SEARCHED]
    return any(check(match[0].strip()) for pattern, check in _WITHIN for match in pattern.finditer(text))
