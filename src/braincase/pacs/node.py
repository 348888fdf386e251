"""The DICOM node (pynetdicom): C-ECHO and C-STORE for peers on a list, within limits.

A C-STORE is answered with success when its instance is on the disk (`spool.Spool.take`). Data sets
go to the disk as they come, never whole into memory; what a peer may send at once is counted byte
by byte, below pynetdicom, which itself would read whatever length a PDU claims.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import sqlite3
import ssl
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from braincase.errors import ScanError, UsageError
from braincase.pacs.commitment import word_of
from braincase.pacs.ledger import Ledger
from braincase.pacs.sending import hurry
from braincase.pacs.settings import PacsSettings, Peer, Tls
from braincase.pacs.spool import Spool, SpoolFullError

#: Statuses of a C-STORE: stored; out of resources; cannot understand.
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
#: The longest PDU that is no data: an association request with all its contexts.
MOST_REQUEST = 1 << 20
#: Bytes of a message that is no C-STORE, which stays in memory.
MOST_MESSAGE = 1 << 20
#: Commands and framing around an instance.
SLACK = 1 << 16
CHUNK = 1 << 16
#: Transfer syntaxes taken: those that pydicom or dcm2niix decodes.
TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.5",  # RLE Lossless
)

log = logging.getLogger("braincase")


class Node:
    """A DICOM node that listens until it is closed.

    Parameters
    ----------
    settings
        Its configuration.
    spool, ledger
        Where instances go.

    Raises
    ------
    UsageError
        If the address cannot be had, or a TLS file cannot be read.
    """

    def __init__(self, settings: PacsSettings, spool: Spool, ledger: Ledger) -> None:
        self._settings, self._spool, self._ledger = settings, spool, ledger
        self._open: dict[Any, tuple[str, float]] = {}
        self._studies: dict[Any, set[str]] = {}
        self._lock = threading.Lock()
        # pynetdicom's log would name UIDs, and pydicom's warnings values of patients.
        logging.getLogger("pynetdicom").addHandler(logging.NullHandler())
        for name in ("pynetdicom", "pydicom", "highdicom"):
            logging.getLogger(name).propagate = False
            logging.getLogger(name).setLevel(logging.CRITICAL)
        _config.STORE_RECV_CHUNKED_DATASET = True
        _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
        _config.LOG_HANDLER_LEVEL = "none"
        tempfile.tempdir = str(spool.arriving)  # where pynetdicom writes what arrives
        host, port = settings.node.host, settings.node.port
        try:
            self._server = self._entity().start_server(
                (host, port), block=False, evt_handlers=self._handlers(),
                ssl_context=server_context(settings.tls) if settings.tls else None,
            )  # fmt: skip
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"{host}:{port}", reason, "a free port of this machine") from None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        """Stop to listen, and end every association."""
        self._server.shutdown()
        self._server.server_close()
        for assoc in list(self._open):
            shut(assoc)

    def check(self) -> None:
        """End associations that have lasted too long."""
        until = time.monotonic() - self._settings.limits.association_s
        with self._lock:
            late = [assoc for assoc, (_, since) in self._open.items() if since < until]
        for assoc in late:
            self._ledger.count("association too long")
            shut(assoc)

    def _entity(self) -> AE:
        limits, node = self._settings.limits, self._settings.node
        entity = AE(node.ae_title)
        entity.require_called_aet = True
        entity.maximum_associations = limits.associations
        entity.maximum_pdu_size = limits.pdu_bytes
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = limits.idle_s
        entity.add_supported_context(Verification)
        if self._settings.archive and self._settings.archive.commit:
            entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, list(TRANSFER_SYNTAXES))
        return entity

    def _handlers(self) -> list[tuple[Any, Any]]:
        return [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_C_ECHO, self._on_echo),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_EVENT_REPORT, self._on_event_report),
            (evt.EVT_RELEASED, self._on_release),
            (evt.EVT_CONN_CLOSE, self._on_close),
        ]

    def _on_open(self, event: Any) -> None:
        """Let a connection in, or shut it: unknown addresses and too many learn nothing."""
        address, limits = str(event.address[0]), self._settings.limits
        with self._lock:
            addresses = Counter(address for address, _ in self._open.values())
            too_many = len(self._open) >= 2 * limits.associations
            too_many |= addresses[address] >= limits.peer_associations
            self._open[event.assoc] = (address, time.monotonic())
        if not self._peers(address) and not self._is_archive(address):
            self._ledger.count("refused: unknown address")
            shut(event.assoc)
        elif too_many:
            self._ledger.count("refused: too many associations")
            shut(event.assoc)
        else:
            _bound(event.assoc, limits.pdu_bytes, limits.instance_bytes, limits.idle_s)

    def _peers(self, address: str) -> list[Peer]:
        """Return the peers of an address; without any in the file, this machine is one."""
        if not self._settings.peers:
            return [Peer("", address)] if ipaddress.ip_address(address).is_loopback else []
        asking = ipaddress.ip_address(address)
        return [p for p in self._settings.peers if ipaddress.ip_address(p.address) == asking]

    def _peer_of(self, assoc: Any) -> Peer | None:
        address, _ = self._open.get(assoc, ("0.0.0.0", 0.0))
        title = str(assoc.requestor.primitive.calling_ae_title).strip()
        peers = [p for p in self._peers(address) if p.ae_title in ("", title)]
        if not peers and self._is_archive(address):
            archive = self._settings.archive
            return Peer(title, address, ()) if archive and archive.ae_title == title else None
        return peers[0] if peers else None

    def _is_archive(self, address: str) -> bool:
        """Say whether an address is of the archive that answers for storage commitment."""
        archive = self._settings.archive
        return bool(archive and archive.commit and address in addresses_of(archive.host))

    def _on_event_report(self, event: Any) -> tuple[int, None]:
        peer = self._peer_of(event.assoc)
        archive = self._settings.archive
        event.assoc.dul.socket.handled()
        if peer is None or archive is None or not self._is_archive(peer.address):
            self._ledger.count("refused: storage commitment of a stranger")
            return 0x0124, None  # not authorised
        request, failed = word_of(event.event_information)
        self._ledger.note_commitment(request, [self._spool.result_name(uid) for uid in failed])
        return SUCCESS, None

    def _on_request(self, event: Any) -> None:
        if self._peer_of(event.assoc) is None:
            self._ledger.count("refused: unknown AE title")
            event.assoc.acse.send_reject(0x01, 0x01, 0x03)

    def _on_echo(self, event: Any) -> int:
        peer = self._peer_of(event.assoc)
        event.assoc.dul.socket.handled()
        return SUCCESS if peer and "echo" in peer.may else 0x0122  # SOP class not supported

    def _on_store(self, event: Any) -> int:
        code, reason = self._stored(event)
        if reason:
            with suppress(sqlite3.Error):  # the ledger may lie on the full disk too
                self._ledger.count(reason)
        with suppress(OSError):
            event.assoc.dul.socket.handled()
            if event.request._dataset_path:
                Path(event.request._dataset_path).unlink(missing_ok=True)
        return code

    def _stored(self, event: Any) -> tuple[int, str]:
        """Take an instance; return the status to answer, and what is counted if it was refused."""
        peer = self._peer_of(event.assoc)
        if peer is None or "store" not in peer.may:
            return 0x0124, "refused: peer may not store"  # not authorised
        path = event.request._dataset_path
        if path is None:  # pynetdicom could not open a file for it
            return OUT_OF_RESOURCES, "not stored: disk"
        try:
            study = self._spool.take(Path(path), str(event.request.AffectedSOPInstanceUID))
            self._studies.setdefault(event.assoc, set()).add(study)
            return SUCCESS, ""
        except ScanError:
            return CANNOT_UNDERSTAND, "refused: not the declared data set"
        except SpoolFullError as error:
            return OUT_OF_RESOURCES, f"refused: {error}"
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            log.error("An instance could not be stored (%s); its sender was told.", reason)
            return OUT_OF_RESOURCES, "not stored: disk"
        except Exception as error:  # one instance nobody thought of must not end the node
            log.error("An instance could not be stored (%s).", type(error).__name__)
            return CANNOT_UNDERSTAND, "not stored: unexpected"

    def _on_release(self, event: Any) -> None:
        studies = self._studies.pop(event.assoc, set())
        self._ledger.shorten_quiet(studies, self._settings.node.release_quiet_s)

    def _on_close(self, event: Any) -> None:
        self._studies.pop(event.assoc, None)
        with self._lock:
            self._open.pop(event.assoc, None)
        message = event.assoc.dimse.message
        if path := getattr(message, "_data_set_path", None):  # never came to its end
            Path(path).unlink(missing_ok=True)


def addresses_of(host: str) -> set[str]:
    """Return the addresses of a host; none if its name is not known."""
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return set()


def shut(assoc: Any) -> None:
    """Shut a connection down; its threads see the end and stop."""
    with suppress(OSError, AttributeError):
        assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)


def _bound(assoc: Any, pdu_bytes: int, instance_bytes: int, idle_s: float) -> None:
    """Put bounds on what is read from an association's socket.

    Longer PDUs than were negotiated are not read; nor is more than one instance, and what waits
    for its answer, nor a message that is no C-STORE and would stay in memory.
    """
    transport = assoc.dul.socket
    transport.socket.settimeout(idle_s)
    pending = 0

    def read(count: int) -> bytearray:
        nonlocal pending
        if count > max(pdu_bytes + 12, MOST_REQUEST):
            return bytearray()
        if pending > instance_bytes + SLACK or (pending > MOST_MESSAGE and _in_memory(assoc)):
            return bytearray()
        content = bytearray()
        while len(content) < count:
            part = transport.socket.recv(min(CHUNK, count - len(content)))
            if not part:
                break
            content += part
        pending += len(content)
        return content

    def handled() -> None:
        nonlocal pending
        pending = 0

    transport.recv, transport.handled = read, handled
    hurry(assoc)


def _in_memory(assoc: Any) -> bool:
    """Say whether the message on its way is no instance that goes to a file."""
    message = assoc.dimse.message
    return message is not None and message._data_set_file is None


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return how connections are encrypted.

    Raises
    ------
    UsageError
        If a file cannot be used.
    """
    context = _PatientContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise UsageError(tls.certificate, f"cannot be used ({error})", "PEM files") from None
    return context


class _PatientContext(ssl.SSLContext):
    """TLS whose handshake waits for the first bytes, in the connection's own thread."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap a socket; a silent client keeps nobody else waiting."""
        return super().wrap_socket(sock, *args, **options | {"do_handshake_on_connect": False})
