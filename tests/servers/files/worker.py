"""A queue worker: it takes jobs from a directory, and finishes those that it has when SIGTERM comes. Its metrics have a port."""
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"jobs_total 1\n")


is_over = threading.Event()


def stop(*_):
    with open("signals", "a") as file:
        file.write("got SIGTERM\n")
    is_over.set()


def work(name):
    time.sleep(4)
    open(os.path.join("done", name), "w").close()


signal.signal(signal.SIGTERM, stop)
threading.Thread(target=ThreadingHTTPServer(("", 9100), Metrics).serve_forever, daemon=True).start()
open("ready", "w").close()
seen = set()
while not is_over.wait(0.05):
    for name in set(os.listdir("asked")) - seen:
        seen.add(name)
        threading.Thread(target=work, args=[name]).start()
