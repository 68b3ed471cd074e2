"""The back end of WatchParty: mail, images, clean-up and cached reads as jobs. See README."""

__all__: list[str] = []
