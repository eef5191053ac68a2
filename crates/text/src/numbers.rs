//! Numbers as a reader sees them.

/// `1234567` becomes `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Below ten thousand in full, then in thousands, millions and thousands of millions: `5,130`, `61.4 k`, `11.18 M`, `1.81 G`.
pub fn count(n: u64) -> String {
    match n {
        0..10_000 => grouped(n),
        10_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// `4.27 s`, `42.1 s`, `12 min 05 s`, `3 h 07 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 9.995 => format!("{s:.2} s"),
        s if s < 119.95 => format!("{s:.1} s"),
        s if s < 2.0 * 3600.0 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `300 MiB`, `1.21 GiB`.
pub fn bytes(n: u64) -> String {
    const KIB: f64 = 1024.0;
    let n = n as f64;
    match n {
        n if n < KIB => format!("{n} bytes"),
        n if n < KIB * KIB => format!("{:.0} KiB", n / KIB),
        n if n < KIB * KIB * KIB => format!("{:.0} MiB", n / KIB / KIB),
        n => format!("{:.2} GiB", n / KIB / KIB / KIB),
    }
}

/// Three digits that count: `0.31`, `4.52`, `12.3`, `1,234`.
pub fn rate(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => grouped(v.round() as u64),
    }
}

/// A factor in three digits that count, without zeros at its end: `1`, `0.25`, `0.0333`.
pub fn short(factor: f64) -> String {
    let digits = (2 - factor.log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{factor:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `1 seed`, `3 seeds`.
pub fn plural(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(n as u64)) }
}

/// A mean and its standard deviation, where there is one, with so many decimals: `66.07 ± 0.06`.
pub fn with_deviation(mean: f64, deviation: Option<f64>, places: usize) -> String {
    let deviation = deviation.map_or_else(String::new, |sd| format!(" ± {sd:.places$}"));
    format!("{mean:.places$}{deviation}")
}

/// How many decimals of a percentage a test split of that size bears.
pub fn decimals(test_images: Option<usize>) -> usize {
    if test_images.is_some_and(|n| n >= 2000) { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1,234,567"]);
        assert_eq!(
            [5130, 61_400, 11_181_642, 1_814_000_000].map(count),
            ["5,130", "61.4 k", "11.18 M", "1.81 G"]
        );
        assert_eq!([1.0, 0.25, 1.0 / 30.0].map(short), ["1", "0.25", "0.0333"]);
        assert_eq!(
            [4.268, 9.999, 42.06, 119.97, 725.2, 11_230.0].map(duration),
            ["4.27 s", "10.0 s", "42.1 s", "2 min 00 s", "12 min 05 s", "3 h 07 min"]
        );
        assert_eq!([bytes(12), bytes(300 << 20), bytes(1_300_000_000)], ["12 bytes", "300 MiB", "1.21 GiB"]);
        assert_eq!([0.312, 12.34, 1234.4].map(rate), ["0.31", "12.3", "1,234"]);
        assert_eq!(
            [with_deviation(66.066, Some(0.061), 2), with_deviation(7.04, None, 1)],
            ["66.07 ± 0.06", "7.0"]
        );
        assert_eq!([plural(1, "seed"), plural(3, "seed")], ["1 seed", "3 seeds"]);
    }
}
