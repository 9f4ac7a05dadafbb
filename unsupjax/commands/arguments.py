"""Arguments that several commands take."""

import argparse


def add_processes(parser: argparse.ArgumentParser) -> None:
    """How several processes find each other, where no launcher tells."""
    parser.add_argument(
        "--coordinator", help="HOST:PORT of process 0, where no launcher tells of several processes"
    )
    parser.add_argument("--num_processes", type=int, help="how many processes there are")
    parser.add_argument("--process_id", type=int, help="which of them this is, from 0")


def start_processes(options: argparse.Namespace) -> None:
    """Joins the processes that `add_processes` named."""
    from unsupjax.parallel import processes

    processes.start(options.coordinator, options.num_processes, options.process_id)
