#!/usr/bin/env python3
"""Finds the coefficients of tanh(x) = x P(x²) / Q(x²) in crates/model/src/kernel/lanes.rs: the quotient whose largest
relative error on [0, FAR] is least. Prints them, their errors in exact arithmetic and in f32, and whether they are the
ones in lanes.rs (exit code 1 if not). Needs numpy. It must not know the kernels.

    python3 benches/peers/fit_tanh.py

Lawson's iteration: weighted least squares of x P − tanh(x) Q, each point's weight multiplied by its error until the
largest errors are level. P and Q are in Chebyshev's polynomials while fitted, else the system is too ill-conditioned.
"""

import pathlib
import re
import sys

import numpy as np
from numpy.polynomial import Polynomial, chebyshev

LANES_RS = pathlib.Path(__file__).resolve().parents[2] / "crates/model/src/kernel/lanes.rs"
FAR = 7.9
TERMS = 5
POINTS, ROUNDS = 2000, 300


def fit(terms, far):
    """Coefficients of P and Q, lowest first, Q(0) = 1, and the largest relative error."""
    angles = np.pi * (np.arange(POINTS) + 0.5) / POINTS
    x = far * 0.5 * (1 - np.cos(angles))
    tanh, u = np.tanh(x), 2 * x * x / far**2 - 1
    powers = chebyshev.chebvander(u, terms - 1)
    weights, last_q = np.full(POINTS, 1 / POINTS), np.ones(POINTS)
    least, best = np.inf, None
    for _ in range(ROUNDS):
        scale = np.sqrt(weights) / (tanh * last_q)
        system = np.hstack([(x * scale)[:, None] * powers, -(tanh * scale)[:, None] * powers])
        # The unit vector that the system shortens most.
        z = np.linalg.svd(system, full_matrices=False)[2][-1]
        p, q = powers @ z[:terms], powers @ z[terms:]
        errors = np.abs(x * p / q - tanh) / tanh
        if errors.max() < least:
            least, best = errors.max(), z
        last_q = np.abs(q)
        weights = weights * errors
        weights /= weights.sum()
    p, q = in_x_squared(best[:terms], far), in_x_squared(best[terms:], far)
    return p / q[0], q / q[0], least


def in_x_squared(coefficients, far):
    """From Chebyshev's polynomials of u = 2 x²/far² − 1 to powers of x²."""
    return Polynomial(chebyshev.cheb2poly(coefficients))(Polynomial([-1, 2 / far**2])).coef


def horner(coefficients, y):
    """In f32 by fused multiply-adds: f64 holds the product of two f32 exactly."""
    total = np.full_like(y, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = (total.astype(np.float64) * y + np.float64(coefficient)).astype(np.float32)
    return total


def literals(coefficients):
    """As in Rust, highest first, the shortest that is the same f32."""
    return "[" + ", ".join(str(value) for value in coefficients[::-1]) + "]"


def in_lanes_rs(name):
    found = re.search(rf"const {name}: \[f32; \d+\] = \[(.*?)\];", LANES_RS.read_text(), re.S)
    return np.array([float(value) for value in found[1].split(",") if value.strip()], np.float32)[::-1]


def main():
    p, q, least = fit(TERMS, FAR)
    p, q = p.astype(np.float32), q.astype(np.float32)
    x = np.linspace(0, FAR, 1_000_001).astype(np.float32)
    values = x * horner(p, x * x) / horner(q, x * x)
    truth = np.tanh(x.astype(np.float64))
    errors = np.abs(values - truth)
    print(f"NUMERATOR   {literals(p)}")
    print(f"DENOMINATOR {literals(q)}")
    print(f"largest relative error on [0, {FAR}]: {least:.2e} in exact arithmetic, {(errors[1:] / truth[1:]).max():.2e} in f32")
    print(f"largest absolute error in f32: {errors.max():.2e}; largest value: {values.max()}")
    same = np.array_equal(p, in_lanes_rs("NUMERATOR")) and np.array_equal(q, in_lanes_rs("DENOMINATOR"))
    print(f"the coefficients in lanes.rs {'are these' if same else 'are others'}")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
