"""Studies: questions about rules, each answered by a command that trains, measures, and draws a figure."""
