"""Processes without torch: webdataset imports it wherever it is, which takes longer than most of what they are for."""

from pathlib import Path

WITHOUT_TORCH = str(Path(__file__).with_name("without_torch"))
"""A folder for the import path of a process, in which torch is then not found."""
