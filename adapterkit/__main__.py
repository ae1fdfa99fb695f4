"""``python -m adapterkit``: the command line, as launchers of several processes need it."""

from adapterkit.cli.main import main

if __name__ == "__main__":
    main()
