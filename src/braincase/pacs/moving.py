"""The receiver of C-MOVE: a storage SCP that runs while a pull does, for archives without C-GET."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from braincase.errors import UsageError
from braincase.pacs.node import TRANSFER_SYNTAXES, addresses_of, server_context, shut
from braincase.pacs.sending import hurry
from braincase.pacs.settings import Archive, Pull, Tls

#: Classes of MR images; no other objects are asked for.
MR_CLASSES = (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)


class MoveReceiver:
    """A storage SCP for one archive: takes the series that was asked for, and nothing else.

    Parameters
    ----------
    archive
        Whose addresses may connect.
    pull
        Where it listens, and its AE title, which the archive must know.
    tls
        How it is encrypted, if it is.

    Raises
    ------
    UsageError
        If the address cannot be had.
    """

    def __init__(self, archive: Archive, pull: Pull, tls: Tls | None) -> None:
        self.title = pull.ae_title
        self._addresses = addresses_of(archive.host)
        self._series, self._taken = "", list[Any]()
        entity = AE(self.title)
        entity.require_called_aet = True
        for kind in MR_CLASSES:
            entity.add_supported_context(kind, list(TRANSFER_SYNTAXES))
        handlers = [(evt.EVT_CONN_OPEN, self._on_open), (evt.EVT_C_STORE, self._on_store)]
        try:
            self._server = entity.start_server(
                (pull.host, pull.port), block=False, evt_handlers=handlers,
                ssl_context=server_context(tls) if tls else None,
            )  # fmt: skip
        except OSError as error:
            where, reason = f"{pull.host}:{pull.port}", error.strerror or str(error)
            raise UsageError(where, reason, "a free port for C-MOVE ([pull])") from None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.socket.getsockname()[1])

    @contextmanager
    def expecting(self, series: str) -> Iterator[list[Any]]:
        """Take the images of a series while the block runs, into the list that is yielded."""
        self._series, self._taken = str(series), []
        try:
            yield self._taken
        finally:
            self._series, self._taken = "", []

    def close(self) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()

    def _on_open(self, event: Any) -> None:
        if str(event.address[0]) not in self._addresses:
            shut(event.assoc)
        hurry(event.assoc)

    def _on_store(self, event: Any) -> int:
        image = event.dataset
        if not self._series or str(image.get("SeriesInstanceUID")) != self._series:
            return 0x0124  # not authorised
        image.file_meta = event.file_meta
        self._taken.append(image)
        return 0x0000
