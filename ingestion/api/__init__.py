"""The HTTP API, and what monitoring asks."""
