import json

MODEL = {"Adelie": 0.4, "Gentoo": 0.6}


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(MODEL).encode()]
