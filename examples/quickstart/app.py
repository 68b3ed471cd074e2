"""A worker with one handler."""

import asyncio

from pydantic import BaseModel

from penstock.worker import Context, Worker

app = Worker()


class Greeting(BaseModel):
    """Whom to greet, and how often."""

    name: str
    times: int = 3


@app.job("greet")
async def greet(greeting: Greeting, ctx: Context) -> str:
    """Say hello, word by word."""
    for number in range(greeting.times):
        await ctx.emit(f"Hello, {greeting.name}! ")
        ctx.progress(number + 1, greeting.times)
        await asyncio.sleep(0.1)
    return f"greeted {greeting.name} {greeting.times} times"
