import asyncio
from sanic import Sanic, text
app = Sanic('app')
@app.get('/')
async def short(_):
    return text('hello\n')
@app.get('/slow')
async def slow(_):
    await asyncio.sleep(4)
    return text('slow\n' * 600)
