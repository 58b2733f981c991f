"""Models: from a name to weights in memory, what is patched in them, and what is known of them."""

from tunesmith.models.quantised import take_no_advice

# Before any model library is imported: one of them imports bitsandbytes whether or not 4 bits are wanted.
take_no_advice()
