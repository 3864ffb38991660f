"""The formulas of the papers on preference losses, of errors E of the model and R of the reference, in 40 digits."""

from typing import Any

import mpmath

mpmath.mp.dps = 40
Number = Any  # mpmath has no types


def sigma(value: Number) -> Number:
    return 1 / (1 + mpmath.exp(-value))


def paper_dpo(ew: Number, el: Number, rw: Number, rl: Number, beta: Number) -> Number:
    return -mpmath.log(sigma(-(beta / 2) * ((ew - rw) - (el - rl))))


def paper_hinge(ew: Number, el: Number, rw: Number, rl: Number, beta: Number) -> Number:
    log_ratio = (-ew + rw + el - rl) / 2
    return max(mpmath.mpf(0), 1 - beta * log_ratio)


def paper_ipo(ew: Number, el: Number, rw: Number, rl: Number, beta: Number) -> Number:
    log_ratio = (-ew + rw + el - rl) / 2
    return beta**2 * (log_ratio - 1 / (2 * beta)) ** 2


def paper_dmpo(ew: Number, el: Number, rw: Number, rl: Number, beta: Number) -> Number:
    logit = -(beta / 2) * ((ew - rw) - (el - rl))
    p, not_p, q = sigma(logit), sigma(-logit), 1 - mpmath.mpf(0.01)
    return p * mpmath.log(p / q) + not_p * mpmath.log(not_p / (1 - q))


def paper_mapo(ew: Number, el: Number, rw: Number, rl: Number, beta: Number) -> Number:
    def score(value: Number) -> Number:
        return value / 2 / (mpmath.exp(value / 2) - 1)

    return ew - beta * mpmath.log(sigma(1000 * (score(ew) - score(el))))


def paper_kto(ew: Number, el: Number, rw: Number, rl: Number, beta: Number) -> Number:
    q = mpmath.mpf(0.125)
    utilities = [1 - sigma(y * beta * ((r - e) - q)) for e, r, y in [(ew, rw, 1), (el, rl, -1)]]
    return sum(utilities) / 2


def paper_supervised(ew: Number, el: Number, rw: Number, rl: Number, beta: Number) -> Number:
    return beta * ew
