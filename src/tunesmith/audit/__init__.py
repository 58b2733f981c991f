"""What can be wrong with a finished study, ours or anyone's, as far as its files show it."""
