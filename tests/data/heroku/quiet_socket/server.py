import base64
import hashlib
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FINISHED = b"\x82\x02\x30\x00"  # a frame of two bytes: the script is done


class Session(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        key = self.headers.get("Sec-WebSocket-Key")
        if key is None or self.path != "/_stcore/stream":
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        accepted = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
        self.send_response(101)
        for name, value in {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accepted,
            "Sec-WebSocket-Protocol": "streamlit",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        # Answers what it is asked, and says nothing by itself: no ping.
        while self.connection.recv(4096):
            self.wfile.write(FINISHED)
        self.close_connection = True


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Session).serve_forever()
