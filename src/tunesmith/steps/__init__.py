"""How each stage is fed and kept: `table` lists the steps, the others hold what they do."""
