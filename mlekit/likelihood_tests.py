"""The tests of a fit that compare models: methods of its results."""

from typing import TYPE_CHECKING, Any, cast

from mlekit import model_tests, score_tests, term_tests
from mlekit.formula import caller_scope

if TYPE_CHECKING:
    from mlekit.results import Results


class LikelihoodTests:
    """What :class:`~mlekit.results.Results` says of smaller and of larger models."""

    def lr_test(self, other: Any) -> model_tests.ModelTest:
        """Likelihood-ratio test against a fit that is nested in this one, or that this one is nested in.

        Parameters
        ----------
        other
            A fit to the same rows: of the same family with fewer or more terms, with coefficients held by ``fixed=`` or
            tied by ``constraints=``, or of the family that this one is at the limit of a parameter (a Poisson in a
            negative binomial, which then is tested on its boundary: half of the statistics are 0). Two bias-reduced
            fits with a canonical link are compared by the penalised likelihood of the larger one, as in R's logistf.

        Returns
        -------
        ModelTest
            ``statistic``, ``df``, ``pvalue`` and ``notes``.

        Raises
        ------
        ValueError
            If neither is nested in the other, the rows, responses or weights differ, one is penalised, or one is not at
            its maximum.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> africa = load_africa()
        >>> small = mlekit.fit("miltcoup ~ parties", africa, "poisson")
        >>> mlekit.fit("miltcoup ~ oligarchy + parties + pollib", africa, "poisson").lr_test(small)
        Likelihood-ratio test: chi2(2) = 27.499, p = 1.068e-06
          miltcoup ~ parties (Poisson())
          in miltcoup ~ oligarchy + parties + pollib (Poisson())
        """
        return self._lr_test(other)

    def _lr_test(self, other: Any) -> model_tests.ModelTest:
        return model_tests.lr_test(self, other)

    def drop1(self, adjust: str | None = None) -> model_tests.TestTable:
        """Leave out each term of the formulas in turn, fit again to the same rows, and compare likelihoods.

        As R's ``drop1(..., test = "LRT")``: what is part of an interaction stays, and so do intercepts.

        Parameters
        ----------
        adjust : str, optional
            How p-values are corrected for how many they are: ``"holm"``, ``"fdr_bh"``, or another method of
            statsmodels' ``multipletests``.

        Returns
        -------
        TestTable
            ``table`` has df, llf and aic without the term, LR and p; for least squares with ``use_t=True`` F as well.

        Raises
        ------
        ValueError
            If the fit is penalised or not the maximum, or has no term that can be left out.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties + oligarchy", load_africa(), "poisson")
        >>> print(res.drop1(adjust="holm"))
        Terms left out of miltcoup ~ parties + oligarchy (Poisson())
                  df      llf     aic      LR           p    p (holm)
        <none>       -52.4171 110.834
        parties    1 -53.8777 111.755 2.92127    0.087419    0.087419
        oligarchy  1 -62.5818 129.164 20.3294 6.51922e-06 1.30384e-05
        """
        return term_tests.drop1(cast("Results", self), adjust)

    def score_test(self, hypothesis: Any = None, *, information: str | None = None) -> model_tests.ModelTest:
        """Score (Rao) test: of terms that are not in the model, of coefficients that are, or of its restrictions.

        It is the score of the larger model where the smaller one has its maximum, squared in units of its information;
        the larger model is not fitted (Rao 1948).

        Parameters
        ----------
        hypothesis : optional
            Terms to add, ``"+ x2 + C(g)"`` (``{"sigma": "+ x2"}`` to another parameter): that they have no effect.
            Linear hypotheses, ``"x1 = 0, x2 = x3"`` or ``(matrix, constants)``: the model is fitted under them. None:
            what the fit is held to, by ``constraints=`` or ``fixed=``.
        information : {"expected", "observed"}, optional
            Default: expected where the family knows it, as R's ``anova(test = "Rao")``, which differs for least
            squares, where it takes the scale of the larger model.

        Returns
        -------
        ModelTest

        Raises
        ------
        ValueError
            If the hypothesis cannot be read, or says nothing; terms to add are missing in rows of the fit; the
            information is not positive definite under the hypothesis, or the density has a kink.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
        >>> res.score_test("+ oligarchy")
        Score test: chi2(1) = 22.2544, p = 2.388e-06
          miltcoup ~ parties (Poisson())
          in the same + oligarchy
        [1] By the expected information under the hypothesis.
        """
        return score_tests.score_test(cast("Results", self), hypothesis, information, caller_scope(1))

    def term_tests(self, adjust: str | None = None) -> model_tests.TestTable:
        """Test each term in three ways: by Wald's statistic, by the likelihood ratio, and by the score.

        They agree in large samples. Where Wald's statistic falls as the estimate moves away from 0 (Hauck and Donner
        1977), it says nothing, and the table does: by its derivative, for which it takes the information at each point
        (Yee 2022), the other coefficients at their best.

        Parameters
        ----------
        adjust : str, optional
            As for :meth:`drop1`.

        Returns
        -------
        TestTable
            ``table`` has df, and each statistic with its p-value.

        Raises
        ------
        ValueError
            As for :meth:`drop1`, and if the fit has constraints or bounds.

        Examples
        --------
        >>> import mlekit
        >>> from mlekit.datasets import load_africa
        >>> res = mlekit.fit("miltcoup ~ parties + C(pollib)", load_africa(), "poisson")
        >>> print(res.term_tests())
        Terms of miltcoup ~ parties + C(pollib) (Poisson())
                   df    Wald      p Wald       LR       p LR   score     p score Hauck-Donner
        C(pollib)   2 11.3048  0.00350914  10.8968 0.00430313 12.1068  0.00234981           no
        parties     1 10.8322  0.00099749  9.16462 0.00246738 11.2165 0.000810735           no
        [1] Score: expected information without the term.
        """
        return term_tests.term_tests(cast("Results", self), adjust)
