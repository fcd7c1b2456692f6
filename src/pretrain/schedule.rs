//! The learning rate over a run.

/// Rises linearly over `warm_up` steps, then falls along half a cosine to 0
/// at `steps` (I. Loshchilov, F. Hutter: SGDR, ICLR 2017, without restarts).
///
/// `step` counts from 0; the result is a factor of the peak rate.
pub(super) fn warm_cosine(step: u64, warm_up: u64, steps: u64) -> f64 {
    if step < warm_up {
        return (step + 1) as f64 / warm_up as f64;
    }
    let rest = steps.saturating_sub(warm_up).max(1) as f64;
    let done = ((step - warm_up) as f64 / rest).min(1.0);
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_nothing() {
        assert_eq!(warm_cosine(0, 10, 110), 0.1);
        assert_eq!(warm_cosine(9, 10, 110), 1.0);
        assert_eq!(warm_cosine(10, 10, 110), 1.0);
        assert!((warm_cosine(60, 10, 110) - 0.5).abs() < 1e-12);
        assert!(warm_cosine(110, 10, 110) < 1e-12);
    }
}
