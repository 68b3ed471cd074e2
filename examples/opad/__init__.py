"""Articles for learners of a language, written by jobs: web, API and worker apart. See README."""

__all__: list[str] = []
