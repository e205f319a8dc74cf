import time
from flask import Flask
app = Flask(__name__)
@app.route('/')
def short():
    return 'hello\n'
@app.route('/slow')
def slow():
    time.sleep(4)
    return 'slow\n' * 600
