"""The worker: writes articles, a paragraph a step, with a checkpoint after each."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Final

from examples.opad.articles import GENERATE, QUEUE, Articles, GenerateArticle
from penstock.worker import Context, Worker

__all__ = ["app"]

app = Worker(queues=QUEUE, slots=64)

_STEP_S: Final = float(os.environ.get("OPAD_STEP_S", "2"))
"""How long a paragraph takes, in seconds: the pace of the language models that it stands for."""

_OPENINGS: Final = ("Most people meet {topic} early.", "Few things are like {topic}.")
_MIDDLES: Final = (
    "It takes patience to see why {topic} matters.",
    "Ask three neighbours about {topic}, and you hear four opinions.",
    "Those who look closely at {topic} learn to ask better questions.",
    "There is a rule for {topic}, and a good reason to break it.",
)


@app.job(GENERATE)
async def generate(wishes: GenerateArticle, ctx: Context) -> dict[str, object]:
    """Writes the article, and stores it.

    A later attempt goes on after the last paragraph that was finished, wherever it runs.
    """
    paragraphs: list[str] = list(ctx.last_checkpoint or ())
    resumed_at = len(paragraphs)
    for number in range(resumed_at, wishes.length):
        ctx.progress(number, wishes.length, f"writing paragraph {number + 1} of {wishes.length}")
        await asyncio.sleep(_STEP_S)
        paragraphs.append(_paragraph(wishes, number))
        await ctx.checkpoint(paragraphs)
    ctx.progress(wishes.length, wishes.length, "storing the article")
    text = "\n\n".join([f"# {wishes.topic} ({wishes.level})", *paragraphs])
    await asyncio.to_thread(Articles().set_text, wishes.article_id, text)
    return {"words": len(text.split()), "resumed_at": resumed_at}


def _paragraph(wishes: GenerateArticle, number: int) -> str:
    """The same text for the same wishes, so that a repeated attempt changes nothing."""
    choice = random.Random(f"{wishes.article_id} {number}")  # noqa: S311 - prose, no secret.
    sentences = [choice.choice(_OPENINGS), *choice.sample(_MIDDLES, k=3)]
    return " ".join(sentences).format(topic=wishes.topic.lower())
