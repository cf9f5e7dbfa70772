import os
from http.server import HTTPServer, SimpleHTTPRequestHandler

MODEL = bytearray(b"\1") * (600 * 2**20)

HTTPServer(("0.0.0.0", int(os.environ["PORT"])), SimpleHTTPRequestHandler).serve_forever()
