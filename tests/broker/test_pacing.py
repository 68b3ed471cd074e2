"""When a write waits for company: at high rates, never at low ones."""

from __future__ import annotations

from penstock.broker.pacing import Window

WINDOW_S = 0.001


def delays_at(commands_per_s: float, *, per_write: int, window: Window) -> list[float]:
    """Delays proposed over 100 writes at a steady rate, after those that came before."""
    now = window._last_write
    delays = []
    for _ in range(100):
        now += per_write / commands_per_s
        window.written(per_write, now)
        delays.append(window.delay_s())
    return delays


def test_a_write_waits_for_company_only_where_it_will_come() -> None:
    window = Window(WINDOW_S)
    assert window.delay_s() == 0
    assert set(delays_at(1_500, per_write=1, window=window)) == {0}
    assert delays_at(20_000, per_write=1, window=window)[-1] == WINDOW_S
    assert set(delays_at(20_000, per_write=20, window=window)) == {WINDOW_S}
    assert delays_at(1_500, per_write=2, window=window)[-1] == 0


def test_a_long_pause_does_not_hide_the_rate_of_what_follows() -> None:
    window = Window(WINDOW_S)
    delays_at(20_000, per_write=20, window=window)
    window.written(1, window._last_write + 3600)
    assert window.delay_s() == 0
    assert delays_at(20_000, per_write=20, window=window)[-1] == WINDOW_S
