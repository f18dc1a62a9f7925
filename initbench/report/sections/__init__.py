"""The sections of a report. To add one: a file that makes a `Section`, and its line in `order.SECTIONS`."""
