"""Events in, status out."""


def version() -> str:
    """The installed version of this project, or 0 in a source tree that was not installed."""
    import importlib.metadata

    try:
        return importlib.metadata.version("execution-status")
    except importlib.metadata.PackageNotFoundError:
        return "0"
