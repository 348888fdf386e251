"""Gallery commands: `index` fills a gallery, `gallery` shows and changes it."""

from __future__ import annotations

import getpass
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from braincase.cli.arguments import (
    MODEL_VARIABLE,
    AsJson,
    GalleryOption,
    Site,
    View,
    ViewBrainOnly,
    WholeHelp,
    Workers,
    chosen_view,
    comma_list,
    print_json,
)
from braincase.errors import CohortError, UsageError
from braincase.json_values import to_json, to_json_object

if TYPE_CHECKING:
    from braincase.gallery import Change, Gallery, StoredCase
    from braincase.workflows.index_cohort import Indexed

gallery_app = typer.Typer(cls=WholeHelp, help="Look after a gallery.", no_args_is_help=True)
PLACE = "Folder, or milvus://HOST:PORT/COLLECTION?record=FOLDER."
Url = Annotated[str, typer.Argument(help=PLACE)]
#: Where it is the only argument, the environment may give it.
OnlyUrl = Annotated[str, typer.Argument(help=PLACE, envvar="BRAINCASE_GALLERY")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    app.command()(index)
    app.add_typer(gallery_app, name="gallery")


def index(
    source: Annotated[
        str,
        typer.Argument(
            help="A cohort (of the model's resolution or finer), raw scans (image, DICOM, BIDS,"
            " ADNI, OASIS, table), or an archive:"
            " dicomweb+https://HOST/ROOT?StudyDate=..., dicom://AE@HOST:PORT?StudyDate=..."
        ),
    ],
    gallery: GalleryOption,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            envvar=MODEL_VARIABLE,
            help="Folder of the model, an encoder file (FILE.py), or starter: the one that ships.",
        ),
    ] = "starter",
    cohort: Annotated[
        Path | None,
        typer.Option(help="Where raw scans' standard volumes go; default: beside the gallery."),
    ] = None,
    kind: Annotated[str, typer.Option("--source", help="Kind of raw source, or auto.")] = "auto",
    label: Annotated[
        str | None, typer.Option(help="Column of a raw source to count; found if not given.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Whose scan it is (one raw image or DICOM study).")
    ] = None,
    series: Annotated[int | None, typer.Option(help="Number of the DICOM series.")] = None,
    keep_column: Annotated[
        list[str] | None,
        typer.Option(help="Keep a column that seems to identify people; may be repeated."),
    ] = None,
    site: Site = None,
    view: View = None,
    view_brain_only: ViewBrainOnly = False,
    pacs: Annotated[
        Path | None,
        typer.Option(help="Configuration of an archive: login, pace, links (docs/pacs.md)."),
    ] = None,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Put every scan of a cohort, or of raw scans, into a gallery; what is there already stays."""
    from braincase.cohort.cohort import open_cohort
    from braincase.models.open_encoder import open_encoder
    from braincase.sources.listing import is_cohort
    from braincase.workflows.index_cohort import index_cohort
    from braincase.workflows.index_scans import ScanSource, cohort_beside, index_scans

    encoder = open_encoder(model)
    keep = tuple(keep_column or ())
    path, kind = _place_of(source, gallery, pacs, kind)
    if is_cohort(path):
        if cohort is not None:
            raise UsageError("--cohort", "a source that is a cohort already", "raw scans")
        if site is not None:
            advice = "Prepare its scans with --site: braincase prepare SCANS OUT --site NAME"
            raise UsageError("--site", "a source that is a cohort already", "raw scans", advice)
        if view is not None or view_brain_only:
            advice = "A cohort's views are made by braincase prepare."
            raise UsageError("--view", "a source that is a cohort already", "raw scans", advice)
        done = index_cohort(gallery, open_cohort(path), encoder, keep_columns=keep)
        _show_indexed(path, done, (), as_json)
    else:
        folder = cohort or cohort_beside(gallery)
        seen = chosen_view(view, view_brain_only)
        of_all = view is not None or view_brain_only
        scans = ScanSource(path, folder, kind, label, subject, series, keep, seen, of_all, site)
        _show_indexed(path, *index_scans(gallery, scans, encoder, workers), as_json)


def _place_of(source: str, gallery: str, pacs: Path | None, kind: str) -> tuple[Path, str]:
    """Return where a source lies and of which kind it is; an archive's series are pulled first."""
    if "://" not in source:
        if pacs is not None:
            raise UsageError("--pacs", "a source that is no archive", "dicomweb+https://...")
        return Path(source), kind
    from braincase.cli.pacs import check_extra, pulled_from

    check_extra()
    return pulled_from(source, gallery, pacs), "dicom"


def _show_indexed(source: Path, indexed: Indexed, notes: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        print_json({**to_json_object(indexed), "notes": [*indexed.notes, *notes]})
    else:
        print("\n".join([*indexed.lines(), *(f"note: {note}" for note in notes)]))
    if indexed.failed and not (indexed.added or indexed.updated or indexed.unchanged):
        found = f"none of {len(indexed.failed)} scans could be indexed"
        raise CohortError(source, found, "at least one", indexed.failed[0][1])


@gallery_app.command()
def info(
    url: OnlyUrl,
    as_of: Annotated[int | None, typer.Option(help="As it was at an earlier version.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a gallery holds."""
    from braincase.gallery import open_gallery

    with closing(open_gallery(url)) as gallery:
        content = gallery.info(as_of)
    if as_json:
        print_json(content.to_json())
        return
    print(f"{content.url} ({content.engine}), version {content.version} of {content.changed}")
    print(f"{content.cases} scans of {content.people} people")
    kind = f"encoder '{content.encoder}'" if content.encoder else "model"
    print(f"{kind} {content.fingerprint[:12]}: {content.n_dimensions} numbers a scan,", end=" ")
    print(f"volumes at {content.resolution_mm} mm")
    print(f"columns: {', '.join(content.columns) or 'none'}")
    for note in content.notes:
        print(f"note: {note}")


@gallery_app.command("list")
def list_cases(
    url: OnlyUrl,
    where: Annotated[str, typer.Option(help="Filter: \"age > 60 and sex = 'F'\".")] = "",
    columns: Annotated[str, typer.Option(help="Labels to show, with commas; default all.")] = "",
    as_of: Annotated[int | None, typer.Option(help="As it was at an earlier version.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a gallery's cases, a line each, with tabs."""
    from braincase.gallery import open_gallery
    from braincase.labels import safe_cell, value_text

    with closing(open_gallery(url)) as gallery:
        cases = gallery.cases(where, as_of)
        there = [name for name in gallery.info(as_of).columns if name not in ("subject", "session")]
    shown = comma_list(columns) or there
    if missing := [name for name in shown if name not in there]:
        raise UsageError("--columns", f"no label '{missing[0]}'", f"some of {', '.join(there)}")
    if as_json:
        rows = [{"scan_id": c.scan_id, "subject": c.subject, "session": c.session,
                 "labels": dict(c.labels)} for c in cases]  # fmt: skip
        print_json(rows)
        return
    lines = [["scan_id", "subject", "session", *shown]]
    for case in cases:
        cells = [value_text(case.labels.get(name)) for name in shown]
        lines.append([case.scan_id, case.subject, case.session or "", *cells])
    print("\n".join("\t".join(safe_cell(cell) for cell in line) for line in lines))


@gallery_app.command()
def versions(url: OnlyUrl, as_json: AsJson = False) -> None:
    """List a gallery's versions, oldest first."""
    from braincase.gallery import open_gallery

    with closing(open_gallery(url)) as gallery:
        history = gallery.versions()
    if as_json:
        print_json(to_json(history))
    else:
        lines = [f"{version.version}\t{version.at}\t{version.what}" for version in history]
        print("\n".join(lines))


@gallery_app.command()
def remove(
    url: Url,
    scans: Annotated[list[str] | None, typer.Argument(help="Scan_ids, such as sub-01.")] = None,
    subject: Annotated[str | None, typer.Option(help="All scans of this person.")] = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="From earlier versions and the disk too; for good.")
    ] = False,
    delete_files: Annotated[
        bool, typer.Option("--delete-files", help="Delete what remains of them in their cohorts.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before erasing.")] = False,
    audit: Annotated[
        Path | None, typer.Option(help="The audit log that notes what is erased.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take scans out of a gallery; earlier versions keep them unless erased."""
    from braincase.gallery import open_gallery
    from braincase.workflows.case_names import person_named
    from braincase.workflows.left_files import files_left

    theirs: tuple[StoredCase, ...] = ()
    if delete_files and not erase:
        raise UsageError("--delete-files", "without --erase", "both")
    if not scans and subject is None:
        raise UsageError("gallery remove", "nothing to remove", "scan_ids or --subject")
    with closing(open_gallery(url)) as gallery:
        wanted = list(dict.fromkeys(scans or ()))
        if subject is not None:
            person = person_named(gallery, subject)
            theirs = gallery.person(person, ever=erase)  # erasing reaches earlier versions
            if not theirs:
                raise UsageError("--subject", f"no scan of '{subject}'", "a person of this gallery")
            wanted = list(dict.fromkeys([*wanted, *(case.scan_id for case in theirs)]))
        if erase and not yes:
            _confirm(f"Erase {len(wanted)} scans from all versions, for good?")
        gone = tuple(gallery.find(wanted).values()) if erase else ()
        change = _erase(gallery, wanted, audit) if erase else gallery.remove(wanted)
        erased = [*gone, *(theirs if erase else ())]
        people = {case.subject for case in erased if not gallery.person(case.subject, ever=True)}
        left = files_left(erased, people, gallery.saved_folder)
    if delete_files:
        for path in left:
            path.unlink(missing_ok=True)
    if as_json:
        content = {"version": change.version, "removed": list(change.removed), "erased": erase}
        files = {"files": [str(path) for path in left], "files_deleted": delete_files}
        print_json({**content, "notes": list(change.notes), **files})
    else:
        done = "erased" if erase else "removed"
        print(f"{len(change.removed)} {done}; the gallery is at version {change.version}")
        if change.removed and not erase:
            print("note: indexing the same cohort again adds them again; --erase keeps them out")
        print("".join(f"note: {note}\n" for note in change.notes), end="")
        _show_left(left, delete_files)


def _show_left(left: list[Path], deleted: bool) -> None:
    """Name the files that remained of the people who were erased."""
    if not left:
        return
    if deleted:
        print(f"{len(left)} files of them were deleted from their cohorts")
        return
    print(f"still there, {len(left)} files of them (--delete-files deletes such files):")
    print("\n".join(f"  {path}" for path in left))


def _erase(gallery: Gallery, scan_ids: list[str], audit: Path | None) -> Change:
    """Erase scans for good, with a line in the audit log before and after."""
    from braincase.web.security.audit import AuditLog

    user = f"{getpass.getuser()} (command line)"
    with (
        closing(AuditLog(audit)) as log,
        log.recorded(user, "erase", gallery=gallery.folder.name, scan_ids=scan_ids) as result,
    ):
        change = gallery.remove(scan_ids, erase=True)
        result["version"] = change.version
    return change


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("--erase", "nobody to ask", "--yes to erase without a question")
    try:
        if typer.confirm(question):
            return
    except typer.Abort:
        raise KeyboardInterrupt from None
    raise UsageError("--erase", "not confirmed", "yes", "Nothing was erased.")


@gallery_app.command()
def sync(url: OnlyUrl, as_json: AsJson = False) -> None:
    """Make a Milvus collection what its record says; a missing one is made."""
    from braincase.gallery import sync_gallery

    done = sync_gallery(url)
    if as_json:
        print_json(to_json(done))
    else:
        print(done.line())


@gallery_app.command()
def verify(
    url: OnlyUrl,
    images: Annotated[bool, typer.Option(help="Read every image and compare its hash.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check every row's checksum, every image, and who may read the gallery's files."""
    from braincase.errors import GalleryError
    from braincase.workflows.gallery_upkeep import verify_gallery

    done = verify_gallery(url, images)
    if as_json:
        print_json(to_json(done))
    else:
        for line in done.problems:
            print(f"problem: {line}")
        for line in done.warnings:
            print(f"warning: {line}")
        print(f"{done.rows} rows and {done.images} images looked at: {len(done.problems)} problems")
    if done.problems:
        advice = "Restore it from a backup, or index the scans named again."
        raise GalleryError(url, f"{len(done.problems)} problems", "none", advice)


@gallery_app.command()
def backup(
    url: Url,
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    as_json: AsJson = False,
) -> None:
    """Copy a gallery, also while it is used; images stay with their cohorts."""
    from braincase.workflows.gallery_upkeep import backup_gallery

    version = backup_gallery(url, folder)
    if as_json:
        print_json({"version": version, "folder": str(folder)})
    else:
        print(f"version {version} is in {folder}; the images of its cases stay in their cohorts")


@gallery_app.command()
def relocate(
    url: OnlyUrl,
    before: Annotated[
        Path | None, typer.Option("--from", help="A cohort's folder of before, or one above it.")
    ] = None,
    now: Annotated[Path | None, typer.Option("--to", help="The same folder now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Settle where a gallery and its images lie now, after a copy or a move."""
    from braincase.workflows.relocation import relocate_gallery

    places = relocate_gallery(url, before, now)
    if as_json:
        print_json(to_json(places))
        return
    for place in places:
        told = f"{place.before} -> {place.now}" if place.now != place.before else place.before
        print(f"{place.cases} cases: {told}")


@gallery_app.command()
def readmit(
    url: Url, scans: Annotated[list[str], typer.Argument(help="Scan_ids that were erased.")]
) -> None:
    """Let erased scans be added to a gallery again."""
    from braincase.gallery import open_gallery

    with closing(open_gallery(url)) as gallery:
        gallery.readmit(scans)
    print(f"{len(scans)} may be added again")
