//! The process's surroundings, read once: the environment variables of the Hugging Face tools become [`HubOptions`].
//! Nothing else of Frostline reads the environment for its settings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use frostline_hub::HubOptions;

use crate::error::Error;

const ENDPOINT: &str = "https://huggingface.co";

/// How to reach the Hub, from `HF_ENDPOINT`, `HF_TOKEN` (or the file `HF_TOKEN_PATH`, or `token` in `HF_HOME`), `HF_HOME`,
/// `HF_HUB_CACHE` and `HF_HUB_OFFLINE`, with the same defaults as Hugging Face's own tools.
///
/// # Errors
/// No home folder is known and none of `HF_HUB_CACHE` and `HF_HOME` is set; a value that is not Unicode.
pub fn hub_options(offline: bool) -> Result<HubOptions, Error> {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    let variable = |name: &str| std::env::var_os(name);
    resolve(&variable, &|path| std::fs::read_to_string(path).ok(), offline)
}

fn resolve(
    variable: &dyn Fn(&str) -> Option<OsString>,
    read: &dyn Fn(&Path) -> Option<String>,
    offline: bool,
) -> Result<HubOptions, Error> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let text = |name: &'static str| {
        let value = set(name).map(|value| value.into_string());
        value
            .transpose()
            .map_err(|_| Error::usage(format!("{name} is not Unicode"), "set it anew, or unset it"))
    };
    let home = set("HF_HOME").map(PathBuf::from).or_else(|| {
        let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
        let user = || set("HOME").or_else(|| set("USERPROFILE")).map(|home| Path::new(&home).join(".cache"));
        cache.or_else(user).map(|cache| cache.join("huggingface"))
    });
    let cache = set("HF_HUB_CACHE").map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join("hub")));
    let cache = cache.ok_or_else(|| {
        Error::usage("there is no home folder for downloads", "set HF_HOME or HF_HUB_CACHE to a folder")
    })?;
    let token_file = set("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| home.map(|home| home.join("token")));
    let token = text("HF_TOKEN")?.or_else(|| token_file.and_then(|file| read(&file)));
    let endpoint = text("HF_ENDPOINT")?.unwrap_or_else(|| ENDPOINT.to_owned());
    Ok(HubOptions {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
        offline: offline || text("HF_HUB_OFFLINE")?.is_some_and(|value| is_true(&value)),
        ..HubOptions::standard(cache)
    })
}

/// What Hugging Face's tools take for true.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)], offline: bool) -> Result<HubOptions, Error> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        let read = |path: &Path| {
            let stored = [("/h/.cache/huggingface/token", "stored\n"), ("/t", "elsewhere")];
            stored.iter().find(|(known, _)| Path::new(known) == path).map(|(_, token)| (*token).to_owned())
        };
        resolve(&variable, &read, offline)
    }

    #[test]
    fn defaults_are_those_of_hugging_faces_tools() {
        let options = options(&[("HOME", "/h")], false).unwrap();
        assert_eq!(options.endpoint, "https://huggingface.co");
        assert_eq!(options.cache, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!((options.token.as_deref(), options.offline), (Some("stored"), false));
    }

    #[test]
    fn each_variable_has_its_effect() {
        let set = |name, value| options(&[("HOME", "/h"), (name, value)], false).unwrap();
        assert_eq!(set("HF_ENDPOINT", "http://127.0.0.1:9/").endpoint, "http://127.0.0.1:9");
        assert_eq!(set("HF_TOKEN", " secret ").token.as_deref(), Some("secret"));
        assert_eq!(set("HF_TOKEN_PATH", "/t").token.as_deref(), Some("elsewhere"));
        assert_eq!(set("HF_HOME", "/x").cache, Path::new("/x/hub"));
        assert_eq!(set("HF_HOME", "/x").token, None);
        assert_eq!(set("HF_HUB_CACHE", "/y").cache, Path::new("/y"));
        assert_eq!(set("XDG_CACHE_HOME", "/z").cache, Path::new("/z/huggingface/hub"));
        for (value, offline) in [("1", true), ("true", true), ("Yes", true), ("0", false), ("", false)] {
            assert_eq!(set("HF_HUB_OFFLINE", value).offline, offline, "{value}");
        }
        assert!(options(&[("HOME", "/h")], true).unwrap().offline);
    }

    #[test]
    fn without_any_folder_the_error_says_what_to_set() {
        assert_eq!(options(&[], false).unwrap_err().to_string(), "there is no home folder for downloads");
    }
}
