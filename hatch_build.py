"""A hatchling build hook: the reading-room page is built into the distribution, where npm is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path("src", "braincase", "web")


class ReadingRoomHook(BuildHookInterface[Any]):
    """A build hook that runs `npm ci` and `npm run build` before a wheel or an sdist is packed.

    An editable install is left alone (`make page` builds for it), and so is an sdist, which carries
    the built page: who installs from it needs no npm.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Leave the built files where hatchling's `artifacts` setting finds them."""
        root = Path(self.root)
        is_built = (root / WEB / "static" / "index.html").is_file()
        if version == "editable" or (is_built and (root / "PKG-INFO").is_file()):
            return
        npm = shutil.which("npm")
        if npm is None:
            self._warn("npm was not found", is_built)
            return
        for arguments in (("ci", "--no-audit", "--no-fund"), ("run", "build")):
            ended = subprocess.run([npm, *arguments], cwd=root / WEB / "frontend", check=False)
            if ended.returncode:
                self._warn(f"'npm {' '.join(arguments)}' failed", is_built)
                return

    def _warn(self, why: str, is_built: bool) -> None:
        result = "its earlier build is packed" if is_built else "the service will draw PNG slices"
        self.app.display_warning(f"reading-room page not built: {why}; {result}")
