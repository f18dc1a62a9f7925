"""Mean-field theory of wide networks at birth: numbers from formulas, without a network and without torch.

Notation, as in Poole et al. 2016 and Schoenholz et al. 2017: weights ~ N(0, sigma_w^2 / n), biases ~ N(0, sigma_b^2),
z ~ N(0, 1), q the variance of a layer's pre-activations, c the correlation between those of two inputs.
"""
