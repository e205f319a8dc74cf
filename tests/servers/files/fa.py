import asyncio
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
app = FastAPI()
@app.get('/')
async def short():
    return PlainTextResponse('hello\n')
@app.get('/slow')
async def slow():
    await asyncio.sleep(4)
    return PlainTextResponse('slow\n' * 600)
