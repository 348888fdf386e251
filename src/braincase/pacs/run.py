"""Run the node: listen, work on one study after the other, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing

from braincase.errors import BraincaseError
from braincase.gallery import open_gallery
from braincase.images.geometry import grid_of_resolution
from braincase.models.encoder import Encoder
from braincase.pacs.ledger import Ledger
from braincase.pacs.node import Node
from braincase.pacs.preparing import Preparer
from braincase.pacs.settings import PacsSettings
from braincase.pacs.spool import Spool, locked
from braincase.pacs.steps import Workshop, check_gallery, work_on
from braincase.sources.pseudonym import local_key

POLL_S, SWEEP_S = 0.2, 30.0
log = logging.getLogger("braincase")


def run(url: str, fingerprint: str, load: Callable[[], Encoder], settings: PacsSettings) -> None:
    """Serve until stopped.

    Parameters
    ----------
    url, fingerprint
        The gallery, and the model that it must be of.
    load
        Loads the model in the worker process.
    settings
        The configuration.

    Raises
    ------
    UsageError
        If the spool is in use or the address cannot be had.
    BraincaseError
        If gallery or model cannot be used.
    """
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    key = local_key()
    with locked(settings.node.spool), closing(open_gallery(url, fingerprint)) as gallery:
        check_gallery(gallery)
        with closing(Ledger(settings.node.spool)) as ledger:
            spool = Spool(settings.node, settings.limits, key, ledger)
            spool.clean()
            grid = grid_of_resolution(gallery.info().resolution_mm)
            preparer = Preparer(load, spool.worker, grid, settings.limits)
            shop = Workshop(settings, spool, ledger, gallery, preparer, key)
            with closing(preparer), closing(Node(settings, spool, ledger)) as node:
                host = settings.node.host
                print(f"Braincase: {settings.node.ae_title}@{host}:{node.port}  (Ctrl-C ends it)",
                      flush=True)  # fmt: skip
                preparer.start()
                _serve(shop, node, stop)


def _serve(shop: Workshop, node: Node, stop: threading.Event) -> None:
    swept = -math.inf
    while not stop.is_set():
        try:
            if time.monotonic() - swept > SWEEP_S:
                swept = time.monotonic()
                settings = shop.settings
                shop.ledger.cap_times(settings.node.quiet_s, settings.limits.most_retry_s)
                shop.spool.sweep()
                node.check()
            study = shop.ledger.due()
            if study is not None:
                work_on(shop, study)
                continue
        except KeyboardInterrupt:
            return
        except (OSError, BraincaseError) as error:
            log.error("The node waits (%s).", type(error).__name__)
            stop.wait(5.0)
        stop.wait(POLL_S)
