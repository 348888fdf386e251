"""Configuration (TOML) of the DICOM node: strict keys, defaults, no impossible combinations."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar, get_type_hints
from urllib.parse import urlsplit

from braincase.errors import UsageError
from braincase.files import read_toml

MIB = 1 << 20
#: What a peer may do.
RIGHTS = ("echo", "store")
#: An AE title: 1 to 16 printable letters of ASCII, no backslash (DICOM PS3.5, 6.2).
AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
Section = TypeVar("Section")


@dataclass(frozen=True)
class NodeSettings:
    """Where the node listens: `[node]`.

    Parameters
    ----------
    spool
        Its private folder.
    ae_title, host, port
        Its name and address; port 0 takes any free one.
    plain_network
        Whether it may listen beyond this machine without TLS.
    quiet_s
        Seconds without a new instance after which a study is complete.
    release_quiet_s
        The same once the sender has released its association.
    keep_hours
        How long a study's images stay after its end.
    """

    spool: Path
    ae_title: str = "BRAINCASE"
    host: str = "127.0.0.1"
    port: int = 11112
    plain_network: bool = False
    quiet_s: float = 60.0
    release_quiet_s: float = 5.0
    keep_hours: float = 24.0


@dataclass(frozen=True)
class Peer:
    """Another DICOM node that may call: `[[peer]]`."""

    ae_title: str
    address: str
    may: tuple[str, ...] = RIGHTS


@dataclass(frozen=True)
class Tls:
    """Files for TLS (PEM): `[tls]`; with `client_ca` peers must show a certificate of it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class NodeLimits:
    """Limits of the node: `[limits]`.

    Parameters
    ----------
    associations, peer_associations
        Open at once, of all peers and of one address.
    association_s, idle_s
        Seconds that one may last, and that it may be silent.
    pdu_bytes
        Largest PDU taken.
    instance_bytes, study_bytes, study_instances
        The largest instance; the largest study.
    spool_bytes
        All images in the spool together.
    free_bytes
        What is left free on the disk.
    memory_bytes, study_s
        Memory and seconds of the worker for one study.
    tries
        How often the work on a study is tried; sending goes on for ever.
    retry_s, most_retry_s
        First and longest pause before the next try; each is twice the one before.
    """

    associations: int = 10
    peer_associations: int = 5
    association_s: float = 3600.0
    idle_s: float = 60.0
    pdu_bytes: int = 131_072
    instance_bytes: int = 1024 * MIB
    study_bytes: int = 4096 * MIB
    study_instances: int = 20_000
    spool_bytes: int = 65_536 * MIB
    free_bytes: int = 1024 * MIB
    memory_bytes: int = 6144 * MIB
    study_s: float = 600.0
    tries: int = 5
    retry_s: float = 10.0
    most_retry_s: float = 900.0


@dataclass(frozen=True)
class Results:
    """What is sent back: `[results]`.

    Parameters
    ----------
    report, pictures, pdf
        A structured report, a picture series, an encapsulated PDF.
    k, where, label, normality
        As the options of ``braincase search``.
    hit_studies
        Whether the report names the hits' own studies, where the link file knows them.
    series_number
        Of the first result series.
    """

    report: bool = True
    pictures: bool = True
    pdf: bool = False
    k: int = 8
    where: str = ""
    label: str | None = None
    normality: bool = False
    hit_studies: bool = False
    series_number: int = 9800


@dataclass(frozen=True)
class Archive:
    """The archive: `[archive]`.

    Parameters
    ----------
    ae_title, host, port
        Where results go by C-STORE, and what C-FIND and C-GET ask.
    tls, ca
        Whether it speaks TLS, and who signed its certificate (of DICOMweb too).
    certificate, key
        PEM files that it is shown, where it asks for them.
    move
        Whether images are asked for by C-MOVE instead of C-GET; see `Pull`.
    commit
        Whether it must commit to storing the results before a study counts as sent.
    dicomweb
        Its DICOMweb root; `pull` then asks by QIDO-RS and WADO-RS.
    login
        File, mode 0600, with a login for DICOMweb; see `dicomweb.authorization_of`.
    stow
        Whether results are sent by STOW-RS instead of C-STORE.
    """

    ae_title: str
    host: str = "127.0.0.1"
    port: int = 104
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    move: bool = False
    commit: bool = False
    dicomweb: str | None = None
    login: Path | None = None
    stow: bool = False


@dataclass(frozen=True)
class Pull:
    """How studies are pulled: `[pull]`.

    Parameters
    ----------
    per_minute
        Series a minute at most; 0 for no limit.
    window
        Hours of the day at which images are moved, such as ``20:00-06:00``; empty for any time.
    ae_title, host, port
        Where C-MOVE sends to while a pull runs; the archive must know it.
    """

    per_minute: float = 30.0
    window: str = ""
    ae_title: str = "BRAINCASE_PULL"
    host: str = "127.0.0.1"
    port: int = 11113


@dataclass(frozen=True)
class PacsSettings:
    """The whole configuration."""

    node: NodeSettings
    archive: Archive | None = None
    peers: tuple[Peer, ...] = ()
    tls: Tls | None = None
    limits: NodeLimits = field(default_factory=NodeLimits)
    results: Results = field(default_factory=Results)
    pull: Pull = field(default_factory=Pull)


def read_settings(path: Path) -> PacsSettings:
    """Read a configuration file; docs/pacs.md explains every key.

    Raises
    ------
    UsageError
        If it cannot be read, or a key is unknown, missing, of another type or does not fit others.
    """
    content = read_toml(path, "a TOML file (docs/pacs.md)")
    known = {"node", "archive", "peer", "tls", "limits", "results", "pull"}
    if unknown := sorted(set(content) - known):
        raise UsageError(path, f"unknown section [{unknown[0]}]", f"of {', '.join(sorted(known))}")
    if "node" not in content:
        raise UsageError(path, "no section [node]", "one with the key 'spool'")
    peers = content.get("peer", [])
    if not isinstance(peers, list):
        raise UsageError(path, "[peer]", "[[peer]], once for each")
    settings = PacsSettings(
        node=_section(path, "node", NodeSettings, content["node"]),
        archive=_optional(path, "archive", Archive, content),
        peers=tuple(_section(path, "peer", Peer, peer) for peer in peers),
        tls=_optional(path, "tls", Tls, content),
        limits=_section(path, "limits", NodeLimits, content.get("limits", {})),
        results=_section(path, "results", Results, content.get("results", {})),
        pull=_section(path, "pull", Pull, content.get("pull", {})),
    )
    for what, expected in _contradictions(settings):
        raise UsageError(path, what, expected)
    return settings


def _optional(
    path: Path, name: str, kind: type[Section], content: Mapping[str, object]
) -> Section | None:
    return _section(path, name, kind, content[name]) if name in content else None


def _section(path: Path, name: str, kind: type[Section], content: object) -> Section:
    """Return one section as a record, each value of the type that its field has."""
    if not isinstance(content, dict):
        raise UsageError(path, f"{name} = {content!r}", f"a section [{name}]")
    types = get_type_hints(kind)
    if unknown := sorted(set(content) - set(types)):
        expected = f"of {', '.join(types)}"
        raise UsageError(path, f"unknown key {unknown[0]!r} in [{name}]", expected)
    needed = [part.name for part in fields(kind) if not _has_default(part)]  # type: ignore[arg-type]
    if missing := [key for key in needed if key not in content]:
        raise UsageError(path, f"no {missing[0]!r} in [{name}]", ", ".join(needed))
    values = {k: _value(path, f"{name}.{k}", types[k], value) for k, value in content.items()}
    return kind(**values)


def _has_default(part: object) -> bool:
    from dataclasses import MISSING

    return getattr(part, "default", MISSING) is not MISSING


def _value(path: Path, name: str, kind: object, value: object) -> object:
    """Return one value checked; paths are relative to the file."""
    words = str(kind)
    if kind is bool or kind is str or kind is int:
        if type(value) is kind and (kind is not int or int(str(value)) >= 0):
            return value
    elif kind is float:
        if type(value) in (int, float) and float(str(value)) >= 0:
            return float(str(value))
    elif "tuple" in words:
        if isinstance(value, list) and value and all(right in RIGHTS for right in value):
            return tuple(value)
        raise UsageError(path, f"{name} = {value!r}", f"a list of {', '.join(RIGHTS)}")
    elif isinstance(value, str):
        return path.parent / Path(value).expanduser() if "Path" in words else value
    expected = {bool: "true or false", str: "a text", int: "a whole number, 0 or more"}
    wanted = expected.get(kind, "a number, 0 or more" if kind is float else "a text")  # type: ignore[call-overload]
    raise UsageError(path, f"{name} = {value!r}", wanted)


def _contradictions(settings: PacsSettings) -> list[tuple[str, str]]:
    """Return what cannot be, and what would be right."""
    node, pull, wrong = settings.node, settings.pull, []
    titles = [("node", node.ae_title), *(("peer", peer.ae_title) for peer in settings.peers)]
    titles += [("archive", settings.archive.ae_title)] if settings.archive else []
    for where, title in [*titles, ("pull", pull.ae_title)]:
        if not AE_TITLE.fullmatch(title) or title != title.strip():
            wrong.append((f"{where}.ae_title = {title!r}", "1 to 16 letters of ASCII"))
    wrong += [
        (f"peer.address = {peer.address!r}", "an address such as 10.0.0.7")
        for peer in settings.peers
        if not _is_address(peer.address)
    ]
    for where, host in (("node", node.host), ("pull", pull.host)):
        if not _is_address(host):
            wrong.append((f"{where}.host = {host!r}", "an address such as 127.0.0.1"))
        elif not ipaddress.ip_address(host).is_loopback:
            if settings.tls is None and not node.plain_network:
                expected = "[tls], or node.plain_network = true where the network itself is closed"
                wrong.append((f"{where}.host = {host!r} without [tls]", expected))
            if where == "node" and not settings.peers:
                wrong.append((f"node.host = {host!r} without a [[peer]]", "who may call"))
    results, limits = settings.results, settings.limits
    if not (results.report or results.pictures or results.pdf):
        wrong.append(("[results] with nothing to send", "report, pictures or pdf"))
    if not 1 <= results.k <= 50:
        wrong.append((f"results.k = {results.k}", "1 to 50"))
    if limits.study_bytes < limits.instance_bytes:
        wrong.append(("limits.study_bytes below limits.instance_bytes", "at least as much"))
    if limits.tries < 1 or limits.associations < 1:
        wrong.append(("limits.tries or limits.associations = 0", "1 or more"))
    if max(node.port, pull.port) > 65535:
        wrong.append(("a port above 65535", "a port"))
    if pull.window and not WINDOW.fullmatch(pull.window):
        wrong.append((f"pull.window = {pull.window!r}", "hours such as 20:00-06:00"))
    return wrong + (_archive_contradictions(settings.archive) if settings.archive else [])


def _archive_contradictions(archive: Archive) -> list[tuple[str, str]]:
    wrong = []
    web = archive.dicomweb or ""
    if archive.port > 65535:
        wrong.append(("a port above 65535", "a port"))
    if archive.ca and not (archive.tls or web.startswith("https:")):
        wrong.append(("archive.ca without archive.tls", "tls = true, or https in dicomweb"))
    if (archive.certificate is None) != (archive.key is None):
        wrong.append(("archive.certificate or archive.key alone", "both"))
    if web and not web.startswith(("https://", "http://")):
        wrong.append((f"archive.dicomweb = {web!r}", "https://host/dicom-web"))
    if web and "@" in urlsplit(web).netloc:
        wrong.append(("a login in archive.dicomweb", "archive.login, a file of mode 0600"))
    if (archive.login or archive.stow) and not web:
        wrong.append(("archive.login or archive.stow without archive.dicomweb", "its root"))
    if archive.login and web.startswith("http://") and not is_this_machine(web):
        wrong.append(("archive.login for http, which everybody on the way reads", "https"))
    if archive.move and web:
        wrong.append(("archive.move with archive.dicomweb", "one of them"))
    if archive.commit and archive.stow:
        wrong.append(("archive.commit with archive.stow", "one of them"))
    return wrong


def is_this_machine(url: str) -> bool:
    """Return whether a URL's host is the loopback."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


#: Hours of the day: from, to.
WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
