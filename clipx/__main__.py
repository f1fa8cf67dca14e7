"""The command `clipx`, and `python -m clipx`."""

from clipx._torchless import import_webdataset

__all__ = ["run"]


def run() -> None:
    """Run the command line of this process."""
    import_webdataset()
    from clipx.cli.main import main

    main(prog_name="clipx")


if __name__ == "__main__":
    run()
