"""
Jump-wing parameters of raw SVI slices, for tests that hold a paper's numbers against ours.

Source: Gatheral & Jacquier (2014), section 3.3.
"""

import numpy as np

from hydra_assets.options.svi import RawSvi


def of_jump_wings(*, tau, variance, skew, put_wing, call_wing, minimum):
    """Slices from variance a year at the money, skew, slopes of the put and call wing, and smallest variance a year."""
    t, v, psi, p, c, least = (np.atleast_1d(np.asarray(part, dtype=float)) for part in (tau, variance, skew, put_wing, call_wing, minimum))
    w = v * t
    b = np.sqrt(w) / 2 * (c + p)
    rho = 1 - p * np.sqrt(w) / b
    beta = rho - 2 * psi * np.sqrt(w) / b
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.sign(beta) * np.sqrt(1 / beta**2 - 1)
        m = (v - least) * t / (b * (-rho + np.sign(alpha) * np.sqrt(1 + alpha**2) - alpha * np.sqrt(1 - rho**2)))
        centred = beta == 0
        m = np.where(centred, 0.0, m)
        # With the vertex at the money the two variances alone fix sigma.
        flat = np.sqrt(1 - rho**2)
        sigma = np.where(centred, (v - least) * t / (b * np.where(flat < 1, 1 - flat, np.nan)), alpha * m)
    return RawSvi.of(a=least * t - b * sigma * flat, b=b, rho=rho, m=m, sigma=sigma)


def jump_wings(svi, tau):
    """Variance a year at the money, skew, put wing, call wing, smallest variance a year."""
    t = np.asarray(tau, dtype=float)
    root = np.sqrt(svi.m**2 + svi.sigma**2)
    w = svi.a + svi.b * (-svi.rho * svi.m + root)
    scale = np.sqrt(w)
    skew = svi.b / (2 * scale) * (svi.rho - svi.m / root)
    least = svi.a + svi.b * svi.sigma * np.sqrt(1 - svi.rho**2)
    return w / t, skew, svi.b * (1 - svi.rho) / scale, svi.b * (1 + svi.rho) / scale, least / t
