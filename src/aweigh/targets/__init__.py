"""Where a release goes: one folder per platform, and what they share. Nothing here knows of the server's insides.

``release.py`` says what is deployed, ``target.py`` what every platform can do with it.
"""
