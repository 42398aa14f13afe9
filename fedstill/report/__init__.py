"""What a person reads after a run: a page, a table on the terminal, plots, and the same figures as JSON."""

from fedstill.report.page import write_report
from fedstill.report.summary import ModelFigures, RoundFigures, Summary
from fedstill.report.terminal import print_summary

__all__ = ["ModelFigures", "RoundFigures", "Summary", "print_summary", "write_report"]
