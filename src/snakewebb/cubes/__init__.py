"""Spectral cubes of integral-field units, and the spectra extracted from them."""
