"""Checks and fakes that ship with Bursar, for its own tests and for those of every plugin."""
