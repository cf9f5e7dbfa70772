"""The app in the browser: Streamlit pages made from the schema; they know the model only through its HTTP API.

``create_ui`` turns an API's address into an ASGI app to be mounted last, at ``/``. Needs the extra ``ui``.
"""

from aweigh.ui.host import API_URL_VARIABLE, create_ui

__all__ = ["API_URL_VARIABLE", "create_ui"]
