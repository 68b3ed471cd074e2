"""The app of the demonstration: six job types, each a plain function with a typed payload.

penstock worker examples.demo.handlers:app
"""

import asyncio
from datetime import timedelta
from itertools import combinations
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from examples.demo import documents, sources
from examples.demo.fingerprint import extended
from examples.demo.prose import Chain
from penstock.worker import Context, Retry, SyncContext, Worker

__all__ = ["app", "prose_of"]

app = Worker(queues=["demo"])

Pause = Annotated[int, Field(ge=0, le=1000, description="Between two steps, in milliseconds.")]


class Payload(BaseModel):
    """What all payloads have in common: fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class Package(Payload):
    """A package of the standard library."""

    name: str = Field(min_length=1, max_length=100)


@app.job("sources.index", mode="process", timeout=timedelta(seconds=30))
def index_package(package: Package, ctx: SyncContext) -> sources.Census:
    """Count what a package of the standard library holds: CPU-bound, so in a child process."""
    census = sources.Census()
    files = sources.files_of(package.name)
    for number, path in enumerate(files, start=1):
        ctx.check()
        census.add(path)
        ctx.progress(number, len(files), path.name)
    return census


@app.job("documents.survey")
def survey_documents(ctx: SyncContext) -> documents.Survey:
    """Read this repository's documents, and look where their links lead."""
    survey = documents.Survey()
    files = documents.documents()
    for number, path in enumerate(files, start=1):
        survey.add(path)
        ctx.progress(number, len(files), path.name)
        if survey.broken:
            ctx.log(f"{path.name} has broken links", level="warning")
    return survey


class Delivery(Payload):
    """A note for a place that is down at first."""

    note: str
    down_for_attempts: int = Field(default=2, ge=0, le=10)


@app.job("notes.deliver")
async def deliver(delivery: Delivery, ctx: Context) -> str:
    """Fail as real work does: once by an error, once by asking for another try."""
    if ctx.attempt > delivery.down_for_attempts:
        return f"delivered at attempt {ctx.attempt}: {delivery.note}"
    if ctx.attempt > 1:
        raise Retry(after=0.5, message="the other side asks for patience")
    raise ConnectionError("nobody answers at the other side")


class Comparison(Payload):
    """Texts that are to be compared, each with each."""

    package: str
    pause_ms: Pause = 5


@app.job("docstrings.compare")
async def compare_docstrings(comparison: Comparison, ctx: Context) -> str:
    """Look for docstrings that say the same: every pair of them, which takes until cancelled."""
    texts = [set(text.split()) for text in sources.docstrings(sources.files_of(comparison.package))]
    pairs = len(texts) * (len(texts) - 1) // 2
    closest, closest_pair = 0.0, (0, 0)
    for number, (one, other) in enumerate(combinations(range(len(texts)), 2), start=1):
        likeness = len(texts[one] & texts[other]) / len(texts[one] | texts[other])
        if likeness > closest:
            closest, closest_pair = likeness, (one, other)
        if number % 100 == 0:
            ctx.progress(number, pairs, f"{closest:.0%} alike: {closest_pair}")
            await asyncio.sleep(comparison.pause_ms / 1000)
    return f"{closest:.0%} alike: {closest_pair}"


class Prose(Payload):
    """A text that is to be made up."""

    package: str
    words: int = Field(default=80, ge=1, le=1000)
    seed: int = 0
    pause_ms: Pause = 40


@app.job("prose.write")
async def write_prose(prose: Prose, ctx: Context) -> str:
    """Write about a package what might be in its docstrings, sending each word as it comes."""
    words = prose_of(prose)
    for number, word in enumerate(words, start=1):
        await ctx.emit(word)
        ctx.progress(number, len(words))
        await asyncio.sleep(prose.pause_ms / 1000)
    return "".join(words)


def prose_of(prose: Prose) -> list[str]:
    """Return the words of a text: the same ones for the same payload, wherever they are made."""
    chain = Chain()
    chain.read(sources.docstrings(sources.files_of(prose.package)))
    return list(chain.write(words=prose.words, seed=prose.seed))


class Inventory(Payload):
    """Packages whose files are to be fingerprinted, one after the other."""

    packages: list[str] = Field(min_length=1)
    checkpoint_every: int = Field(default=10, ge=1, description="In files.")
    pause_ms: Pause = 20


class Fingerprint(BaseModel):
    """A fingerprint, and where the attempt that finished it began."""

    files: int
    sha256: str
    resumed_at: int
    """How many files earlier attempts had done."""


class _Saved(BaseModel):
    """What is handed from attempt to attempt."""

    files: int = 0
    link: str = ""


@app.job("inventory.fingerprint")
async def fingerprint_inventory(inventory: Inventory, ctx: Context) -> Fingerprint:
    """Fingerprint many files; an attempt goes on where the one before it saved its state."""
    files = [path for name in inventory.packages for path in sources.files_of(name)]
    saved = _Saved.model_validate(ctx.last_checkpoint or {})
    link = saved.link
    if saved.files:
        ctx.log(f"going on after {saved.files} of {len(files)} files")
    for done, path in enumerate(files[saved.files :], start=saved.files + 1):
        link = extended(link, path)
        ctx.progress(done, len(files), path.name)
        if done % inventory.checkpoint_every == 0:
            await ctx.checkpoint(_Saved(files=done, link=link).model_dump())
        await asyncio.sleep(inventory.pause_ms / 1000)
    return Fingerprint(files=len(files), sha256=link, resumed_at=saved.files)
