"""`python -m robustkit`: the same as the `robustkit` command."""

from robustkit.cli import main

if __name__ == "__main__":
    main()
