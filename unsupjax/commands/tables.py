"""Synthetic tables: `unsupjax tables {fit,sample,report,try}`."""


def run(name: str, argv: list[str]) -> None:
    """Runs the command."""
    from unsupjax.tables.__main__ import main

    main(argv)
