"""x."""
import numpy as np
import mlekit


class Gumbel(mlekit.GenericLikelihood):
    params = {"mu": "identity", "beta": "log"}

    def logpdf(self, y, mu, beta):
        z = (y - mu) / beta
        return -z - np.exp(-z) - np.log(beta)


class NumericGumbel(Gumbel):
    derivatives = "numeric"

    def mean(self, mu, beta):
        return mu + np.euler_gamma * beta
