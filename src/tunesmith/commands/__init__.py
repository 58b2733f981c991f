"""The commands of the command line: each checks what was typed, calls the library, and shows what comes back."""
