"""Audio analysis: loudness, true peak, spectrum and tempo of files, measured by a fleet."""

__all__: list[str] = []
