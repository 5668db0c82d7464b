"""The code that the notebooks show: models, data, training, evaluation and plots."""
