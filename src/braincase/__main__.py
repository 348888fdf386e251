"""``python -m braincase`` is ``braincase``; torchrun needs it."""

from braincase.cli.main import main

main()
