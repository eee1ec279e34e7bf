"""`python -m outcrop`: the command line without its script."""

from outcrop.cli import main

if __name__ == "__main__":
    main()
