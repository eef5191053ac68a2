//! The names of a file's tensors as an architecture has them: [`named`] takes off what wrappers put before them.

use frostline_zoo::description::Architecture;

use crate::load::{HeadPolicy, compare};

/// What puts itself before the names of the module that it holds: `DataParallel`, `torch.compile`, and classes that keep a
/// network as an attribute.
const WRAPPERS: [&str; 6] = ["module", "_orig_mod", "model", "backbone", "net", "state_dict"];

/// Names and shapes of a file's tensors, in the file's order.
pub(crate) struct Named {
    /// What was taken off, where that made the names fit.
    pub(crate) prefix: Option<String>,
    /// In torchvision's names.
    pub(crate) tensors: Vec<(String, Vec<usize>)>,
}

/// Brings names to torchvision's: those of other libraries are known to the architecture, and what wrappers put before them, one or
/// several, is taken off where all of the trunk is there then. Names without it stay as they are.
pub(crate) fn named(architecture: &Architecture, found: &[(&str, &[usize])]) -> Named {
    let fits = |tensors: &[(String, Vec<usize>)]| {
        compare(architecture, &borrowed(tensors), HeadPolicy::KeepIfFits).is_ok()
    };
    let plain = architecture.in_torchvisions_names(found);
    if fits(&plain) {
        return Named { prefix: None, tensors: plain };
    }
    let mut prefixes: Vec<&str> = found.iter().map(|(name, _)| wrapped_in(name)).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    for prefix in prefixes.into_iter().filter(|prefix| !prefix.is_empty()) {
        let bare: Vec<(&str, &[usize])> =
            found.iter().map(|(name, shape)| (name.strip_prefix(prefix).unwrap_or(name), *shape)).collect();
        let tensors = architecture.in_torchvisions_names(&bare);
        if fits(&tensors) {
            return Named { prefix: Some(prefix.to_owned()), tensors };
        }
    }
    Named { prefix: None, tensors: plain }
}

/// What wrappers have put before a name.
fn wrapped_in(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        if !WRAPPERS.contains(&part) || end + part.len() >= name.len() {
            break;
        }
        end += part.len() + 1;
    }
    &name[..end]
}

pub(crate) fn borrowed(tensors: &[(String, Vec<usize>)]) -> Vec<(&str, &[usize])> {
    tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_told_from_modules() {
        for (name, prefix) in [
            ("conv1.weight", ""),
            ("module.conv1.weight", "module."),
            ("module._orig_mod.model.conv1.weight", "module._orig_mod.model."),
            ("model", ""),
            ("models.conv1.weight", ""),
        ] {
            assert_eq!(wrapped_in(name), prefix, "{name}");
        }
    }
}
