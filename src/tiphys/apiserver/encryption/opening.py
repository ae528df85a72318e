"""A store with encryption as the settings ask for, kept up to date with its file and its key services."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tiphys.api.kinds import KINDS
from tiphys.apiserver.configfile import ConfigError
from tiphys.apiserver.encryption import config
from tiphys.apiserver.encryption.kms import KmsUnavailable
from tiphys.apiserver.encryption.store import EncryptedStore
from tiphys.apiserver.encryption.transformers import Transformers
from tiphys.apiserver.reloading import Reloads
from tiphys.apiserver.security import EncryptionSettings
from tiphys.base.clock import Clock
from tiphys.store.interface import Store


async def encrypted(
    store: Store, settings: EncryptionSettings, reloads: Reloads, clock: Clock
) -> tuple[Store, asyncio.Task[None]]:
    """(the store to use instead, the task that follows the key services). Raises ConfigError."""
    path = settings.config_file
    if path is None:
        raise ValueError("there is no encryption configuration")
    made = EncryptedStore(store, await asyncio.to_thread(_transformers, path))
    if settings.reload:
        reloads.add(path, lambda: made.replace(_transformers(path)))
    return made, asyncio.create_task(made.refresh(clock), name="key services")


def _transformers(path: Path) -> Transformers:
    made = Transformers(config.load(path), [kind for kind in KINDS if kind.stored])
    try:
        made.refresh()
    except KmsUnavailable as error:
        made.close()
        raise ConfigError(f"{path}: {error}") from error
    return made
