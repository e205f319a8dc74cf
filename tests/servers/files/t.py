"""A Celery worker that is given its tasks by itself: it looks into a directory."""
import os
import threading
import time

from celery import Celery
from celery.signals import worker_ready

app = Celery("t", broker="memory://")
app.conf.broker_transport_options = {"polling_interval": 0.05}
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True


@app.task
def slow(name):
    time.sleep(4)
    open(os.path.join("done", name), "w").close()


@worker_ready.connect
def begin(**_):
    threading.Thread(target=watch, daemon=True).start()


def watch():
    open("ready", "w").close()
    seen = set()
    while True:
        for name in set(os.listdir("asked")) - seen:
            seen.add(name)
            slow.delay(name)
        time.sleep(0.05)
