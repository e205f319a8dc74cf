"""A server of the standard library that stops well."""
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

stopping = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5  # seconds, after which an idle connection is closed

    def do_GET(self):
        body = b"hello\n"
        if self.path == "/slow":
            time.sleep(4)
            body = b"slow\n" * 600
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if stopping.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them
    request_queue_size = 100


def stop(*_):
    with open("signals", "a") as file:
        file.write("got SIGTERM\n")
    stopping.set()
    threading.Thread(target=server.shutdown).start()  # it would wait for the loop that it interrupts


server = Server(("", 8080), Handler)
signal.signal(signal.SIGTERM, stop)
server.serve_forever()
server.server_close()
