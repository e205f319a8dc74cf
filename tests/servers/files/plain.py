"""A server of the standard library, as people write it: it knows nothing of signals.

With `count` it notes each SIGTERM in the file `signals`, and ends on the first one as good servers do.
"""
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"hello\n"
        if self.path == "/slow":
            time.sleep(4)
            body = b"slow\n" * 600
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 100
    daemon_threads = True
    under_way = 0

    def process_request_thread(self, *arguments):
        self.under_way += 1
        super().process_request_thread(*arguments)
        self.under_way -= 1


server = Server(("", 8080), Handler)


def stop(*_):
    with open("signals", "a") as file:
        file.write("got SIGTERM\n")
    threading.Thread(target=server.shutdown).start()


if "count" in sys.argv:
    signal.signal(signal.SIGTERM, stop)
open("ready", "w").close()
server.serve_forever()
server.server_close()
# The idle ones among them would wait for ever.
deadline = time.time() + 8
while server.under_way and time.time() < deadline:
    time.sleep(0.05)
