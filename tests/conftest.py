"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A property is true or false, not slow: on a busy machine one example may take any time.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")
