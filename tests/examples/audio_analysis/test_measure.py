"""The measuring: what is put into a file is found in it, and what is no audio is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from examples.audio_analysis import tones
from examples.audio_analysis.jobs import path_of
from examples.audio_analysis.measure import STEPS, NoAudioError, analyze

if TYPE_CHECKING:
    from pathlib import Path

    from examples.audio_analysis.jobs import Analysis

RATE = 48_000


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIO_ROOT", str(tmp_path))


def measured(file_key: str) -> Analysis:
    return analyze(file_key, lambda _, __: None)


def written(samples: np.ndarray, file_key: str = "a.wav", rate: int = RATE) -> str:
    soundfile.write(path_of(file_key), samples, rate, subtype="FLOAT")
    return file_key


def test_what_is_in_a_file_is_found(tmp_path: Path) -> None:
    for truth in tones.make_files(tmp_path, "made", 16):
        found = measured(truth.file_key)
        assert truth.agrees(found), f"{truth}\n{found}"
        assert found.seconds == pytest.approx(3)
        assert found.channels == 2


def test_the_steps_are_told() -> None:
    told: list[tuple[int, str]] = []
    analyze(written(np.ones((RATE, 1)) * 0.1), lambda *step: told.append(step))
    assert told == list(enumerate(STEPS))


def test_the_true_peak_lies_between_the_samples() -> None:
    """A quarter of the sampling rate, 45 degrees off: each sample is 3 dB below the peak."""
    time = np.arange(RATE * 8)  # Longer than a block.
    wave = 0.5 * np.sin(np.pi / 2 * time + np.pi / 4)
    peak = measured(written(wave[:, None])).true_peak_dbtp
    assert peak == pytest.approx(20 * math.log10(0.5), abs=0.2)
    assert 20 * math.log10(np.abs(wave).max()) < -9


def test_silence_has_no_loudness() -> None:
    found = measured(written(np.zeros((RATE, 2))))
    assert (found.loudness_lufs, found.true_peak_dbtp, found.spectrum) == (None, None, None)
    assert found.tempo_bpm is None


def test_channels_that_cancel_each_other_out_have_no_spectrum() -> None:
    wave = 0.1 * np.sin(np.arange(RATE) / 10)
    found = measured(written(np.column_stack([wave, -wave])))
    assert found.loudness_lufs is not None
    assert found.spectrum is None


@pytest.mark.parametrize("channels", [1, 5])
def test_up_to_five_channels_are_measured(channels: int) -> None:
    wave = 0.1 * np.sin(np.arange(RATE) / 10)
    assert measured(written(np.column_stack([wave] * channels))).channels == channels


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    tone = 0.1 * np.ones((RATE, 1))
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere.wav").symlink_to("/etc/passwd")
    bad = {
        tones.make_broken(tmp_path, "made"): "cannot be read",
        "missing.wav": "cannot be read",
        "empty.wav": "cannot be read",
        "folder": "cannot be read",
        "elsewhere.wav": "not below AUDIO_ROOT",
        "../../etc/passwd": "not below AUDIO_ROOT",
        written(tone[: RATE // 4], "short.wav"): "0.2 s and 1 channels",
        written(np.zeros((0, 1)), "nothing.wav"): "0.0 s",
        written(tone, "long.wav", rate=50): "960.0 s",
        written(np.repeat(tone, 6, axis=1), "many.wav"): "6 channels",
        written(tone * np.nan, "nan.wav"): "no numbers",
    }
    for file_key, why in bad.items():
        with pytest.raises(NoAudioError, match=why):
            measured(file_key)
