"""Repair: plans of what should have happened, decided before anything changes, and applied by the active worker."""
