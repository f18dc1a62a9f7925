"""The threshold that tells networks that can be trained from those that can't, for diagnosis and initializers alike."""

import math

from initbench.theory.mean_field import TRAINABLE

# Between the first and the last hidden layer: 20, or 1/20. Squared signals and gradients fade as exp(-L/xi) over L
# layers, and networks train up to about L = 6 xi (Schoenholz et al. 2017): e^-6 in the square is e^-3 in the norm.
FACTOR = math.exp(TRAINABLE / 2)
