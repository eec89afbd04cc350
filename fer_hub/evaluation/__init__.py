"""Evaluation: a model and a split -> reports, comparisons, calibration, tables and figures."""
