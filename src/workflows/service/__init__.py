"""The live status service: HTTP, for programs and for people."""
