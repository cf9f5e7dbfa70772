import os
import time
from http.server import HTTPServer, SimpleHTTPRequestHandler

time.sleep(90)

HTTPServer(("0.0.0.0", int(os.environ["PORT"])), SimpleHTTPRequestHandler).serve_forever()
