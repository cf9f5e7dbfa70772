"""The runtime: a verified bundle becomes a predictor; the same one behind the API, the page and the command line."""
