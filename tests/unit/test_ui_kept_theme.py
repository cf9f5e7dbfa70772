"""The theme that is kept is the one that Streamlit works out, and it is worked out once."""

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import NewSession
from streamlit.runtime import app_session
from streamlit.web import bootstrap

from aweigh.ui.host import _look
from aweigh.ui.kept_theme import WORKS_OUT, keep_theme
from aweigh.wire import palette

SECTIONS = ["theme", *(f"theme.{one.value}" for one in config.CustomThemeCategories)]


def session_message():
    """Return what a session is told of the theme, section by section as Streamlit puts it together."""
    message = NewSession()
    for section in SECTIONS:
        into = message.custom_theme
        for part in section.split(".")[1:]:
            into = getattr(into, part)
        getattr(app_session, WORKS_OUT)(into, section)
    return message


@pytest.fixture
def asked(monkeypatch):
    """Return the sections whose options Streamlit has looked up."""
    sections = []
    look_up = config.get_options_for_section

    def looked_up(section):
        sections.append(section)
        return look_up(section)

    monkeypatch.setattr(config, "get_options_for_section", looked_up)
    monkeypatch.setattr(app_session, WORKS_OUT, getattr(app_session, WORKS_OUT))  # and put it back afterwards
    before = {f"{one}.{name}": value for one in SECTIONS for name, value in look_up(one).items()}
    yield sections
    bootstrap.load_config_options(before)


def test_it_is_what_streamlit_says_and_is_worked_out_once(asked):
    assert callable(getattr(app_session, WORKS_OUT)), "this Streamlit has another name for it: kept_theme.py is idle"
    said = set()
    keep_theme()
    own = getattr(app_session, WORKS_OUT)._aweigh_keeps
    for accent in ("#8a1f5c", "#0a6b52"):
        bootstrap.load_config_options(_look(palette.light(accent), palette.dark(accent)))
        setattr(app_session, WORKS_OUT, own)
        plain = session_message()
        keep_theme()
        first = session_message()
        asked.clear()
        again = session_message()
        assert asked == []
        assert plain == first == again
        assert plain.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
        assert again.custom_theme.light.primary_color == accent
        said.add(again.SerializeToString(deterministic=True))
    assert len(said) == 2


def test_what_a_message_already_holds_is_not_kept(asked):
    keep_theme()
    put_in = getattr(app_session, WORKS_OUT)
    full, blank = NewSession().custom_theme, NewSession().custom_theme
    full.font_faces.add(family="mine")
    put_in(full, "theme")
    put_in(blank, "theme")
    assert [one.family for one in full.font_faces] == ["mine"]
    assert not blank.font_faces


def test_a_streamlit_whose_function_takes_something_else_is_left_as_it_is(monkeypatch):
    def other(msg, section, colors):
        """Do what a later version may do."""

    monkeypatch.setattr(app_session, WORKS_OUT, other)
    keep_theme()
    assert getattr(app_session, WORKS_OUT) is other


def test_a_streamlit_without_that_function_is_left_as_it_is(monkeypatch):
    monkeypatch.delattr(app_session, WORKS_OUT)
    keep_theme()
    assert not hasattr(app_session, WORKS_OUT)
