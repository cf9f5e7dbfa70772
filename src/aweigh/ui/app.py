"""The script that Streamlit runs for every visitor and every change: the frame, and the page inside it."""

from aweigh.ui.frame import show

show()
