import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

# Beside it the test puts a model of more than 500 MB, which no repository has to keep.
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), SimpleHTTPRequestHandler).serve_forever()
