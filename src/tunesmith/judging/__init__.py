"""A judge at work on two systems or on files: over the engine that also asks the teacher, kept, summed up, checked."""
