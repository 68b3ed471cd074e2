"""Complete programs that use Penstock as a user would."""

__all__: list[str] = []
