"""`python -m clipx` is the command line."""

from clipx.cli.main import main

if __name__ == "__main__":
    main(prog_name="clipx")
