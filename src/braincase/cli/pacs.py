"""PACS commands: `pacs serve` runs a DICOM node beside an archive, `pacs status` looks at it."""

from __future__ import annotations

import sys
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from braincase.cli.arguments import AsJson, WholeHelp, print_json
from braincase.errors import UsageError

if TYPE_CHECKING:
    from braincase.pacs.settings import PacsSettings

pacs_app = typer.Typer(
    cls=WholeHelp,
    help="Beside a PACS: studies come in, similar cases go back.",
    no_args_is_help=True,
)
Config = Annotated[Path, typer.Option("--config", help="Configuration (TOML; docs/pacs.md).")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    app.add_typer(pacs_app, name="pacs")


def check_extra() -> None:
    """Refuse to go on without the extra's packages, and keep pydicom's remarks off the screen."""
    warnings.simplefilter("ignore")  # they quote values of patients
    try:
        import highdicom  # noqa: F401
        import pynetdicom  # noqa: F401
    except ImportError as error:
        advice = "Install the extra: pip install 'braincase[pacs]'."
        raise UsageError(
            "pacs", f"no package {error.name}", "pynetdicom and highdicom", advice
        ) from None


def _settings(config: Path) -> PacsSettings:
    from braincase.pacs.settings import read_settings

    check_extra()
    return read_settings(config)


@pacs_app.command()
def serve(
    gallery: Annotated[str, typer.Argument(help="Folder of the gallery.")],
    model: Annotated[str, typer.Option("--model", help="Its model or encoder file.")],
    config: Config,
) -> None:
    """Take studies by DICOM and send similar cases back to the archive; on this machine only."""
    settings = _settings(config)
    from braincase.cli.serve import load_for_service
    from braincase.models.open_encoder import encoder_info
    from braincase.pacs.run import run

    fingerprint = encoder_info(model).fingerprint
    run(gallery, fingerprint, partial(load_for_service, model, fingerprint), settings)


@pacs_app.command()
def status(config: Config, as_json: AsJson = False) -> None:
    """Tell how far every study is, what failed and when it is tried again."""
    settings = _settings(config)
    from braincase.pacs.status import lines_of, status_of

    found = status_of(settings.node.spool)
    if as_json:
        print_json(found)
    else:
        print("\n".join(lines_of(found)))


@pacs_app.command()
def pull(
    folder: Annotated[Path, typer.Argument(help="Where the series go; `index` reads it.")],
    config: Config,
    study: Annotated[str, typer.Option(help="StudyInstanceUID; - reads it from a line.")] = "",
    accession: Annotated[str, typer.Option(help="AccessionNumber; - likewise.")] = "",
    patient: Annotated[str, typer.Option(help="PatientID; - likewise.")] = "",
    date: Annotated[str, typer.Option(help="A day or a range: 20200101-20241231.")] = "",
    modality: Annotated[str, typer.Option(help="Of a series of the study.")] = "MR",
    description: Annotated[str, typer.Option(help="Of the study; * is any letters.")] = "",
    body_part: Annotated[str, typer.Option(help="BodyPartExamined of the series.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be taken.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pull from the archive the series that can be a T1w; go on where an earlier pull stopped."""
    settings = _settings(config)
    from braincase.json_values import to_json
    from braincase.pacs.archive_query import Wanted
    from braincase.pacs.archive_url import asking
    from braincase.pacs.pull import pull as pull_series
    from braincase.sources.pseudonym import local_key

    wanted = Wanted(_line(study), _line(accession), _line(patient), date, modality, description)
    if not any((wanted.study, wanted.accession, wanted.patient, date, description)):
        raise UsageError("pacs pull", "no filter", "--study, --accession, --patient or --date")
    spool, pace = settings.node.spool, settings.pull
    with asking(settings) as archive:
        done = pull_series(archive, wanted, folder, spool, local_key(), pace, body_part, dry_run)
    if as_json:
        print_json(to_json(done))
        return
    print("\n".join(done.lines()))
    if done.taken or done.there:
        print(f"next: braincase index {folder} --source dicom --gallery GALLERY --model MODEL")


def pulled_from(source: str, gallery: str, config: Path | None) -> Path:
    """Pull what an archive's URL asks for beside a gallery, and return the folder of images."""
    from braincase.gallery.url import record_folder
    from braincase.pacs.archive_url import archive_of_url, asking, settings_for_url
    from braincase.pacs.pull import pull as pull_series
    from braincase.sources.pseudonym import local_key

    where = archive_of_url(source)
    beside = record_folder(gallery)
    place = beside.with_name(f"{beside.name}-archive")
    settings = settings_for_url(where, place, _settings(config) if config else None)
    spool, folder = settings.node.spool, place / "images"
    with asking(settings) as archive:
        done = pull_series(
            archive, where.wanted, folder, spool, local_key(), settings.pull, where.body_part
        )
    print("\n".join(done.lines()), file=sys.stderr)
    if not done.taken and not done.there:
        raise UsageError("source", "no series that can be a T1w", "another question")
    return folder


@pacs_app.command()
def forget(
    gallery: Annotated[str, typer.Option("--gallery", help="Its gallery.")],
    config: Config,
    patient: Annotated[str, typer.Argument(help="PatientID; - reads it from a line.")] = "",
    study: Annotated[
        str, typer.Option(help="Instead: one study's StudyInstanceUID; - likewise.")
    ] = "",
    accession: Annotated[str, typer.Option(help="Instead: its AccessionNumber; - likewise.")] = "",
    pulled: Annotated[
        list[Path] | None, typer.Option(help="A folder that was pulled into; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a patient or a study: gallery, spool, unsent results, links; stop the node first."""
    settings = _settings(config)
    from braincase.json_values import to_json
    from braincase.pacs.forget import Whose
    from braincase.pacs.forget import forget as forget_all
    from braincase.sources.pseudonym import local_key

    if sum(map(bool, (patient, study, accession))) != 1:
        expected = "exactly one of a PatientID, --study and --accession"
        raise UsageError("pacs forget", "none or several to remove", expected)
    whose = Whose(_line(patient), _line(study), _line(accession))
    if not any((whose.patient, whose.study, whose.accession)):
        raise UsageError("pacs forget", "an empty line", "the number", "Nothing was removed.")
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove this for good?")):
        raise UsageError("pacs forget", "not confirmed", "--yes", "Nothing was removed.")
    done = forget_all(settings, whose, local_key(), gallery, pulled or ())
    if as_json:
        print_json(to_json(done))
    else:
        print(f"{done.studies} studies of the spool, {done.links} links, {done.cases} cases and")
        print(f"{done.series} pulled series removed; what the archive has stays there")


def _line(value: str) -> str:
    """Return an option's value, or a line of standard input: a process list shows no patient."""
    return sys.stdin.readline().strip() if value == "-" else value
