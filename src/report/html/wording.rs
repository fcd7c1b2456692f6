//! Numbers, times and paths as the report writes them.

/// A score to three digits that matter.
#[must_use]
pub fn figure(v: f64) -> String {
    match v.abs() {
        a if a >= 0.1 || a == 0.0 => format!("{v:.3}"),
        a if a >= 0.01 => format!("{v:.4}"),
        a if a >= 0.001 => format!("{v:.5}"),
        _ => format!("{v:.1e}"),
    }
}

/// A share in percent, with what is too small for a digit said in words.
pub(super) fn percent(count: u64, of: u64) -> String {
    if of == 0 {
        return "–".into();
    }
    let share = 100.0 * count as f64 / of as f64;
    if share > 0.0 && share < 0.1 {
        "under 0.1 %".into()
    } else {
        format!("{share:.1} %")
    }
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

/// `2026-01-31T09:05:00Z` as `2026-01-31 09:05 UTC`; another text as it is.
pub(super) fn minute(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => rfc3339.to_string(),
    }
}

/// The first digits of a hash.
pub(super) fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// A relative path as a URL.
pub(super) fn percent_encoded(path: &str) -> String {
    let mut url = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}
