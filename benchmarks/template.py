"""Write the template's images that ship with the package, of the files that nilearn carries.

    python benchmarks/template.py src/braincase/preprocess/space/template.npz

`tests/test_template.py` compares the file with what this computes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from braincase.preprocess.space.template_source import write_template

if __name__ == "__main__":
    write_template(Path(sys.argv[1]))
