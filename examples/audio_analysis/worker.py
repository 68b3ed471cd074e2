"""The worker: each analysis in a child process of its own, as many at once as there are cores."""

from __future__ import annotations

import os
from typing import Final

from examples.audio_analysis.jobs import ANALYZE, QUEUE, Analysis, AnalyzeAudio
from penstock.worker import PayloadInvalid, SyncContext, Worker

__all__ = ["app"]

app = Worker(QUEUE, slots=os.cpu_count() or 1)

_TIMEOUT_S: Final = 120.0


@app.job(ANALYZE, mode="process", timeout=_TIMEOUT_S)
def analyze(audio: AnalyzeAudio, ctx: SyncContext) -> Analysis:
    """Measures a file, and tells before each step how far it is."""
    # Only the child needs the large libraries.
    from examples.audio_analysis import measure  # noqa: PLC0415

    def tell(step: int, name: str) -> None:
        ctx.check()
        ctx.progress(step, len(measure.STEPS), name)

    try:
        return measure.analyze(audio.file_key, tell)
    except measure.NoAudioError as error:
        # It will be the same at the next attempt: there is none.
        raise PayloadInvalid(str(error)) from error
