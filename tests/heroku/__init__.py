"""A local server that speaks Heroku's Platform API and really runs what it is given: see `server.py`."""

from tests.heroku.options import Options
from tests.heroku.server import HerokuServer

__all__ = ["HerokuServer", "Options"]
