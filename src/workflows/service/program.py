"""The service as a program: it serves until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from pydantic import SecretStr

from projector.opening import hygiene_from_environment, open_existing_store
from workflows.service.desk import desk
from workflows.service.safety import LOOPBACK, Rules
from workflows.service.serving import EVERYWHERE, serving, settle
from workflows.settings import OrchestratorSettings


async def serve_until_told(settings: OrchestratorSettings, say: Callable[[str], None]) -> None:
    """Serve one store until SIGINT or SIGTERM. Raises StoreError, InputRejected for an address that cannot be had."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    hygiene = hygiene_from_environment()
    store = await asyncio.to_thread(open_existing_store, settings, hygiene)
    try:
        async with (
            desk(settings, store, hygiene) as made,
            serving(
                made,
                settings.serve_host,
                settings.serve_port,
                rules_of(settings),
                request_within=settings.serve_request_timeout,
            ) as address,
        ):
            settle()
            say(f"serves {address} until it is told to stop; {address}/openapi.json says what can be asked")
            await stopping.wait()
    finally:
        await asyncio.to_thread(store.close)


def rules_of(settings: OrchestratorSettings) -> Rules:
    """Who is let in, as the settings say.

    Whoever listens at all addresses of a machine is reached by names that nobody can list. He has a token, without
    which no page from elsewhere gets an answer, under whatever name it came.
    """
    names = {name.strip().lower() for name in settings.serve_names.split(",") if name.strip()}
    return Rules(
        hosts=None if settings.serve_host in EVERYWHERE else LOOPBACK | {settings.serve_host.lower()} | names,
        operator=_value_of(settings.serve_token),
        reader=_value_of(settings.serve_read_token),
    )


def _value_of(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None and secret.get_secret_value() else None
