//! Time limits as Slurm writes them: [`seconds`].

/// A text that is no time limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTime;

/// Seconds of `MINUTES`, `MINUTES:SECONDS`, `HOURS:MINUTES:SECONDS`, `DAYS-HOURS`, `DAYS-HOURS:MINUTES` or
/// `DAYS-HOURS:MINUTES:SECONDS`; none for `UNLIMITED` and `INFINITE`.
///
/// # Errors
/// Anything else.
pub fn seconds(text: &str) -> Result<Option<u64>, BadTime> {
    if ["unlimited", "infinite"].contains(&text.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let number = |part: &str| part.parse::<u64>().map_err(|_| BadTime);
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(number(days)?), rest),
        None => (None, text),
    };
    let parts = rest.split(':').map(number).collect::<Result<Vec<u64>, _>>()?;
    let (hours, minutes, seconds) = match (days.is_some(), parts.as_slice()) {
        (_, [hours, minutes, seconds]) => (*hours, *minutes, *seconds),
        (true, [hours, minutes]) => (*hours, *minutes, 0),
        (true, [hours]) => (*hours, 0, 0),
        (false, [minutes, seconds]) => (0, *minutes, *seconds),
        (false, [minutes]) => (0, *minutes, 0),
        _ => return Err(BadTime),
    };
    let days = days.unwrap_or(0).checked_mul(24).and_then(|of_days| of_days.checked_add(hours));
    let all = days
        .and_then(|hours| hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?.checked_add(seconds));
    all.filter(|all| *all > 0).map(Some).ok_or(BadTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_all_forms() {
        for (text, expected) in [
            ("90", 5400),
            ("1:30", 90),
            ("2:00:00", 7200),
            ("1-12", 129_600),
            ("1-0:30", 88_200),
            ("2-00:00:10", 172_810),
        ] {
            assert_eq!(seconds(text), Ok(Some(expected)), "{text}");
        }
        assert_eq!(seconds("UNLIMITED"), Ok(None));
        for text in ["", "0", "2h", "1:2:3:4", "-5", "1-", "99999999999999999999", "999999999999999999-0"] {
            assert_eq!(seconds(text), Err(BadTime), "{text}");
        }
    }
}
