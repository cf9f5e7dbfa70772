"""The theme is worked out once: Streamlit does it for each change on a page, out of 300 options that never change here.

That is a fifteenth of what a change costs, and there is no door to it: so it is this function of Streamlit's that is
changed. A version that has no such function, or another by that name, does as it likes.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamlit.proto.NewSession_pb2 import CustomThemeConfig

WORKS_OUT = "_populate_theme_msg"
"""What Streamlit calls it: ``(msg, section)`` puts the section's options into the message."""

_TAKES = ["msg", "section"]
_OWN = "_aweigh_keeps"


def keep_theme() -> None:
    """Keep the theme as the options say it is when the next session begins; call it anew when they have changed."""
    from streamlit.runtime import app_session

    found = getattr(app_session, WORKS_OUT, None)
    work_out: Callable[[CustomThemeConfig, str], None] | None = getattr(found, _OWN, found)
    if work_out is None or list(inspect.signature(work_out).parameters) != _TAKES:
        return
    known: dict[str, CustomThemeConfig] = {}

    def put_in(msg: "CustomThemeConfig", section: str = "theme") -> None:
        kept = known.get(section)
        if kept is not None:
            if kept.ByteSize():  # an empty section is not to be there at all
                msg.MergeFrom(kept)
            return
        is_blank = not msg.ByteSize()
        work_out(msg, section)
        if is_blank:
            known[section] = type(msg)()
            known[section].CopyFrom(msg)

    setattr(put_in, _OWN, work_out)
    setattr(app_session, WORKS_OUT, put_in)
