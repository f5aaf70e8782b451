"""``python -m dpip`` is ``dpip``."""

from dpip.cli.main import main

main()
