"""The measuring itself. It knows nothing of jobs: the old worker calls it, too.

Its libraries are large, and keep the CPU busy: it is imported where it runs, and nowhere else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import librosa
import numpy as np
import pyloudnorm
import soundfile
from scipy import signal

from examples.audio_analysis.jobs import Analysis, Spectrum, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["STEPS", "NoAudioError", "analyze"]

STEPS: Final = ("reading", "loudness", "true peak", "spectrum", "tempo")

_MIN_S: Final = 0.4
"""A block of BS.1770, in seconds: what is shorter has no loudness."""
_MAX_S: Final = 15 * 60.0
_MAX_CHANNELS: Final = 5
_SILENCE: Final = 1e-8
_OVERSAMPLING: Final = 4
_BLOCK: Final = 1 << 18
_OVERLAP: Final = 32
"""Samples on either side of a block that the filter of the oversampling needs to settle."""
_LOW_HZ, _HIGH_HZ = 250.0, 4_000.0
_TEMPO_HZ: Final = 22_050
_HOP: Final = 512
_TEMPO_MIN_S: Final = 2.0
_ONSET_SPREAD_DB: Final = 0.5
"""By how much onsets stand out, at least: those of a steady sound are all below 0.1."""
_TEMPO_CLARITY: Final = 0.3
"""How alike the onsets are to themselves a beat later, at least: noise is below 0.15."""


class NoAudioError(Exception):
    """A file holds nothing that could be measured; to try again is no use."""


def analyze(file_key: str, tell: Callable[[int, str], object]) -> Analysis:
    """Measures a file.

    Args:
        file_key: Of the file.
        tell: Called before each of `STEPS`, with its number from 0 and its name.

    Raises:
        NoAudioError: The file is missing, broken, too short or too long.
    """
    tell(0, STEPS[0])
    samples, rate = _read(file_key)
    mono = samples.mean(axis=1)
    silent = bool(np.abs(samples).max() < _SILENCE)
    tell(1, STEPS[1])
    loudness = _finite(pyloudnorm.Meter(rate).integrated_loudness(samples))
    tell(2, STEPS[2])
    peak = None if silent else 20 * math.log10(_true_peak(samples))
    tell(3, STEPS[3])
    spectrum = None if silent else _spectrum(mono, rate)
    tell(4, STEPS[4])
    tempo = None if silent else _tempo(mono, rate)
    return Analysis(
        file_key=file_key,
        seconds=len(samples) / rate,
        sample_rate=rate,
        channels=samples.shape[1],
        loudness_lufs=loudness,
        true_peak_dbtp=peak,
        spectrum=spectrum,
        tempo_bpm=tempo,
    )


def _read(file_key: str) -> tuple[NDArray[np.float32], int]:
    """The samples, one row each with a column a channel, and their rate."""
    try:
        path = path_of(file_key)
        about = soundfile.info(path)
        if not _MIN_S <= about.duration <= _MAX_S or about.channels > _MAX_CHANNELS:
            raise NoAudioError(
                f"{file_key} has {about.duration:.1f} s and {about.channels} channels; it takes "
                f"{_MIN_S:g} to {_MAX_S:g} s, and up to {_MAX_CHANNELS} channels"
            )
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError) as error:
        raise NoAudioError(f"{file_key} cannot be read as audio: {error}") from error
    if not np.isfinite(samples).all():
        raise NoAudioError(f"{file_key} holds samples that are no numbers")
    return samples, rate


def _true_peak(samples: NDArray[np.float32]) -> float:
    """The peak of the oversampled signal, block by block, so that long files need no more room."""
    peak = 0.0
    for start in range(0, len(samples), _BLOCK):
        before = min(start, _OVERLAP)
        block = samples[start - before : start + _BLOCK + _OVERLAP]
        finer = signal.resample_poly(block, _OVERSAMPLING, 1, axis=0)
        inside = finer[before * _OVERSAMPLING : (before + _BLOCK) * _OVERSAMPLING]
        peak = max(peak, float(np.abs(inside).max()))
    return peak


def _spectrum(mono: NDArray[np.float32], rate: int) -> Spectrum | None:
    frequencies, power = signal.welch(mono, rate, nperseg=min(8192, len(mono)))
    total = float(power.sum())
    if total <= 0:  # Channels that cancel each other out.
        return None
    low = float(power[frequencies < _LOW_HZ].sum()) / total
    high = float(power[frequencies > _HIGH_HZ].sum()) / total
    return Spectrum(
        dominant_hz=float(frequencies[power.argmax()]),
        centroid_hz=float((frequencies * power).sum()) / total,
        low=low,
        middle=max(0.0, 1 - low - high),
        high=high,
    )


def _tempo(mono: NDArray[np.float32], rate: int) -> float | None:
    if len(mono) < _TEMPO_MIN_S * rate:
        return None
    common = math.gcd(_TEMPO_HZ, rate)
    coarse = signal.resample_poly(mono, _TEMPO_HZ // common, rate // common)
    onsets = librosa.onset.onset_strength(y=coarse, sr=_TEMPO_HZ, hop_length=_HOP)
    if float(onsets.std()) < _ONSET_SPREAD_DB:
        return None
    bpm = float(librosa.feature.tempo(onset_envelope=onsets, sr=_TEMPO_HZ, hop_length=_HOP)[0])
    return bpm if bpm > 0 and _clarity(onsets, bpm) >= _TEMPO_CLARITY else None


def _clarity(onsets: NDArray[Any], bpm: float) -> float:
    """How much the onsets are like themselves a beat later, up to 1."""
    centred = onsets - onsets.mean()
    alike = np.correlate(centred, centred, "full")[len(centred) - 1 :]
    beat = round(60 * _TEMPO_HZ / _HOP / bpm)
    near = alike[max(beat - 1, 1) : beat + 2]
    return float(near.max() / alike[0]) if len(near) and alike[0] > 0 else 0.0


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
