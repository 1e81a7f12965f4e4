//! Numbers in readable form.

use std::time::Duration;

/// Formats `1234567` as `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a duration with two or three digits, in a fitting unit.
pub(crate) fn seconds(duration: Duration) -> String {
    let nanos = duration.as_nanos() as f64;
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    if value < 10.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// Formats a number of bytes in a fitting unit.
pub(crate) fn bytes(n: u64) -> String {
    match n as f64 {
        n if n < 1024.0 => format!("{n:.0} bytes"),
        n if n < 1024.0 * 1024.0 => format!("{:.1} KiB", n / 1024.0),
        n if n < 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", n / (1024.0 * 1024.0)),
        n => format!("{:.1} GiB", n / (1024.0 * 1024.0 * 1024.0)),
    }
}

/// Formats a rate a second.
pub(crate) fn rate(n: u64, took: Duration) -> String {
    grouped((n as f64 / took.as_secs_f64()) as u64)
}

/// The median and the 99th percentile. Sorts the values.
pub(crate) fn percentiles(durations: &mut [Duration]) -> (Duration, Duration) {
    durations.sort_unstable();
    let at = |share: usize| {
        let place = (durations.len().max(1) - 1) * share / 100;
        durations.get(place).copied().unwrap_or_default()
    };
    (at(50), at(99))
}
