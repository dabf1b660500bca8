"""Formulas of a micro-swimmer in a diffusing biomarker; plain numbers in um, s and molecules/um^3.

    field       D lap c - k c + sources = 0, lambda = sqrt(D / k)      (screened Poisson equation)
    diffusion   D_t = k_B T / (6 pi mu R), D_r = k_B T / (8 pi mu R^3)  (Stokes-Einstein, Stokes-Einstein-Debye)
    counting    N ~ Poisson(4 pi D a c T)                              (Berg and Purcell 1977, Biophys. J. 20, 193)

1 nM is 0.60221 molecules/um^3. The tensor code of `field`, `motion` and `sensor` takes its constants from here.
"""

from __future__ import annotations

import math

BOLTZMANN = 1.380649e-23
"""J/K (exact, SI 2019)."""

NANOMOLAR = 0.602214076
"""Molecules per um^3 in 1 nM (Avogadro's number times 1e-9 mol/l)."""


def translational_diffusion(temperature: float, viscosity: float, radius: float) -> float:
    """Return D_t of a sphere in um^2/s.

    Args:
        temperature: K.
        viscosity: Pa s.
        radius: um.

    Example: 310.15 K, 1.2e-3 Pa s and 1 um give 0.18931 um^2/s.
    """
    return BOLTZMANN * temperature / (6 * math.pi * viscosity * radius) * 1e18


def rotational_diffusion(temperature: float, viscosity: float, radius: float) -> float:
    """Return D_r of a sphere in 1/s; its heading is forgotten after 1 / (2 D_r).

    Args:
        temperature: K.
        viscosity: Pa s.
        radius: um.

    Example: 310.15 K, 1.2e-3 Pa s and 1 um give 0.14198 /s, a memory of 3.52 s; 0.1 um gives 142 /s, 3.5 ms.
    """
    return BOLTZMANN * temperature / (8 * math.pi * viscosity * radius**3) * 1e18


def effective_diffusion(speed: float, d_t: float, d_r: float, tau_run: float = math.inf) -> float:
    """Return the long-time diffusion constant v^2 tau / 3 + D_t of a persistent walk, 1 / tau = 2 D_r + 1 / tau_run.

    Args:
        speed: um/s.
        d_t: um^2/s.
        d_r: 1/s.
        tau_run: mean time between tumbles in s; infinite for a swimmer that never tumbles.

    Example: 25 um/s, R = 1 um and tau_run = 1 s give 162.26 + 0.19 = 162.45 um^2/s.
    """
    rate = 2 * d_r + 1 / tau_run
    return (speed**2 / (3 * rate) if rate > 0 else math.inf) + d_t


def screening_length(diffusion: float, decay: float) -> float:
    """Return lambda = sqrt(D / k) in um (infinite without decay)."""
    return math.sqrt(diffusion / decay) if decay > 0 else math.inf


def point_amplitude(secretion: float, diffusion: float) -> float:
    """Return A in molecules/um^2 of a point source's c(r) = A exp(-r / lambda) / r, with A = Q / (4 pi D)."""
    return secretion / (4 * math.pi * diffusion)


def sphere_amplitude(secretion: float, diffusion: float, decay: float, radius: float) -> float:
    """Return A in molecules/um^2 of c(r) = A exp(-r / lambda) / r outside a sphere that secretes at its surface.

    A is fixed by the flux through the surface, -4 pi R^2 D c'(R) = Q.

    Args:
        secretion: Q in molecules/s.
        diffusion: D in um^2/s.
        decay: k in 1/s.
        radius: R in um.
    """
    ratio = radius / screening_length(diffusion, decay)
    return point_amplitude(secretion, diffusion) * math.exp(ratio) / (1 + ratio)


def concentration(distance: float, amplitude: float, length: float) -> float:
    """Return c(r) = A exp(-r / lambda) / r in molecules/um^3.

    Example: the sphere of 15 um with Q = 2e5, D = 100, k = 0.01 has c(15) = 9.22637, c(100) = 0.59152.
    """
    return amplitude * math.exp(-distance / length) / distance


def log_gradient(distance: float, length: float) -> float:
    """Return d ln c / dr = -(1 / r + 1 / lambda) in 1/um, the same for point and sphere."""
    return -(1 / distance + 1 / length)


def receptor_share(receptors: int, receptor_radius: float, sensor_radius: float) -> float:
    """Return the share N s / (N s + pi a) of a perfect absorber's current that N receptors of radius s catch.

    Berg and Purcell 1977; 0 receptors stand for a perfect absorber (share 1).
    """
    if receptors == 0:
        return 1.0
    caught = receptors * receptor_radius
    return caught / (caught + math.pi * sensor_radius)


def expected_count(concentration: float, diffusion: float, radius: float, time: float, share: float = 1.0) -> float:
    """Return the mean number 4 pi D a c T of molecules that an absorber of radius a catches in time T.

    Example: c = 1, D = 100, a = 1, T = 0.1 give 125.664.
    """
    return 4 * math.pi * diffusion * radius * concentration * time * share


def absorber_error(count: float) -> float:
    """Return the relative error 1 / sqrt(N) of a perfect absorber's estimate; N = 125.664 gives 0.08921."""
    return 1 / math.sqrt(count)


MONITOR_FACTOR = math.sqrt(12 / 5)
"""How much noisier a perfect monitor is than the absorber: sqrt(3 / (5 pi D a c T)) against 1 / sqrt(4 pi D a c T)."""


def monitor_error(count: float) -> float:
    """Return the relative error sqrt(3 / (5 pi D a c T)) of a monitor, from the absorber's count N = 4 pi D a c T.

    Example: N = 125.664 gives 0.13820.
    """
    return MONITOR_FACTOR * absorber_error(count)


def poiseuille(rho: float, vessel_radius: float, peak: float) -> float:
    """Return the speed u_max (1 - rho^2 / R_v^2) of laminar flow in a tube, 0 outside; its mean is u_max / 2.

    Example: R_v = 10 um and u_max = 1000 um/s give 750 um/s at rho = 5 um.
    """
    return peak * max(0.0, 1 - (rho / vessel_radius) ** 2)


def peclet(drift: float, diffusion: float, decay: float) -> float:
    """Return u lambda / D: below about 0.3 a drift leaves the resting concentration field nearly as it is."""
    return abs(drift) * screening_length(diffusion, decay) / diffusion if drift else 0.0


def heading_noise(d_r: float, dt: float) -> float:
    """Return s such that e' = normalise(e + s xi), xi ~ N(0, 1)^3, decays exactly like rotational diffusion.

    The mean cosine of such a step is erf(x / sqrt 2) (1 - 1 / x^2) + sqrt(2 / pi) exp(-x^2 / 2) / x with x = 1 / s
    (first moment of the projected normal distribution). It is set to exp(-2 D_r dt), so the autocorrelation of the
    heading is exact at any dt; for small steps s -> sqrt(2 D_r dt), the Euler step de = sqrt(2 D_r dt) xi x e.

    Args:
        d_r: 1/s.
        dt: s.
    """
    target = math.exp(-2 * d_r * dt)
    if target >= 1 - 1e-12:
        return math.sqrt(2 * d_r * dt)
    low, high = 1e-6, 1e6
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if mean_cosine(middle) < target else (middle, high)
    return math.sqrt(low * high)


def mean_cosine(s: float) -> float:
    """Return the mean cosine between e and normalise(e + s xi) for a standard normal xi in three dimensions."""
    x = 1 / s
    tail = math.sqrt(2 / math.pi) * math.exp(-x * x / 2)
    if x < 0.1:
        # Series of the closed form, whose terms cancel here.
        return math.sqrt(2 / math.pi) * (2 * x / 3 - x**3 / 15)
    return math.erf(x / math.sqrt(2)) * (1 - 1 / (x * x)) + tail / x
