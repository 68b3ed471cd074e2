"""The command line: the composition root, and the only package that may import all the others.

One file per group of commands. What a command needs is imported when it runs, not when the
program starts, so that ``penstock --help`` and the probe of a container cost next to nothing.
"""

__all__: list[str] = []
