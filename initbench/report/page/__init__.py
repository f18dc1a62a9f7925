"""The page of a report: a self-contained HTML file that opens from disk."""
