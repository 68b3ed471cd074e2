"""Penstock's own benchmarks: ratios measured in one run, with every promise switched on.

``python -m bench`` (or ``make bench``) takes about a minute. See `docs/benchmarks.md`.
"""
