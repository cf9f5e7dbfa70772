"""Which role somebody has whom a provider vouches for: by the claims that it makes, as ``AWEIGH_OIDC_ROLES`` says.

``groups: data=predictor, ops=operator; email: boss@example.org=admin; *=viewer``: whoever is in the group ``ops`` is an
operator, that one person is an administrator, and everybody else whom the provider knows may look. Who fits several has
the highest. Without ``*``, or with ``*=none``, nobody is let in who is not on the list. Values with ``,`` or ``;`` in
them are written as JSON: ``{"groups": {"cn=data,ou=teams": "predictor"}, "*": "none"}``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from aweigh.errors import ConfigError
from aweigh.guard.identity import Role

VARIABLE = "AWEIGH_OIDC_ROLES"
NONE, OTHERS = "none", "*"
MOST_RULES = 1000
_HINT = f"write {VARIABLE}='groups: data=predictor, ops=operator; *=none', or *=viewer for all whom the provider knows"
_CLAIM = re.compile(r"\s*(?P<claim>[^\s=,;]+?)\s*:(?:\s+|(?!//))(?P<values>.+)", re.DOTALL)
_MOST_BITS = 64
"""Of a number that is a claim's value: Python writes none of thousands of digits."""
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,255}@(?P<domain>[^@\s\x00-\x1f\x7f]{1,255})")

Claims = Mapping[str, object]
"""What a provider says of somebody, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who has this value of this claim has this role; None: is not let in by it."""

    claim: str
    value: str
    role: Role


@dataclass(frozen=True, slots=True)
class Roles:
    """The rules, and the role of whom none of them names (None: not let in)."""

    rules: tuple[Rule, ...]
    default: Role | None

    @property
    def claims(self) -> frozenset[str]:
        """The claims that are asked for."""
        return frozenset(rule.claim for rule in self.rules)

    def role_of(self, claims: Claims) -> Role | None:
        """The highest role that the claims give; None: not let in."""
        values = {claim: frozenset(values_of(claims, claim)) for claim in self.claims}
        found = [rule.role for rule in self.rules if _as_compared(rule.claim, rule.value) in values[rule.claim]]
        return max(found) if found else self.default


def read_roles(text: str) -> Roles:
    """The rules that a text holds.

    Raises:
        ConfigError: they cannot be understood; all of them are, or none.
    """
    pairs = list(_of_json(text) if text.lstrip().startswith("{") else _of_words(text))
    if not pairs or len(pairs) > MOST_RULES:
        raise ConfigError(f"{VARIABLE} gives nobody a role, or has more than {MOST_RULES} rules.", hint=_HINT)
    defaults = [role for claim, _, role in pairs if claim == OTHERS]
    if len(defaults) > 1:
        raise ConfigError(f"{VARIABLE} says twice what everybody else is ({OTHERS}=).", hint=_HINT)
    rules = []
    for claim, value, role in pairs:
        if claim == OTHERS:
            continue
        if role is None:
            raise ConfigError(f"{VARIABLE} gives {value[:60]!r} no role: leave it out.", hint=_HINT)
        rules.append(Rule(claim, value, role))
    return Roles(tuple(rules), defaults[0] if defaults else None)


def verified_email(claims: Claims) -> str | None:
    """The e-mail address in small letters, where the provider says that it has seen that it is theirs."""
    email, verified = claims.get("email"), claims.get("email_verified")
    # A few providers write the word.
    if not isinstance(email, str) or not (verified is True or verified == "true"):
        return None
    return email.lower() if _EMAIL.fullmatch(email) else None


def domain_of(email: str) -> str:
    """What stands behind the ``@``."""
    return email.rpartition("@")[2].lower()


def values_of(claims: Claims, claim: str) -> Iterator[str]:
    """The values of a claim as texts; of ``email`` only a verified one. ``a.b`` may also be ``b`` within ``a``."""
    if claim == "email":
        email = verified_email(claims)
        if email is not None:
            yield email
        return
    found = _at(claims, claim)
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, str):
            yield one
        elif isinstance(one, bool):
            yield "true" if one else "false"
        elif isinstance(one, int) and one.bit_length() <= _MOST_BITS:
            yield str(one)


def has_claim(claims: Claims, claim: str) -> bool:
    """Whether the provider has said anything of it."""
    return _at(claims, claim) is not None


def _at(claims: Claims, claim: str) -> object:
    if claim in claims:
        return claims[claim]
    found: object = claims
    for name in claim.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _as_compared(claim: str, value: str) -> str:
    return value.lower() if claim == "email" else value


def _role(text: object) -> Role | None:
    word = text.strip().lower() if isinstance(text, str) else ""
    if word == NONE:
        return None
    for role in Role:
        if role.name.lower() == word:
            return role
    names = ", ".join(role.name.lower() for role in Role)
    raise ConfigError(f"{VARIABLE} names the role {str(text)[:40]!r}.", hint=f"write one of {names}, or {NONE}")


def _of_words(text: str) -> Iterator[tuple[str, str, Role | None]]:
    for part in text.split(";"):
        if not part.strip():
            continue
        found = _CLAIM.fullmatch(part)
        claim, values = (found["claim"], found["values"]) if found else ("", part)
        for pair in values.split(","):
            value, equals, role = pair.rpartition("=")
            value = value.strip()
            if not equals or not value or (not claim and value != OTHERS):
                raise ConfigError(f"{VARIABLE} holds {pair.strip()[:60]!r}.", hint=_HINT)
            yield (OTHERS if value == OTHERS else claim), value, _role(role)


def _of_json(text: str) -> Iterator[tuple[str, str, Role | None]]:
    try:
        document = msgspec.json.decode(text, type=dict[str, str | dict[str, str]])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{VARIABLE} is no such JSON: {error}.", hint=_HINT) from error
    for claim, values in document.items():
        if isinstance(values, str):
            if claim != OTHERS:
                raise ConfigError(f"{VARIABLE} gives the claim {claim[:60]!r} a role, not its values.", hint=_HINT)
            yield OTHERS, OTHERS, _role(values)
            continue
        if claim == OTHERS:
            raise ConfigError(f"{VARIABLE} has more than one role for everybody else.", hint=_HINT)
        for value, role in values.items():
            yield claim, value, _role(role)
