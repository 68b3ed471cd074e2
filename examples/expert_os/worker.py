"""The worker: a process of its own, which does what the web application has accepted."""

from __future__ import annotations

import logging
from typing import Final

from examples.expert_os.documents import Documents
from examples.expert_os.extraction import Unreadable, open_source
from examples.expert_os.generators import configured
from examples.expert_os.tally import Tally
from examples.expert_os.tasks import (
    GENERATE_CONTENT,
    PROCESS_DOCUMENT,
    QUEUE,
    DocumentReport,
    GenerateContent,
    GeneratedContent,
    ProcessDocument,
)
from penstock.worker import Context, PayloadInvalid, SyncContext, Worker

__all__ = ["app"]

app = Worker(queues=QUEUE, slots=8)

_LONGEST_TEXT: Final = 200_000
"""An endpoint that writes on for ever is cut off here, in characters."""

_log: Final = logging.getLogger(__name__)


# Extraction keeps a CPU busy: in a child process it holds up nobody, and can be ended at any time.
@app.job(PROCESS_DOCUMENT.name, mode="process", timeout=300)
def process_document(document: ProcessDocument, ctx: SyncContext) -> DocumentReport:
    """Reads a document page by page; keeps its text, and returns what is in it."""
    _log.info("processing %s %s", document.format, document.name or document.document_id)
    documents = Documents()
    data = documents.read(document.document_id)
    tally, texts = Tally(), []
    try:
        source = open_source(document.format, data)
        for number, page in enumerate(source.pages, 1):
            ctx.check()
            tally.add(page)
            texts.append(page)
            ctx.progress(number, source.count, f"page {number} of {source.count}")
    except Unreadable as error:
        raise PayloadInvalid(str(error)) from error  # Another attempt would find the same.
    documents.save_text(document.document_id, "\n\n".join(texts))
    report = tally.report(source.title)
    _log.info("done: %d pages, %d words", report.pages, report.words)
    return report


@app.job(GENERATE_CONTENT.name, timeout=600)
async def generate_content(wish: GenerateContent, ctx: Context) -> GeneratedContent:
    """Writes a text, and sends each token on as it comes."""
    generator = configured()
    _log.info("generating up to %d tokens with %s", wish.max_tokens, generator.model)
    tokens: list[str] = []
    room, finish_reason = _LONGEST_TEXT, "length"
    async for delta in generator.write(wish):
        finish_reason = delta.finish_reason or finish_reason
        if text := delta.text[:room]:
            await ctx.emit(text)
            tokens.append(text)
            ctx.progress(len(tokens), wish.max_tokens, "writing")
        room -= len(text)
        if room <= 0:
            break
    _log.info("done: %d tokens", len(tokens))
    return GeneratedContent(
        text="".join(tokens),
        tokens=len(tokens),
        model=generator.model,
        finish_reason=finish_reason,
    )
