"""What the scores are worth: intervals, calibration, comparisons."""
