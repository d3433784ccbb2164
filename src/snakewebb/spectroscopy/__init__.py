"""Calibration of spectra on the detector."""
