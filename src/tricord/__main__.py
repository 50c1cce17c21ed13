"""``python -m tricord``."""

from tricord.cli import main

main()
