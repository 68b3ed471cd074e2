"""Audio files of the example's own making: tones, noise and music-like mixes, WAV and FLAC.

What was put into a file is known, and so is what an analysis has to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import soundfile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from examples.audio_analysis.jobs import Analysis

__all__ = ["Truth", "make_broken", "make_files"]

_SECONDS: Final = 3.0
_FORMATS: Final = (
    ("wav", 44_100, "PCM_16"),
    ("flac", 48_000, "PCM_24"),
    ("wav", 48_000, "FLOAT"),
    ("flac", 44_100, "PCM_16"),
)


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a file; None is what nobody can tell.

    Attributes:
        file_key: Of the file.
        lufs: Its loudness.
        hz: Its dominant frequency.
        bpm: Its tempo; 0 is none.
    """

    file_key: str
    lufs: float | None = None
    hz: float | None = None
    bpm: float | None = None

    def agrees(self, found: Analysis) -> bool:
        """Whether an analysis found it, within 0.3 LU, 7 Hz (a bin) and 3 % of the tempo."""
        spectrum_hz = found.spectrum.dominant_hz if found.spectrum else None
        return (
            found.file_key == self.file_key
            and _near(self.lufs, found.loudness_lufs, 0.3)
            and _near(self.hz, spectrum_hz, 7)
            and _near(self.bpm, found.tempo_bpm or 0, 0.03 * (self.bpm or 0))
        )


def make_files(root: Path, folder: str, count: int) -> list[Truth]:
    """Writes files of each kind in turn, below a root; returns what is in them."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    return [_make(root, folder, number) for number in range(count)]


def make_broken(root: Path, folder: str) -> str:
    """Writes a file that calls itself WAV, and is none; returns its key."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "broken.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE, or so they say" * 20)
    return f"{folder}/broken.wav"


def _make(root: Path, folder: str, number: int) -> Truth:
    suffix, rate, subtype = _FORMATS[number % len(_FORMATS)]
    random = np.random.default_rng(number)
    step = number // 4
    match number % 4:
        case 0:
            # BS.1770 is made so that a stereo tone of 997 Hz is as loud as its level.
            level = -14.0 - step % 20
            name, sound = "tone", _tone(997, level, rate)
            truth = {"lufs": level, "hz": 997.0, "bpm": 0.0}
        case 1:
            name, sound = "noise", random.normal(0, 0.05, (int(_SECONDS * rate), 2))
            truth = {"bpm": 0.0}
        case 2:
            bpm = 90.0 + 10 * (step % 6)
            name, sound = "mix", _mix(bpm, rate, random)
            truth = {"bpm": bpm}
        case _:
            hz = 220.0 * 2 ** (step % 24 / 12)
            name, sound = "chord", _tone(hz, -20, rate) + _tone(hz * 1.5, -30, rate)
            truth = {"hz": hz, "bpm": 0.0}
    file_key = f"{folder}/{name}-{number}.{suffix}"
    soundfile.write(root / file_key, sound, rate, subtype=subtype)
    return Truth(file_key, **truth)


def _tone(hz: float, dbfs: float, rate: int) -> NDArray[np.float64]:
    time = np.arange(int(_SECONDS * rate)) / rate
    wave = 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * time)
    return np.column_stack([wave, wave])


def _mix(bpm: float, rate: int, random: np.random.Generator) -> NDArray[np.float64]:
    """A drum on each beat, a hiss between two, and a quiet chord: three things at once."""
    sound = _tone(220, -34, rate)[:, 0] + _tone(277.2, -34, rate)[:, 0]
    drum = np.arange(int(0.12 * rate)) / rate
    drum = 0.5 * np.exp(-drum * 35) * np.sin(2 * np.pi * 60 * drum)
    hiss = 0.04 * random.normal(0, 1, int(0.04 * rate)) * np.linspace(1, 0, int(0.04 * rate))
    beats = np.arange(0, _SECONDS, 60 / bpm)
    for at, part in [*((beat, drum) for beat in beats), *((b + 30 / bpm, hiss) for b in beats)]:
        start = int(at * rate)
        fits = min(len(part), max(0, len(sound) - start))
        sound[start : start + fits] += part[:fits]
    return np.column_stack([sound, sound * 0.8])


def _near(expected: float | None, found: float | None, within: float) -> bool:
    return expected is None or (found is not None and abs(found - expected) <= within)
