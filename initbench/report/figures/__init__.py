"""Figures of the results: each is a function of `StyledContests` that returns a `Drawing`, or None.

In most figures each panel is one contest (an activation, a depth, and what else varies), and an initializer has the
same colour in all of them. A section of the report lists the figures that it shows.
"""
