"""tunesmith: documents in, a fine-tuned small language model out, and a verdict with intervals."""

__version__ = "0.1.0"
