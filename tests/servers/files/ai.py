import asyncio
from aiohttp import web
async def short(_):
    return web.Response(text='hello\n')
async def slow(_):
    await asyncio.sleep(4)
    return web.Response(text='slow\n' * 600)
app = web.Application()
app.add_routes([web.get('/', short), web.get('/slow', slow)])
web.run_app(app, port=8080)
