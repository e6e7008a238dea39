//! Functions that platforms compute differently, computed the same way everywhere. Sums, products, quotients and square
//! roots are the same everywhere by IEEE 754.

pub(super) fn exp(x: f32) -> f32 {
    libm::expf(x)
}

pub(super) fn ln(x: f32) -> f32 {
    libm::logf(x)
}

pub(super) fn power(base: f32, exponent: f32) -> f32 {
    libm::powf(base, exponent)
}

/// The cosine of so many turns, to 10⁻⁵: fast, for sums of many.
pub(super) fn wave(turns: f32) -> f32 {
    let half = std::f32::consts::PI * (turns - (turns + 0.5).floor());
    let square = half * half;
    // The first terms of the sine's series, of a quarter turn at most; cos 2x = 1 − 2 sin² x.
    let sine = half * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0))));
    1.0 - 2.0 * sine * sine
}

pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    libm::sincosf(angle)
}

pub(super) fn square(x: f32) -> f32 {
    x * x
}

pub(super) fn hypot(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// 0 far below 0, 1 far above.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// 1 at 0, falling off like the normal distribution.
pub(super) fn bell(x: f32) -> f32 {
    exp(-0.5 * x * x)
}
