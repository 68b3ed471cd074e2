"""The demonstration: real jobs on real files, with failures made on purpose. See ``__main__``."""

__all__: list[str] = []
