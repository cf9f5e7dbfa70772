"""Heroku: documents, the Platform API, a deployment from source to golden rows, and what is looked at before it."""
