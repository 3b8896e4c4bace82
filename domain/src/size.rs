//! Dyno sizes: how much of the machine a dyno gets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::shown;

/// A dyno size with the limits that Heroku publishes for it. Read case-insensitively
/// (`standard-1x`, `Standard-1X`) with Heroku's older names as aliases, printed as Heroku
/// prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Size {
    /// `Eco`: 512 MB.
    Eco,
    /// `Basic`: 512 MB.
    Basic,
    /// `Standard-1X`: 512 MB; what a dyno has when nothing is said.
    #[default]
    Standard1X,
    /// `Standard-2X`: 1 GB.
    Standard2X,
    /// `Performance-M`: 2.5 GB.
    PerformanceM,
    /// `Performance-L`: 14 GB.
    PerformanceL,
}

/// A text that names no dyno size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no dyno size \"{}\"; the sizes are eco, basic, standard-1x, standard-2x, performance-m and performance-l", shown(.0))]
pub struct SizeError(String);

impl Size {
    /// All sizes, smallest first.
    pub const ALL: [Self; 6] =
        [Self::Eco, Self::Basic, Self::Standard1X, Self::Standard2X, Self::PerformanceM, Self::PerformanceL];

    /// The name as Heroku prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eco => "Eco",
            Self::Basic => "Basic",
            Self::Standard1X => "Standard-1X",
            Self::Standard2X => "Standard-2X",
            Self::PerformanceM => "Performance-M",
            Self::PerformanceL => "Performance-L",
        }
    }

    /// Reads a name, in any case, or one of its aliases.
    ///
    /// # Errors
    /// When no size has this name; the error lists them.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "eco" | "free" => Self::Eco,
            "basic" | "hobby" => Self::Basic,
            "standard-1x" | "1x" | "shared-cpu" | "shared-cpu-1x" => Self::Standard1X,
            "standard-2x" | "2x" | "shared-cpu-2x" => Self::Standard2X,
            "performance-m" => Self::PerformanceM,
            "performance-l" | "performance" | "px" => Self::PerformanceL,
            _ => return Err(SizeError(text.to_owned())),
        })
    }

    /// The memory quota in MB (of 1024 × 1024 bytes). It is what `MEMORY_AVAILABLE` and
    /// `DYNO_RAM` say in a dyno, from which buildpacks compute `WEB_CONCURRENCY`.
    #[must_use]
    pub fn memory_mb(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 512,
            Self::Standard2X => 1024,
            Self::PerformanceM => 2560,
            Self::PerformanceL => 14336,
        }
    }

    /// The memory quota in bytes: more is R14, twice as much is R15.
    #[must_use]
    pub fn memory_bytes(self) -> u64 {
        u64::from(self.memory_mb()) * 1024 * 1024
    }

    /// Most processes and threads at once.
    #[must_use]
    pub fn pids(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 256,
            Self::Standard2X => 512,
            Self::PerformanceM => 16_384,
            Self::PerformanceL => 32_768,
        }
    }

    /// The weight against other dynos when the machine is busy, as Docker's `CpuShares`
    /// (1024 is a container's default). The ratios 1 : 2 : 12 : 50 are Heroku's; builds
    /// get less than any dyno.
    #[must_use]
    pub fn cpu_shares(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 256,
            Self::Standard2X => 512,
            Self::PerformanceM => 3072,
            Self::PerformanceL => 12_800,
        }
    }

    /// The most CPU that a dyno gets even on an idle machine, in thousandths of a core.
    /// May be more than the machine has: set it as quota and period, because Docker
    /// refuses a `NanoCpus` above the number of cores.
    #[must_use]
    pub fn cpu_millis(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 1000,
            Self::Standard2X | Self::PerformanceM => 2000,
            Self::PerformanceL => 8000,
        }
    }

    /// The variables that tell buildpacks and apps how much memory there is, in MB.
    #[must_use]
    pub fn environment(self) -> [(&'static str, String); 2] {
        let memory = self.memory_mb().to_string();
        [("MEMORY_AVAILABLE", memory.clone()), ("DYNO_RAM", memory)]
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Size {
    type Error = SizeError;

    fn try_from(text: String) -> Result<Self, SizeError> {
        Self::parse(&text)
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        size.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_printed_as_heroku_does() {
        for size in Size::ALL {
            assert_eq!(Size::parse(size.name()).unwrap(), size);
            assert_eq!(Size::parse(&size.name().to_lowercase()).unwrap(), size);
            assert_eq!(Size::parse(&size.name().to_uppercase()).unwrap(), size);
        }
        assert_eq!(Size::parse("standard-1x").unwrap().to_string(), "Standard-1X");
        assert_eq!(Size::parse("2X").unwrap(), Size::Standard2X);
        insta::assert_snapshot!(Size::parse("big\n").unwrap_err(), @r#"there is no dyno size "big\n"; the sizes are eco, basic, standard-1x, standard-2x, performance-m and performance-l"#);
        assert!(Size::parse("").is_err());
    }

    #[test]
    fn limits_are_heroku_s() {
        let table: Vec<_> = Size::ALL.iter().map(|s| (s.memory_mb(), s.pids())).collect();
        assert_eq!(table, [(512, 256), (512, 256), (512, 256), (1024, 512), (2560, 16384), (14336, 32768)]);
        assert_eq!(Size::Standard1X.memory_bytes(), 536_870_912);
        assert_eq!(Size::PerformanceL.memory_bytes(), 15_032_385_536);
        assert_eq!(Size::default().environment()[0], ("MEMORY_AVAILABLE", "512".to_owned()));
    }
}
