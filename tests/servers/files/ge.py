from gevent import monkey
monkey.patch_all()
from gevent.pywsgi import WSGIServer
from app import wsgi
WSGIServer(('', 8080), wsgi, log=None).serve_forever()
