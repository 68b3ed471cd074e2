"""A whole test file of a project of one's own: handlers, and what they do, without a server."""

from datetime import UTC, datetime

from penstock.worker import Context, MessageInfo, Worker
from penstock.worker.testing import try_out

app = Worker()


@app.job("pages.read")
async def read(pages: list[str], ctx: Context) -> int:
    for number, page in enumerate(pages, 1):
        await ctx.emit(page)
        ctx.progress(number, len(pages))
    return len(pages)


@app.on("order.*", name="order.mail")
async def send_mail(order: dict[str, float], ctx: Context) -> str:
    assert ctx.message is not None
    return f"{ctx.message.topic} of order {order['id']:g}, says the {ctx.message.source}"


async def test_what_it_returns_and_says() -> None:
    trial = await try_out(app, "pages.read", ["one ", "two"])
    assert trial.result == 2
    assert trial.text == "one two"


async def test_a_message_reaches_its_handler() -> None:
    message = MessageInfo("m-1", "order.created", datetime.now(UTC), source="shop")
    trial = await try_out(app, "order.mail", {"id": 17}, message=message)
    assert trial.result == "order.created of order 17, says the shop"
