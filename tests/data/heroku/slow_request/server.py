import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Predict(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(40)
        self.send_response(200)
        self.end_headers()


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Predict).serve_forever()
