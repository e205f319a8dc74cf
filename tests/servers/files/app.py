"""The same application for WSGI and for ASGI."""
import asyncio
import time

SLOW, SHORT = b"slow\n" * 600, b"hello\n"


def wsgi(environ, start_response):
    body = SHORT
    if environ["PATH_INFO"] == "/slow":
        time.sleep(4)
        body = SLOW
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        message = await receive()
        while message["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
            message = await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = SHORT
    if scope["path"] == "/slow":
        await asyncio.sleep(4)
        body = SLOW
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
