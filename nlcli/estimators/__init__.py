"""Estimators as scikit-learn has them: ``train-head`` and ``detect-noise`` with arrays instead of directories."""
