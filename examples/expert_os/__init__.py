"""Heavy tasks behind a web API that only accepts them: documents and content. See README."""

__all__: list[str] = []
