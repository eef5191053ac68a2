//! The devices that a command computes on: [`DeviceChoice`], what `--device` names, and [`Devices`], those that are open. They are opened
//! before anything is written or fetched, so that one that is missing is an error at once.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use frostline_engine::device::{self, DeviceError, DeviceKind};

/// What `--device` names: a kind, and which of that kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceChoice {
    kind: DeviceKind,
    which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    /// The first.
    First,
    /// All that are here.
    All,
    /// These, counted from 0.
    These(Vec<usize>),
}

impl DeviceChoice {
    /// One device of a kind.
    pub fn one(kind: DeviceKind, ordinal: usize) -> Self {
        Self { kind, which: Which::These(vec![ordinal]) }
    }

    /// Its kind, which is all that the numbers of a trial depend on.
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// Whether it says which of several.
    pub fn chooses(&self) -> bool {
        self.which != Which::First
    }

    /// Which of the kind: numbers that are there.
    ///
    /// # Errors
    /// One that is not there, or that this binary cannot use.
    pub fn ordinals(&self) -> Result<Vec<usize>, DeviceError> {
        let count = device::count(self.kind)?;
        let ordinals = match &self.which {
            Which::First => vec![0],
            Which::All => (0..count.max(1)).collect(),
            Which::These(these) => these.clone(),
        };
        match ordinals.iter().find(|ordinal| **ordinal >= count) {
            Some(&ordinal) => Err(DeviceError::TooFew { kind: self.kind, ordinal, count }),
            None => Ok(ordinals),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<(DeviceKind, Which)> = text.split(',').map(part).collect::<Result<_, _>>()?;
        let Some((kind, which)) = parts.first().cloned() else { return Err("name a device".to_owned()) };
        if parts.len() == 1 {
            return Ok(Self { kind, which });
        }
        let mut these = Vec::new();
        for (other, which) in parts {
            let ordinal = match which {
                Which::All => return Err(format!("`{other}:all` is all of them, so it stands alone")),
                Which::First => 0,
                Which::These(one) => one[0],
            };
            if other != kind {
                return Err(format!("a sweep's trials are of one kind of device, not of {kind} and {other}"));
            }
            // Several processes on the CPU have the same; a GPU is one process's.
            if these.contains(&ordinal) && kind != DeviceKind::Cpu {
                return Err(format!("{kind}:{ordinal} is named twice"));
            }
            these.push(ordinal);
        }
        Ok(Self { kind, which: Which::These(these) })
    }
}

fn part(text: &str) -> Result<(DeviceKind, Which), String> {
    let (kind, ordinal) = match text.trim().split_once(':') {
        None => (text.trim(), None),
        Some((kind, ordinal)) => (kind, Some(ordinal)),
    };
    let kind: DeviceKind = kind.parse()?;
    let which = match ordinal {
        None => Which::First,
        Some("all") => Which::All,
        Some(number) => {
            let number = number.parse().map_err(|_| format!("write {kind}, {kind}:0 or {kind}:all"))?;
            Which::These(vec![number])
        }
    };
    Ok((kind, which))
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, which } = self;
        match which {
            Which::First => write!(f, "{kind}"),
            Which::All => write!(f, "{kind}:all"),
            Which::These(these) => {
                let names: Vec<String> = these.iter().map(|ordinal| named(*kind, *ordinal)).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

/// What a device is called on the command line. There is one CPU.
fn named(kind: DeviceKind, ordinal: usize) -> String {
    if kind == DeviceKind::Cpu { kind.to_string() } else { format!("{kind}:{ordinal}") }
}

/// The devices that a process has open, one of a kind.
#[derive(Clone, Debug)]
pub struct Devices(Vec<(DeviceKind, Device)>);

impl Devices {
    /// Opens a device for each kind, the one that was asked for where it is of that kind, else the first.
    ///
    /// # Errors
    /// One that is not there or does not work.
    pub fn open(
        kinds: impl Iterator<Item = DeviceKind>,
        asked: Option<&DeviceChoice>,
    ) -> Result<Self, DeviceError> {
        let mut open: Vec<(DeviceKind, Device)> = Vec::new();
        for kind in kinds {
            if open.iter().any(|(known, _)| *known == kind) {
                continue;
            }
            let ordinals =
                asked.filter(|asked| asked.kind == kind).map(DeviceChoice::ordinals).transpose()?;
            let ordinal = ordinals.and_then(|ordinals| ordinals.first().copied()).unwrap_or(0);
            open.push((kind, device::open(kind, ordinal)?));
        }
        open.sort_by_key(|(kind, _)| *kind);
        Ok(Self(open))
    }

    /// The one of a trial's kind; the CPU, of a kind that nothing asked for.
    pub fn of(&self, kind: &str) -> &Device {
        let found = self.0.iter().find(|(known, _)| known.to_string() == kind);
        found.map_or(&Device::Cpu, |(_, device)| device)
    }

    /// What they are called, as the report has it.
    pub fn name(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|(_, device)| device::name(device)).collect();
        if names.is_empty() { device::name(&Device::Cpu) } else { names.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(text: &str) -> Result<DeviceChoice, String> {
        text.parse()
    }

    #[test]
    fn devices_are_read_as_they_are_written() {
        for text in ["cpu", "cuda", "metal", "cuda:1", "cuda:all", "cuda:0,cuda:2", "cpu,cpu"] {
            assert_eq!(choice(text).unwrap().to_string(), text);
        }
        assert_eq!(choice("cuda:0, cuda:1").unwrap().to_string(), "cuda:0,cuda:1");
        assert_eq!(choice("cuda:3").unwrap(), DeviceChoice::one(DeviceKind::Cuda, 3));
        for (text, problem) in [
            ("gpu", "one of cpu, cuda, metal"),
            ("", "one of cpu, cuda, metal"),
            ("cuda:x", "cuda:0 or cuda:all"),
            ("cuda:0,cpu", "of one kind"),
            ("cuda:0,cuda", "cuda:0 is named twice"),
            ("cuda:all,cuda:1", "stands alone"),
        ] {
            assert!(choice(text).unwrap_err().contains(problem), "{text}: {:?}", choice(text));
        }
    }

    #[test]
    fn there_is_one_cpu_for_any_number_of_processes() {
        assert_eq!(choice("cpu").unwrap().ordinals().unwrap(), [0]);
        assert_eq!(choice("cpu:all").unwrap().ordinals().unwrap(), [0]);
        assert_eq!(choice("cpu,cpu,cpu").unwrap().ordinals().unwrap(), [0, 0, 0]);
        let error = choice("cpu:1").unwrap().ordinals().unwrap_err();
        assert_eq!(error.to_string(), "there is no cpu:1: there is one");
    }

    #[test]
    fn what_is_not_asked_for_is_not_opened() {
        let open = Devices::open([DeviceKind::Cpu; 2].into_iter(), None).unwrap();
        assert!(open.of("cpu").is_cpu() && open.of("cuda").is_cpu());
        assert_eq!(open.name(), "cpu");
        assert_eq!(Devices::open(std::iter::empty(), None).unwrap().name(), "cpu");
    }
}
