//! What shells, `man` and those who help with faults ask of the program itself, and the colours that it speaks in.

use std::path::PathBuf;

use clap::{Args, ColorChoice, ValueEnum};

/// A shell.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// Whose completions
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Where manual pages go.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The folder to write them to; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// A look at the machine.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Asks no server
    #[arg(long)]
    pub offline: bool,
}

/// The `--color` of a command line that is not read yet, so that what is said of reading it has that too.
pub fn asked_colour(words: impl Iterator<Item = std::ffi::OsString>) -> ColorChoice {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let words = &words[..words.iter().position(|word| word == "--").unwrap_or(words.len())];
    let after = |place: usize| words.get(place + 1).map(String::as_str);
    let asked = words.iter().enumerate().rev().find_map(|(place, word)| match word.as_str() {
        "--color" => after(place),
        word => word.strip_prefix("--color="),
    });
    asked.and_then(|asked| ColorChoice::from_str(asked, false).ok()).unwrap_or(ColorChoice::Auto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_known_before_the_line_is_read() {
        let asked = |line: &str| asked_colour(line.split(' ').map(std::ffi::OsString::from));
        assert_eq!(asked("frostline sweep --color never x.toml"), ColorChoice::Never);
        assert_eq!(asked("frostline --color=always sweep"), ColorChoice::Always);
        assert_eq!(asked("frostline sweep"), ColorChoice::Auto);
        assert_eq!(asked("frostline predict -- --color=always"), ColorChoice::Auto);
        assert_eq!(asked("frostline --color purple sweep"), ColorChoice::Auto);
    }
}
