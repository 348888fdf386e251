"""Calibration of the simulation: is what its images show what was measured of real people?"""
