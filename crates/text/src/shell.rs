//! Words of a command line: [`quoted`].

/// A word as a POSIX shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(["a/b.toml", "seed=0", ""].map(quoted), ["a/b.toml", "seed=0", "''"]);
        assert_eq!(
            ["my x", "it's", "w[m=a]=b", "$HOME"].map(quoted),
            ["'my x'", r"'it'\''s'", "'w[m=a]=b'", "'$HOME'"]
        );
    }
}
