"""``python -m braincase`` is ``braincase``; torchrun needs it."""

from braincase.cli import main

main()
