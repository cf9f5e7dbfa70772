"""Names of people: whatever is typed, what is kept reads the same again and is found again."""

import unicodedata
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from aweigh.errors import UsageError
from aweigh.guard.names import HIDDEN, NAME_CHARACTERS, key_of, readable, same
from aweigh.guard.passwords import check_password
from aweigh.guard.throttle import network_of

ANY = st.text(max_size=200) | st.text(st.characters(codec=None), max_size=20)


@given(ANY)
def test_what_is_kept_is_a_name_and_stays_as_it_is(text):
    name = readable(text)
    if name is None:
        assert key_of(text) is None
        return
    assert readable(name) == name
    assert 1 <= len(name) <= NAME_CHARACTERS
    assert not any(unicodedata.category(one) in HIDDEN for one in name)
    assert key_of(text) == key_of(name) == key_of(f"  {name} ")


@given(ANY)
def test_a_name_is_found_in_capitals_and_decomposed(text):
    name = readable(text)
    if name is not None and (typed := readable(unicodedata.normalize("NFD", name))) is not None:
        assert same(typed) == same(name)
    if name is not None and name.isascii():
        assert key_of(name.upper()) == key_of(name.lower())


@given(ANY, ANY)
def test_no_text_breaks_the_rules_of_passwords_or_addresses(text, name):
    network_of(text)
    with suppress(UsageError):
        check_password(text, name=name)
