//! What a [`Hub`](crate::Hub) is set up with: [`HubOptions`] and [`Patience`].

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What the caller has read from its environment.
#[derive(Clone)]
pub struct HubOptions {
    /// Address of the Hub (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Access token (`HF_TOKEN`). Without one, the one that `hf auth login` has stored beside the cache.
    pub token: Option<String>,
    /// The cache folder that Hugging Face tools share (`HF_HUB_CACHE`).
    pub cache: PathBuf,
    /// Whether only the cache may be used (`HF_HUB_OFFLINE`).
    pub offline: bool,
}

impl HubOptions {
    /// The public Hub, without a token, online.
    pub fn standard(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            cache: cache.into(),
            offline: false,
        }
    }
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "hidden"))
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish()
    }
}

/// How much is borne before a download is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often something is tried that fails for a reason that may pass.
    pub attempts: u32,
    /// The pause before the second try; it doubles with each further one, up to a minute.
    pub backoff: Duration,
    /// How long nothing may move: no answer, no further byte.
    pub stall: Duration,
    /// How long another process may hold the lock of a file.
    pub lock: Duration,
}

impl Default for Patience {
    /// Four tries, 0.5 s, 1 s and 2 s apart; a minute of silence; half an hour for another's download.
    fn default() -> Self {
        Self {
            attempts: 4,
            backoff: Duration::from_millis(500),
            stall: Duration::from_secs(60),
            lock: Duration::from_secs(30 * 60),
        }
    }
}
