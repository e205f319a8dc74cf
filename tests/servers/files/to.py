import asyncio
import tornado.web
class Short(tornado.web.RequestHandler):
    def get(self):
        self.write('hello\n')
class Slow(tornado.web.RequestHandler):
    async def get(self):
        await asyncio.sleep(4)
        self.write('slow\n' * 600)
async def main():
    tornado.web.Application([('/', Short), ('/slow', Slow)]).listen(8080)
    await asyncio.Event().wait()
asyncio.run(main())
