"""Is everything there, and will the model learn what it should? Looked at before a long run: `tunesmith doctor`."""
