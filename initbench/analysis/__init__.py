"""Numbers: results in, tables, verdicts and sentences out; nothing of colours, HTML or the terminal.

`contests.Contests` is where to begin: the runs of a report with their labels, scores and groups, built once, and
`.cells`, one row per cell. From them come `summary` (runs.csv, summary.csv), `comparisons` (pairs of initializers),
`contenders` (who may be the best: `best_set`), `verdicts` and `headline` (the same in words), `diagnosis` (why cells
failed), `mitigations`, `ensembles` and `tuning`. `stats`, `best_set` and `variance` are functions of arrays. `folders`
compares two results folders, `filter` chooses runs, `pivot` lays cells out in rows and columns. A criterion over
results reads `Contests` and the tables of `summary`, `contenders` and `comparisons`.
"""
