"""The theme is worked out once: Streamlit does it for each change on a page, out of 300 options that never change here.

That is a fifteenth of what a change costs, and there is no door to it: so it is this function of Streamlit's that is
changed. A version that has no such function does as it likes.
"""

from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamlit.proto.NewSession_pb2 import CustomThemeConfig

WORKS_OUT = "_populate_theme_msg"
"""What Streamlit calls it: ``(message, section)`` puts the section's options into the message."""


def keep_theme() -> None:
    """Keep the theme as the options say it is when the next session begins; call it anew when they have changed."""
    from streamlit.runtime import app_session

    found = getattr(app_session, WORKS_OUT, None)
    if found is None:
        return
    work_out = getattr(found, "__wrapped__", found)
    known: dict[str, CustomThemeConfig] = {}

    @wraps(work_out)
    def put_in(message: "CustomThemeConfig", section: str = "theme") -> None:
        kept = known.get(section)
        if kept is None:
            work_out(message, section)
            kept = type(message)()
            kept.CopyFrom(message)
            known[section] = kept
        elif kept.ByteSize():  # an empty section is not to be there at all
            message.MergeFrom(kept)

    setattr(app_session, WORKS_OUT, put_in)
