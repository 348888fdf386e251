"""Search API: open a gallery and its model, and search with anything that names a scan.

`braincase.open_gallery` gives a `SearchableGallery`, for Python users and for the command line;
everything it returns is a frozen record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from braincase.answer.compose import Answer, answer
from braincase.answer.notebook import picture_html
from braincase.errors import GalleryError, ParameterError, UnknownCaseError, UsageError
from braincase.files import did_you_mean
from braincase.gallery import Gallery
from braincase.gallery import open_gallery as open_engine
from braincase.images.geometry import GRIDS, Grid
from braincase.models.encoder import Encoder
from braincase.search.courses import ChangeResult, search_by_change
from braincase.search.options import SearchOptions
from braincase.search.pipeline import (
    FinishedSearch,
    search_by_case,
    search_by_code,
    search_by_volume,
)
from braincase.search.query_scan import QueryScan, on_models_grid
from braincase.sources.image_in_memory import SpatialImage, path_of
from braincase.workflows.case_names import case_named
from braincase.workflows.hits import Hits

if TYPE_CHECKING:
    from pandas import DataFrame

    from braincase.cohort.view import ViewChoice
    from braincase.models.model import Model

#: What names a query: a path to a scan, the scan_id of a case, an image in memory (nibabel), a
#: standard volume (uint8, 3-D), or a code (1-D).
ScanLike = str | Path | SpatialImage | NDArray[np.uint8] | NDArray[np.floating]


#: People of whom a notebook shows a picture.
SHOWN = 5


@dataclass(frozen=True, eq=False)
class SearchableGallery:
    """Gallery to search in, with the encoder that embeds new scans for it.

    Parameters
    ----------
    gallery
        The engine: `add`, `get`, `info`, `versions` and the rest of `braincase.gallery.Gallery`.
    encoder
        The model or encoder file its codes come from; without it only its own cases and codes can
        be searched with, unless that model is at hand: the starter model, or one in the current
        folder or beside the gallery.

    Examples
    --------
    >>> import tempfile
    >>> import braincase
    >>> from braincase.gallery import NewCase, create_gallery
    >>> folder = tempfile.mkdtemp()
    >>> engine = create_gallery(folder, fingerprint="my-model", resolution_mm=4, n_dimensions=2)
    >>> change = engine.add(
    ...     [
    ...         NewCase("sub-a", "a", [0.0, 0.0], labels={"diagnosis": "CN", "age": 71.0}),
    ...         NewCase("sub-b", "b", [3.0, 4.0], labels={"diagnosis": "AD", "age": 74.0}),
    ...         NewCase("sub-c", "c", [0.0, 2.0], labels={"diagnosis": "AD", "age": 66.0}),
    ...     ],
    ...     "my-model",
    ... )
    >>> with braincase.open_gallery(folder) as gallery:
    ...     hits = gallery.search("sub-a", k=2, where="age > 60")
    >>> [(hit.rank, hit.scan_id, hit.distance) for hit in hits]
    [(1, 'sub-c', 2.0), (2, 'sub-b', 5.0)]
    """

    gallery: Gallery
    encoder: Encoder | None = None

    def search(
        self,
        scan: ScanLike,
        k: int | None = None,
        where: str | None = None,
        *,
        options: SearchOptions | None = None,
    ) -> Hits:
        """Search for the k most similar cases of other people, nearest first.

        Parameters
        ----------
        scan
            What to search with.
        k, where
            Number of hits and filter; they stand above those of `options`.
        options
            All else that a search can be asked for.

        Raises
        ------
        UsageError
            If there is no such scan, or the search cannot be made as asked.
        ScanError
            If it is no T1-weighted head.
        GalleryError
            If the gallery is empty.
        """
        finished = self.finished_search(scan, _options(k, where, options))
        return Hits(finished.result.hits, finished)

    def cases(self, where: str = "", as_of: int | None = None) -> DataFrame:
        """Return the cases that pass a filter as a table (pandas): who, and every label."""
        from pandas import DataFrame

        rows = [
            {
                **case.labels,
                "scan_id": case.scan_id,
                "subject": case.subject,
                "session": case.session,
            }
            for case in self.gallery.cases(where, as_of)
        ]
        columns = dict.fromkeys(["scan_id", "subject", "session", *(n for r in rows for n in r)])
        return DataFrame(rows, columns=list(columns))

    def __len__(self) -> int:
        """Return the number of cases in the newest version."""
        return self.gallery.info().cases

    def __bool__(self) -> bool:
        """Say that it is a gallery, be it empty."""
        return True

    def __repr__(self) -> str:
        try:
            info = self.gallery.info()
        except GalleryError as error:  # closed, or damaged
            return f"SearchableGallery({self.gallery.folder}, {error.found})"
        return f"SearchableGallery({info.url}, {info.cases} cases, model {info.fingerprint[:8]})"

    def _repr_html_(self) -> str:
        """Return it for notebooks: what it holds, with pictures of a few people."""
        try:
            info, people = self.gallery.info(), self.gallery.one_scan_each(SHOWN)
        except GalleryError:
            return f"<p>{escape(repr(self))}</p>"
        labels = [name for name in info.columns if name not in ("subject", "session")]
        pictures = [picture_html(self.gallery.thumbnail(case.scan_id)) for case in people]
        return (
            f"<p><b>{escape(info.url)}</b>: {info.cases:,} scans of {info.people:,} people, version"
            f" {info.version}, model {info.fingerprint[:8]}; labels"
            f" {escape(', '.join(labels))}</p><p>{' '.join(pictures)}</p>"
        )

    def ask(
        self,
        scan: ScanLike,
        k: int | SearchOptions | None = None,
        where: str | None = None,
        *,
        options: SearchOptions | None = None,
        label: str | None = None,
        normality: bool = False,
        explain: str | Path | None = None,
    ) -> Answer:
        """Search, and return the whole answer: hits with reasons, follow-up, calibration, doubts.

        Parameters
        ----------
        scan
            What to search with.
        k, where, options
            As in `search`; options may also stand in the place of k.
        label, normality
            As in `braincase.answer.compose.answer`.
        explain
            A folder that gets maps, numbers and pictures of each hit; see
            `braincase.answer.export`.
        """
        if isinstance(k, SearchOptions):  # as it was called before k stood here
            k, options = None, k
        search = self.finished_search(scan, _options(k, where, options))
        composed = answer(search, label, normality=normality)
        if explain is not None:
            from braincase.answer.export import write_explanations

            write_explanations(search, composed, Path(explain))
        return composed

    def search_by_change(
        self,
        scan: ScanLike,
        prior: ScanLike,
        k: int | None = None,
        where: str = "",
        *,
        years: float | None = None,
        subject: str | None = None,
        as_of: int | None = None,
    ) -> ChangeResult:
        """Search for people whose brain changed alike over a like time, most alike first.

        Parameters
        ----------
        scan, prior
            The later and the earlier scan of one person.
        k, where
            Number of hits, and a filter that the later scan of a hit passes.
        years
            Between the scans; None where both ages are known.
        subject
            Whose scans they are; None to find that out, as in `search`.
        as_of
            An earlier version of the gallery.

        Raises
        ------
        UsageError
            If the time between the scans is not known or too short, or they are two people's.
        TooFewPeopleError
            If nobody else of the gallery was scanned twice over a like time.
        """
        options = SearchOptions(k=1, subject=subject, as_of=as_of)
        later, earlier = (self.finished_search(s, options) for s in (scan, prior))
        people = {s for f in (later, earlier) if (s := f.result.own_subject) is not None}
        if len(people) > 1:
            found = f"a scan of {earlier.result.own_subject}"
            raise ParameterError("prior", found, f"one of {later.result.own_subject}, too")
        return search_by_change(
            self.gallery,
            np.asarray(earlier.query.code, np.float32),
            np.asarray(later.query.code, np.float32),
            _years_between(earlier, later) if years is None else years,
            k=k,
            where=where,
            subject=next(iter(people), None),
            as_of=as_of,
            labels=(earlier.query.labels, later.query.labels),
        )

    def finished_search(
        self,
        scan: ScanLike,
        options: SearchOptions | None = None,
        view: ViewChoice | None = None,
    ) -> FinishedSearch:
        """Search, and return what `search` and `ask` are made of; it is used while this is open.

        `view` is the view volume of the scan that is wanted besides, to draw it as scanned.
        """
        options = options or SearchOptions()
        if isinstance(scan, np.ndarray) and scan.ndim == 1:
            return search_by_code(self.gallery, scan, options)
        if isinstance(scan, np.ndarray):
            encoder = self._encoder()
            volume = _query_of_volume(scan, encoder.grid)
            return search_by_volume(self.gallery, encoder, volume, options)
        if isinstance(scan, str | Path) and not Path(scan).exists():
            return search_by_case(self.gallery, self._case_of(scan, options), options)
        # Imported here: a search with a case reads no scan, and answers at once.
        from braincase.search.read_query import native_form, read_query

        encoder = self._encoder()
        native = native_form(encoder)
        with path_of(scan) as path:
            query_scan = read_query(
                path, encoder.grid, encoder.recipe,
                series=options.series, native=native, view=view,
            )  # fmt: skip
        return search_by_volume(self.gallery, encoder, query_scan, options)

    def _case_of(self, scan: str | Path, options: SearchOptions) -> str:
        """Return the scan_id that a name stands for, or tell which path was perhaps meant."""
        try:
            return case_named(self.gallery, str(scan), options.as_of)
        except UnknownCaseError as error:
            is_word = Path(scan).parent == Path() and not Path(scan).suffix
            advice = error.advice if is_word else did_you_mean(scan, error.advice)
            raise UnknownCaseError(error.where, error.found, error.expected, advice) from None

    def _encoder(self) -> Encoder:
        return self.encoder or self._at_hand

    @cached_property
    def _at_hand(self) -> Encoder:
        """The model whose the codes are, read when a scan is first to be embedded.

        It is the starter model, or lies in the current folder or beside the gallery.
        """
        from braincase.models.at_hand import model_of_gallery

        info, beside = self.gallery.info(), self.gallery.folder.absolute().parent
        return encoder_from(model_of_gallery(info.fingerprint, info.encoder, (Path(), beside)))

    def close(self) -> None:
        """Close the gallery's files and connections."""
        self.gallery.close()

    def __enter__(self) -> SearchableGallery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _query_of_volume(volume: NDArray[np.uint8] | NDArray[np.floating], grid: Grid) -> QueryScan:
    """Return a standard volume, on the model's grid or a finer one, as a query."""
    own = next((g for g in GRIDS.values() if g.shape == volume.shape), None)
    if own is None or volume.dtype != np.uint8 or not own.voxels_along(grid):
        found = f"{volume.dtype} of shape {volume.shape}"
        raise UsageError("scan", found, f"uint8 of shape {grid.shape}, or a code")
    query = QueryScan(volume.astype(np.uint8, copy=False), "query", None, {})
    return on_models_grid(query, own, grid)


def _options(k: int | None, where: str | None, options: SearchOptions | None) -> SearchOptions:
    """Return options in which k and filter stand above those given."""
    options = options or SearchOptions()
    return replace(
        options,
        k=options.k if k is None else k,
        where=options.where if where is None else where,
    )


def _years_between(earlier: FinishedSearch, later: FinishedSearch) -> float:
    """Return the years from one query to the other by the ages in their labels."""
    before, after = (finished.query.labels.get("age") for finished in (earlier, later))
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        expected = "the time between the scans, for their ages are not known"
        raise ParameterError("years", "none given", expected)
    return float(after) - float(before)


def open_gallery(
    url: str | Path, model: str | Path | Model | Encoder | None = None
) -> SearchableGallery:
    """Open a gallery for searching.

    Parameters
    ----------
    url
        A folder, or ``sqlite:///folder``.
    model
        A model's folder, an encoder file (a program: only one that you trust), the name of an
        installed encoder, or the model itself; not needed to search with the gallery's own cases,
        nor where it is at hand: the starter model, or one in the current folder or beside the
        gallery.

    Raises
    ------
    GalleryError
        If there is no gallery, or it is damaged.
    ModelError
        If there is no model.
    FingerprintError
        If the gallery holds the codes of another model.
    """
    encoder = None if model is None else encoder_from(model)
    return SearchableGallery(open_engine(url, encoder.fingerprint if encoder else None), encoder)


def encoder_from(model: str | Path | Model | Encoder) -> Encoder:
    """Return the encoder of a model, of its folder or of an encoder file.

    Parameters
    ----------
    model
        As in `open_gallery`.
    """
    if isinstance(model, str | Path):
        from braincase.models.open_encoder import open_encoder

        return open_encoder(model)
    if isinstance(model, Encoder):
        return model
    from braincase.models.embed import encoder_of  # torch is there: the model is

    return encoder_of(model)
