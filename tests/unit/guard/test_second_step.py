"""The second step of a sign-in: a ticket for whose password was right, which a code alone makes a session of."""

import pytest

from aweigh.guard import totp
from aweigh.guard.guard import Refusal, SignedIn
from aweigh.guard.second_step import LASTS_S

PASSWORD = "otter gravel ninety"
HERE = "192.0.2.1"


@pytest.fixture
def secret(guard, ana, clock):
    secret, _ = guard.start_totp(ana.id)
    guard.confirm_totp(ana.id, secret, totp.code_at(secret, int(clock.now // totp.STEP_S)))
    clock.now += totp.STEP_S
    return secret


def ticket(guard):
    found = guard.sign_in("ana", PASSWORD, "", client=HERE)
    assert found.kind == "code_needed"
    return found.ticket.reveal()


def now_code(secret, clock):
    return totp.code_at(secret, int(clock.now // totp.STEP_S))


def test_a_ticket_and_a_code_begin_a_session(guard, secret, clock, ana):
    found = guard.sign_in_code(ticket(guard), now_code(secret, clock), client=HERE)
    assert isinstance(found, SignedIn)
    assert found.identity.id == ana.id
    assert guard.audit_log(limit=1000)[-1].what == {"how": "password and code"}


def test_a_ticket_is_not_shown_by_accident(guard, secret):
    found = guard.sign_in("ana", PASSWORD, "", client=HERE)
    assert found.ticket.reveal() not in repr(found)
    assert guard.sign_in("ana", "wrong", "", client=HERE).ticket.reveal() == ""


def test_a_code_counts_once_whatever_the_ticket(guard, secret, clock):
    code = now_code(secret, clock)
    assert isinstance(guard.sign_in_code(ticket(guard), code, client=HERE), SignedIn)
    assert guard.sign_in_code(ticket(guard), code, client=HERE).kind == "wrong"


def test_a_ticket_alone_opens_nothing(guard, secret):
    held = ticket(guard)
    assert guard.sign_in_code(held, "", client=HERE).kind == "wrong"
    assert guard.sign_in_code(held, "000000", client=HERE).kind == "wrong"
    assert guard.identify(held.encode(), "session") is None


def test_a_ticket_ends_with_its_time_a_new_password_and_the_second_factor(guard, secret, clock, ana):
    held, code = ticket(guard), now_code(secret, clock)
    clock.now += LASTS_S + 1
    assert guard.sign_in_code(held, now_code(secret, clock), client=HERE) == Refusal("too_late")
    held = ticket(guard)
    guard.set_password(ana.id, "velvet anchor nine rivers", by=None)
    assert guard.sign_in_code(held, now_code(secret, clock), client=HERE) == Refusal("too_late")
    guard.set_password(ana.id, PASSWORD, by=None)
    held = ticket(guard)
    guard.remove_totp(ana.id, by=None)
    assert guard.sign_in_code(held, code, client=HERE) == Refusal("too_late"), "it does not do for a password alone"


def test_somebody_disabled_gets_no_further_than_the_ticket(guard, secret, clock, ana):
    held = ticket(guard)
    guard.set_disabled(ana.id, True, by=None)
    assert guard.sign_in_code(held, now_code(secret, clock), client=HERE) == Refusal("too_late")


def test_codes_cannot_be_tried_one_after_the_other(guard, secret, clock):
    held = ticket(guard)
    kinds = [guard.sign_in_code(held, f"{number:06}", client=HERE).kind for number in range(20)]
    assert kinds[0] == "wrong"
    assert kinds[-1] == "throttled"
    found = guard.sign_in_code(held, now_code(secret, clock), client=HERE)
    assert found.kind == "throttled"
    assert found.retry_after_s > 0
    clock.now += found.retry_after_s
    assert isinstance(guard.sign_in_code(held, now_code(secret, clock), client=HERE), SignedIn)


def test_asking_for_a_new_ticket_forgets_no_wrong_code(guard, secret):
    """Each right password is given back its try; the wrong codes in between stay counted."""
    kinds = []
    for number in range(20):
        found = guard.sign_in("ana", PASSWORD, "", client=HERE)
        if found.kind == "code_needed":
            found = guard.sign_in_code(found.ticket.reveal(), f"{number:06}", client=HERE)
        kinds.append(found.kind)
    assert kinds[-1] == "throttled"
