"""What an analysis is asked for, and what it finds: for the API, the bridge and the worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ANALYZE", "QUEUE", "Analysis", "AnalyzeAudio", "FileKey", "Spectrum", "path_of"]

ANALYZE: Final = "audio.analyze"
QUEUE: Final = "audio"

#: Name of a file below AUDIO_ROOT, with folders; none of its parts begins with a dot.
FileKey = Annotated[str, Field(max_length=200, pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$")]


class AnalyzeAudio(BaseModel):
    """Payload of a job: the file to analyse."""

    model_config = ConfigDict(extra="forbid")

    file_key: FileKey


class Spectrum(BaseModel):
    """Where the energy of the sound is; the shares add up to 1.

    Attributes:
        dominant_hz: The strongest frequency.
        centroid_hz: The centre of mass.
        low: Share below 250 Hz.
        middle: Share from there to 4 kHz.
        high: Share above.
    """

    dominant_hz: float
    centroid_hz: float
    low: float
    middle: float
    high: float


class Analysis(BaseModel):
    """Result of a job.

    Attributes:
        file_key: As asked for.
        seconds: Its length.
        sample_rate: In Hz.
        channels: How many.
        loudness_lufs: Integrated loudness by ITU-R BS.1770-4; None for silence.
        true_peak_dbtp: The peak between the samples, too, by the same; None for silence.
        spectrum: None for silence.
        tempo_bpm: Beats per minute; None where nothing beats.
    """

    file_key: str
    seconds: float
    sample_rate: int
    channels: int
    loudness_lufs: float | None
    true_peak_dbtp: float | None
    spectrum: Spectrum | None
    tempo_bpm: float | None


def path_of(file_key: str) -> Path:
    """Where a file is: below AUDIO_ROOT, which stands for a store of objects.

    Raises:
        ValueError: It would be elsewhere, by a symbolic link for example.
    """
    root = Path(os.environ.get("AUDIO_ROOT", "audio")).resolve()
    path = (root / file_key).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"{file_key} is not below AUDIO_ROOT")
    return path
