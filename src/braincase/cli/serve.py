"""Web service commands: `serve` starts it, `user` says who may come in."""

from __future__ import annotations

import getpass
import re
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from braincase.cli.arguments import ViewBrainOnly, WholeHelp, comma_list
from braincase.errors import UsageError
from braincase.labels import is_of_simulation

if TYPE_CHECKING:
    from braincase.models.encoder import Encoder
    from braincase.web.schema import Role

user_app = typer.Typer(
    cls=WholeHelp, help="Who may use a service that others can reach.", no_args_is_help=True
)
token_app = typer.Typer(
    cls=WholeHelp, help="API tokens with which programs come in.", no_args_is_help=True
)
audit_app = typer.Typer(cls=WholeHelp, help="The audit log of a service.", no_args_is_help=True)
Users = Annotated[Path, typer.Option("--users", help="The file of users.")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    app.command()(serve)
    user_app.add_typer(token_app, name="token")
    app.add_typer(user_app, name="user")
    app.add_typer(audit_app, name="audit")


def load_for_service(model: str | Path, fingerprint: str | None = None) -> Encoder:
    """Load a model or an encoder file in the worker process; runs there and nowhere else.

    The worker may start again after days: what was put in the model's place since is refused.
    """
    from braincase.gallery import refuse_other_model
    from braincase.models.open_encoder import open_encoder
    from braincase.preprocess.space.template import load_template

    load_template()  # now, and not while the first person waits
    encoder = open_encoder(model)
    if fingerprint is not None:
        refuse_other_model(model, fingerprint, encoder.fingerprint)
    return encoder


def _starter_of(gallery: str) -> str | None:
    """Return the name of the starter model where a gallery's codes are its; None where not."""
    from braincase.gallery import open_gallery
    from braincase.models.starter import starter_if_its

    with closing(open_gallery(gallery)) as opened:
        return starter_if_its(opened.fingerprint)


def serve(
    gallery: Annotated[
        str, typer.Argument(help="Folder of the gallery.", envvar="BRAINCASE_GALLERY")
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help="Its model or encoder file; the starter model is found."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")] = 8765,
    name: Annotated[
        str, typer.Option(help="Names by which browsers call this machine, with commas.")
    ] = "",
    users: Annotated[
        Path | None, typer.Option(help="File of users with passwords (see `user add`).")
    ] = None,
    oidc: Annotated[
        Path | None, typer.Option(help="How people sign in at an OpenID provider (TOML).")
    ] = None,
    proxy: Annotated[
        Path | None, typer.Option(help="How a reverse proxy that signs people in is known (TOML).")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS key (PEM).")] = None,
    tls_elsewhere: Annotated[
        bool, typer.Option("--tls-elsewhere", help="A reverse proxy in front encrypts.")
    ] = False,
    client_header: Annotated[
        str, typer.Option(help="Header in which the reverse proxy tells the client's address.")
    ] = "",
    proxy_address: Annotated[
        str, typer.Option(help="The reverse proxy's addresses, with commas.")
    ] = "127.0.0.1,::1",
    metrics_token: Annotated[
        Path | None, typer.Option("--metrics-token", help="File of a token that opens /metrics.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column that neighbours vote on.")] = None,
    view: Annotated[
        str,
        typer.Option(
            help="View volume made of an uploaded scan, and kept with a case that is kept of it:"
            " 1mm, 2mm or none."
        ),
    ] = "1mm",
    view_brain_only: ViewBrainOnly = False,
    audit: Annotated[Path | None, typer.Option(help="File of the audit log.")] = None,
    links: Annotated[
        Path | None,
        typer.Option(help="Link file of `braincase pacs`: which study of the archive a case is."),
    ] = None,
    links_role: Annotated[
        str, typer.Option("--links-role", help="Least role that may learn it.")
    ] = "curator",
    viewer: Annotated[
        str,
        typer.Option(help="Viewer of the archive: https://.../viewer?StudyInstanceUIDs={study}"),
    ] = "",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(help="How much is written on standard error."),
    ] = "warning",
    access_log: Annotated[
        bool, typer.Option("--access-log", help="A line for each request, with its address.")
    ] = False,
) -> None:
    """Serve a gallery to browsers and programs; on this machine only, unless told otherwise."""
    from braincase.cohort.view import view_choice
    from braincase.models.open_encoder import encoder_info
    from braincase.web.service_settings import ServiceSettings

    model = model or _starter_of(gallery)
    info = encoder_info(model) if model else None
    fingerprint = info.fingerprint if info else None  # the worker checks it when it loads
    settings = ServiceSettings(
        gallery=gallery,
        load=partial(load_for_service, model, fingerprint) if model else None,
        fingerprint=fingerprint,
        model_simulated=bool(info and is_of_simulation(info.recipe)),
        label=label,
        host=host,
        port=port,
        hosts=tuple(comma_list(name)),
        users=users,
        oidc=oidc,
        proxy=proxy,
        certificate=certificate,
        key=key,
        tls_elsewhere=tls_elsewhere,
        client_header=client_header,
        proxy_addresses=tuple(comma_list(proxy_address)),
        metrics_token=metrics_token,
        audit=audit,
        links=links,
        links_role=cast("Role", links_role),
        viewer=viewer,
        log_level=log_level,
        access_log=access_log,
        view=view_choice(view, view_brain_only),
    )
    from braincase.web.run import run  # after the settings: their errors come at once

    run(settings)


@audit_app.command("verify")
def verify(
    audit: Annotated[Path, typer.Argument(help="The audit log.")],
) -> None:
    """Verify that no line of an audit log was changed, taken out or put in."""
    from braincase.web.security.audit_chain import verify_chain

    chain = verify_chain(audit)
    print(f"{audit}: {chain.lines} events, the chain holds; the last is {chain.last or 'none'}")
    if chain.unchained or chain.torn:
        print(f"{chain.unchained} from before there was a chain, {chain.torn} lines broken off")


@audit_app.command("export")
def export(
    audit: Annotated[Path, typer.Argument(help="The audit log.")],
    form: Annotated[str, typer.Option("--format", help="json or csv.")] = "json",
    user: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    scan: Annotated[str | None, typer.Option(help="Only who saw or changed this case.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this day on: 2026-11-28.")] = None,
) -> None:
    """Print an audit log by the field names of IHE ATNA: who saw and did what, and when."""
    from braincase.web.security.audit_export import events_as_text, read_events

    if form not in ("json", "csv"):
        raise UsageError("--format", repr(form), "json or csv")
    if since is not None and not re.fullmatch(r"\d{4}(-\d\d){2}(T[\d:.+]*)?", since):
        raise UsageError("--since", repr(since), "a day such as 2026-11-28")
    print(events_as_text(read_events(audit, user, scan, since), form))


@user_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    users: Users,
    role: Annotated[str, typer.Option(help="reader, curator or admin.")] = "reader",
    force: Annotated[bool, typer.Option(help="Replace a user of this name.")] = False,
) -> None:
    """Add a user; the password is asked for, or read from the first line of standard input."""
    from braincase.web.security.users import add_user

    add_user(users, name, _ask_password(), role, force)
    print(f"{users}: {name}, {role}")


@user_app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    users: Users,
) -> None:
    """Remove a user; their sessions end at once."""
    from braincase.web.security.users import remove_user

    remove_user(users, name)
    print(f"{users}: {name} removed")


@user_app.command("list")
def show(users: Users) -> None:
    """List users and their roles."""
    from braincase.web.security.users import read_users

    for user in read_users(users).values():
        print(f"{user.name}\t{user.role}")


@token_app.command("add")
def token_add(
    name: Annotated[str, typer.Argument(help="The user whose rights it gives.")],
    users: Users,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[
        float | None, typer.Option(help="After how many days it ends; never if not given.")
    ] = None,
) -> None:
    """Make an API token and print it, this once; a program sends it as a bearer token."""
    from braincase.web.security.users import add_token

    print(add_token(users, name, note, days))


@token_app.command("list")
def token_list(users: Users) -> None:
    """List the API tokens: id, user, when they were made, what for, and when they end."""
    from braincase.web.security.users import read_users

    for user in read_users(users).values():
        for token in user.tokens.values():
            end = f"ended {token.until}" if token.is_over else token.until or "never"
            print(f"{token.id}\t{user.name}\t{token.made}\t{token.note}\t{end}")


@token_app.command("revoke")
def token_revoke(
    token: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    users: Users,
) -> None:
    """Revoke an API token; it opens nothing any more, at once."""
    from braincase.web.security.users import revoke_token

    print(f"{users}: token {token} of {revoke_token(users, token)} revoked")


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise UsageError("password", "two different ones", "the same twice")
    return password
