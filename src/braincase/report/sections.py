"""Sections of an evaluation report: which numbers stand where, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from braincase.evaluate.confound import ConfoundResult, ModelConfounds
from braincase.evaluate.honest import COLUMNS, OF_RANKING, HonestResult
from braincase.evaluate.paper import ONGA_2019, FoldSpread, PaperResult
from braincase.evaluate.results import Estimate, Material, Provenance, Training, title_of
from braincase.evaluate.scores import MethodScore
from braincase.evaluate.shared_attributes import Chance
from braincase.evaluate.staging import Staging
from braincase.json_values import JsonObject
from braincase.report import figures
from braincase.report.page import Cell, Drawing, Pictures, Section, Table

ADNI2 = "ADNI2 (Onga 2019)"


def paper_section(result: PaperResult) -> Section:
    """Lay out the paper's table and figures."""
    data = result.material.data
    lead = (
        "Each model is trained on some people and then looks at scans of others, in the manner of "
        "Onga et al. 2019: do their 150-number codes fall into the diagnostic groups by themselves?"
    )
    models = ["input", *(title_of(score.model) for score in result.scores)]
    cuts = [
        (row.title, [figures.slice_url(i, result.material.resolution_mm) for i in row.images])
        for row in result.slices
    ]
    blocks: list[Table | Drawing | Pictures] = [
        _paper_table(result),
        _drawing(
            figures.draw_paper_scores(result.scores, data),
            f"K-means accuracy on held-out people ({data}) with 95 % intervals over people, "
            "beside the paper's mean and standard deviation over folds on ADNI2. The data "
            "differ: compare the step from model to model, not the heights.",
        ),
        _drawing(
            figures.draw_code_maps(result.maps, result.material.classes),
            "t-SNE of the codes of held-out scans (first fold). Distances between clumps mean "
            "nothing; whether the classes part does.",
        ),
    ]
    if cuts:
        caption = (
            "One held-out scan of each class, the one of median error: input, and what each model "
            "rebuilds from its code. The subject's right is on the left."
        )
        blocks.append(Pictures(cuts, models, caption, brains=True))
    notes = [
        f"Naming the most frequent class every time would give {result.majority:.3f}.",
        _fold_note(result.provenance),
    ]
    return Section("The paper's experiment", lead, blocks, notes)


def honest_section(result: HonestResult) -> Section:
    """Lay out the honest table and the order of the never-trained groups."""
    blocks: list[Table | Drawing | Pictures] = [
        _method_table(result.methods, _honest_caption(result)),
        _drawing(
            figures.draw_methods(result.methods),
            "Models in colour, baselines in grey, with 95 % intervals over people.",
        ),
    ]
    if result.unseen:
        people = _counts(result.unseen.people)
        caption = (
            f"Unseen data set {result.unseen.data}: {people}, one scan each, ask the gallery of "
            "the first fold's training people. Nothing was fitted to this data set."
        )
        blocks.append(_method_table(result.unseen.methods, caption))
    if result.staging:
        shown = _shown_staging(result)
        caption = (
            f"Where {title_of(shown.method)} puts people of groups no model was trained on; each "
            "dot a person, the bar the group's mean and its interval."
        )
        blocks += [_staging_table(result.staging), _drawing(figures.draw_staging(shown), caption)]
    lead = (
        "Each held-out person asks with one scan; the training people are the gallery. Models and "
        "baselines learned from the same scans."
    )
    return Section("Search by people never seen, baselines beside it", lead, blocks)


def confound_section(result: ConfoundResult) -> Section:
    """Lay out what the codes know besides the disease."""
    blocks: list[Table | Drawing | Pictures] = []
    for model in result.models:
        caption = (
            f"{title_of(model.model)}: how much more alike a query's 10 nearest cases are than "
            "permutation makes them. In colour: p < 0.05."
        )
        drawing = _drawing(figures.draw_sharing(model.sharing), caption)
        blocks += [_sharing_table(model), drawing, _readable_table(model)]
    lead = (
        "Neighbours should share the disease. Where they share scanner, site, age or sex beyond "
        "what people of equal diagnosis share, the search finds those too."
    )
    notes = [_linking_note(model) for model in result.models]
    return Section("What else the codes know", lead, blocks, notes)


def method_section(
    material: Material, clocks: Mapping[str, Provenance], trainings: Sequence[Training]
) -> Section:
    """Say what was evaluated, with which seeds and versions, and how long each protocol took."""
    provenance = next(iter(clocks.values()))
    seconds = ", ".join(f"{name} {clock.seconds:.0f} s" for name, clock in clocks.items())
    facts = [
        ("data", f"{material.data}, {material.resolution_mm} mm, label {material.label!r}"),
        ("people", _counts(material.people)),
        ("scans", _counts(material.scans)),
        ("never-trained people", _counts(material.others) or "none"),
        ("left out, no label", str(material.unlabelled)),
        ("census of the cohort", _census_line(material.census)),
        ("folds", f"{provenance.run_folds} of {provenance.folds} held out in turn, by subject"),
        ("seed", str(provenance.seed)),
        ("versions", ", ".join(f"{k} {v}" for k, v in provenance.versions.items())),
        ("machine", provenance.machine),
        ("started", provenance.started),
        ("wall time", f"{seconds} in this run; models trained before are read again (times below)"),
        ("preprocessing recipe", ", ".join(f"{k} {v}" for k, v in material.recipe.items()) or "-"),
    ]
    table = Table(
        ["model", "fold", "people", "scans", "training time", "fingerprint"],
        [_training_row(training) for training in trainings],
        "Models trained for this report.",
    )
    return Section("How these numbers came about", blocks=[table], facts=facts)


def _paper_table(result: PaperResult) -> Table:
    scores = (*result.scores, *result.references)
    best = max(score.kmeans.mean for score in scores)
    least = min(score.rmse_percent.mean for score in scores)
    rows = []
    for score in scores:
        theirs = ONGA_2019.get(score.model)
        rows.append(
            [
                Cell(title_of(score.model)),
                Cell(f"{theirs.kmeans:.3f} ± {theirs.kmeans_sd:.3f}" if theirs else "-"),
                _spread_cell(score.kmeans, 3, score.kmeans.mean == best),
                Cell(f"{theirs.rmse_percent:.2f}" if theirs else "-"),
                _spread_cell(score.rmse_percent, 2, score.rmse_percent.mean == least),
            ]
        )
    data = result.material.data
    caption = (
        "K-means accuracy under the best matching of clusters to classes (higher is better) and "
        "reconstruction RMSE in % of the intensity range (lower is better), on held-out people. "
        "The paper's own network has other layers than ours: rows of ours with its loss are beside "
        "its values to compare the steps. The mean brain knows nothing of anybody; PCA has as many "
        "numbers as the codes. "
        "Small print: 95 % interval by bootstrap over people."
    )
    groups = [("", 1), ("K-means accuracy", 2), ("RMSE, %", 2)]
    return Table(["model", ADNI2, data, ADNI2, data], rows, caption, groups)


def _method_table(methods: Sequence[MethodScore], caption: str) -> Table:
    classes = list(methods[0].recalls)
    rows = []
    for method in methods:
        scores = [
            (getattr(method, c), getattr(method, c).value == _best_of(methods, method, c))
            for c in COLUMNS
        ]
        scores += [(method.recalls[name], False) for name in classes]
        kind = "" if method.kind == "model" else " (baseline)"
        cells = [estimate_cell(estimate, 3, is_best) for estimate, is_best in scores]
        rows.append([Cell(title_of(method.name) + kind), *cells])
    columns = ["method", *COLUMNS.values(), *(f"recall {name}" for name in classes)]
    return Table(columns, rows, caption)


def _best_of(methods: Sequence[MethodScore], like: MethodScore, column: str) -> float:
    """Return the best score of a column; of a ranking, among those of the same kind."""
    rivals = [m for m in methods if column not in OF_RANKING or m.order == like.order]
    return max(float(getattr(method, column).value) for method in rivals)


def _honest_caption(result: HonestResult) -> str:
    first = result.methods[0]
    missed = first.without_relevant
    misses = f"; for {missed} of them the gallery holds no case of their class" if missed else ""
    return (
        f"{first.queries} people ({result.material.data}) ask{misses}. top-1, macro-F1 and recall: "
        "of the nearest case's class; P@10: share of the query's class among 10 hits; mAP: mean "
        "average precision; AUC and macro-F1, evidence: of the evidence for a class. A support "
        "vector machine answers with cases of the class it names, and so does a row 'class first': "
        "such rankings are compared with each other only. Small print: 95 % interval over people, "
        "without the noise of training; bold: best of its kind."
    )


def _staging_table(stagings: Sequence[Staging]) -> Table:
    groups = [group.name for group in stagings[0].groups]
    rows = []
    for staging in stagings:
        means = [estimate_cell(group.mean, 2) for group in staging.groups]
        rho = staging.rho_never_trained or staging.rho
        in_order = {True: "yes", False: "no", None: "-"}[staging.in_order]
        last = estimate_cell(rho, 2) if rho else Cell("-")
        rows.append([Cell(title_of(staging.method)), *means, Cell(in_order), last])
    low, high = stagings[0].ends
    caption = (
        f"Mean position of each group between held-out {low} (0) and held-out {high} (1), whether "
        "the means rise in medicine's order, and Spearman's correlation of position with stage "
        "over the never-trained people."
    )
    return Table(["method", *groups, "in order", "Spearman"], rows, caption)


def _shown_staging(result: HonestResult) -> Staging:
    """Return the staging of the contestant."""
    return next(staging for staging in result.staging if staging.method == result.contestant)


def _sharing_table(model: ModelConfounds) -> Table:
    rows = []
    for sharing in model.sharing:
        unit = "mean difference" if sharing.quantity else "share equal"
        within = sharing.within_class
        rows.append(
            [
                Cell(sharing.attribute),
                Cell(_number(sharing.observed.value, 3), unit),
                *_chance_cells(sharing.among_all),
                *(_chance_cells(within) if within else (Cell("-"), Cell("-"))),
            ]
        )
    caption = (
        f"{title_of(model.model)}: what the 10 nearest cases share with the query. Likeness 1 is "
        "chance; p by permuting values among all people, or among people of one class only."
    )
    columns = ["attribute", "observed", "likeness", "p", "likeness", "p"]
    groups = [("", 2), ("among all people", 2), ("at equal class", 2)]
    return Table(columns, rows, caption, groups)


def _chance_cells(chance: Chance) -> tuple[Cell, Cell]:
    small = _interval(chance.null, 2)
    p = f"{chance.p:.3f}" if chance.p >= 0.001 else "< 0.001"
    return Cell(_number(chance.enrichment, 2), f"chance {small}"), Cell(p, best=chance.p < 0.05)


def _readable_table(model: ModelConfounds) -> Table:
    rows = []
    for entry in model.readable:
        what = "Spearman" if entry.quantity else "balanced accuracy"
        plain = estimate_cell(entry.accuracy, 3) if entry.accuracy else Cell("-")
        majority = Cell(_number(entry.majority, 3) if entry.majority is not None else "-")
        score = estimate_cell(entry.score, 3)
        chance = Cell(f"{entry.chance:.3f}")
        rows.append([Cell(entry.attribute), Cell(what), score, chance, plain, majority])
    caption = (
        f"{title_of(model.model)}: name that scanner. A linear model learns each attribute from "
        "the codes of training people and names it for people never seen."
    )
    columns = ["attribute", "score", "value", "chance", "accuracy", "most frequent value"]
    return Table(columns, rows, caption)


def _linking_note(model: ModelConfounds) -> str:
    name, link = title_of(model.model), model.linking
    if link is None:
        return f"{name}: nobody held out has two scans, so linking is not measured."
    return (
        f"{name} finds the same person's other scan first in {100 * link.rate.value:.0f} % of "
        f"queries ({link.people} people with several scans among {link.scans} scans; guessing: "
        f"{100 * link.chance:.1f} %). A code is personal data."
    )


def _fold_note(provenance: Provenance) -> str:
    if provenance.run_folds < provenance.folds:
        return (
            f"{provenance.run_folds} of {provenance.folds} folds was held out: the intervals show "
            "the chance in who was held out, not the chance in training."
        )
    return f"Mean ± standard deviation over {provenance.folds} folds."


def _training_row(training: Training) -> list[Cell]:
    return [
        Cell(title_of(training.model)),
        Cell(str(training.fold + 1)),
        Cell(str(training.people)),
        Cell(str(training.scans)),
        Cell(f"{training.seconds:.0f} s"),
        Cell(training.fingerprint[:12] or "-"),
    ]


def _census_line(census: JsonObject) -> str:
    if not census:
        return "none beside the cohort"
    return (
        f"{census.get('people', '?')} people, {census.get('scans', '?')} scans;"
        f" {_length(census, 'dropped')} dropped, {_length(census, 'conflicts')} label conflicts,"
        f" {_length(census, 'duplicates')} duplicate images"
    )


def _length(census: JsonObject, name: str) -> int:
    items = census.get(name)
    return len(items) if isinstance(items, Sequence) else 0


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _spread_cell(spread: FoldSpread, digits: int, best: bool) -> Cell:
    several = len(spread.folds) > 1
    text = _number(spread.mean, digits) + (f" ± {spread.sd:.{digits}f}" if several else "")
    return Cell(text, _interval(spread.estimate, digits), best)


def estimate_cell(estimate: Estimate, digits: int, best: bool = False) -> Cell:
    """Return a value with its interval in small print."""
    return Cell(_number(estimate.value, digits), _interval(estimate, digits), best)


def _interval(estimate: Estimate, digits: int) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{_number(estimate.low, digits)} to {_number(estimate.high, digits)}"


def _number(value: float, digits: int) -> str:
    if value != value:
        return "-"
    # Adding 0.0 after rounding turns a negative zero into a plain one.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _drawing(svg: str, caption: str) -> Drawing:
    return Drawing(Markup(svg), caption)
